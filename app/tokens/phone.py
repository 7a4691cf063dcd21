"""Tokens that a phone signs with the key it enrolled (Guardian's device protocol): RS256, and nothing else.

Phones' clocks drift, and some of them write fractions of seconds.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from app.errors import InvalidToken

LEEWAY_SECONDS = 60.0
MOST_SECONDS = 7200.0 + LEEWAY_SECONDS  # what a phone's longest token lives
MIN_BITS, MAX_BITS = 2048, 4096
MAX_CHARACTERS = 8192


def read_key(found: Mapping[str, object]) -> dict[str, str]:
    """The public key in its one spelling; Android writes a zero before the modulus. Raises ValueError."""
    if found.get("kty") != "RSA" or found.get("alg", "RS256") != "RS256" or found.get("use", "sig") != "sig":
        raise ValueError("not an RS256 key")
    n, e = (_number(found.get(name)) for name in ("n", "e"))
    if not MIN_BITS <= n.bit_length() <= MAX_BITS or n % 2 == 0:
        raise ValueError("not a modulus")
    if not 3 <= e < 2**33 or e % 2 == 0:
        raise ValueError("not an exponent")
    RSAPublicNumbers(e, n).public_key()
    return {"n": _text(n), "e": _text(e)}


def _number(text: object) -> int:
    if not isinstance(text, str) or not text.isascii() or len(text) > MAX_BITS:
        raise ValueError("not a number")
    try:
        plain = text.rstrip("=").replace("+", "-").replace("/", "_")
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not a number") from None
    return int.from_bytes(raw, "big")


def _text(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def verify(
    token: str, key: Mapping[str, str], *, audience: str, issuer: str, now: datetime
) -> dict[str, Any]:
    """The claims of a token that this phone signed and that is valid now; `sub` is the caller's to compare.

    Raises InvalidToken.
    """
    if len(token) > MAX_CHARACTERS or not token.isascii():
        raise InvalidToken(reason="bad_token")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ", "JWT") != "JWT":
            raise InvalidToken(reason="wrong_kind")
        claims: dict[str, Any] = jwt.decode(
            token,
            RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key(),
            algorithms=["RS256"],
            audience=audience,
            issuer=issuer,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise InvalidToken(reason="wrong_audience") from None
    except jwt.InvalidIssuerError:
        raise InvalidToken(reason="wrong_issuer") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise InvalidToken(reason="bad_token") from None
    issued, expires = (_seconds(claims[name]) for name in ("iat", "exp"))
    if not isinstance(claims["iss"], str) or not isinstance(claims["sub"], str):
        raise InvalidToken(reason="bad_claims")
    if issued > now.timestamp() + LEEWAY_SECONDS or expires - issued > MOST_SECONDS:
        raise InvalidToken(reason="bad_times")
    if expires <= now.timestamp() - LEEWAY_SECONDS:
        raise InvalidToken(reason="expired")
    return claims


def check_proof(proof: str, key: Mapping[str, str], *, url: str, token: str, now: datetime) -> None:
    """That this phone asks for this address, with this token, now (RFC 9449). Raises InvalidToken."""
    if len(proof) > MAX_CHARACTERS or not proof.isascii():
        raise InvalidToken(reason="bad_token")
    try:
        header = jwt.get_unverified_header(proof)
        shown = header.get("jwk")
        if header.get("typ") != "dpop+jwt" or not isinstance(shown, dict) or read_key(shown) != dict(key):
            raise InvalidToken(reason="wrong_kind")
        claims: dict[str, Any] = jwt.decode(
            proof,
            RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key(),
            algorithms=["RS256"],
            options={
                "require": ["iat", "jti"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise InvalidToken(reason="bad_token") from None
    hashed = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    expected = {"htu": url, "htm": "GET", "ath": hashed}
    if any(claims.get(name) != value for name, value in expected.items()):
        raise InvalidToken(reason="bad_claims")
    if abs(_seconds(claims["iat"]) - now.timestamp()) > LEEWAY_SECONDS:
        raise InvalidToken(reason="bad_times")


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if type(value) in (int, float) else math.nan  # type: ignore[arg-type]
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise InvalidToken(reason="bad_claims")
    return seconds
