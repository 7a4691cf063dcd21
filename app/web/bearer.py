"""The token in the Authorization header (RFC 6750 2.1)."""

from flask import request

from app.errors import InvalidToken

MAX_CHARACTERS = 8192


def bearer_token() -> str | None:
    """The token, or None where there is none; query and body are not looked at."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_CHARACTERS:
        return None
    return token


def has_authorization() -> bool:
    return bool(request.headers.get("Authorization", "").strip())


def unauthorized(reason: str) -> InvalidToken:
    """One answer for every token that does not open the door, whatever is wrong with it."""
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return InvalidToken("Unauthorized", reason=reason, headers=headers)
