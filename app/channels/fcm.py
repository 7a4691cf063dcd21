"""Google's push service, FCM v1: a service account signs for an access token, which is good for an hour.

A data message, because the Guardian SDK reads a flat map of texts and shows the question itself.
"""

import json
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from app import documents
from app.channels.channel import DeliveryFailed, Message
from app.channels.gateways import ask, check
from app.context import Context
from app.crypto import digest
from app.store.documents import Document

HOST = "https://fcm.googleapis.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTED_SECONDS = 3600
SPARE_SECONDS = 120.0  # before an access token runs out it is renewed

_tokens: dict[str, tuple[float, str]] = {}  # until when, by credentials; another process asks for its own


def send(ctx: Context, provider: Document, token: str, message: Message) -> None:
    """Raises DeliveryFailed."""
    account = _account(documents.secrets_of(ctx, provider).get("server_credentials", ""))
    url = f"{HOST}/v1/projects/{quote(account['project_id'], safe='')}/messages:send"
    body = json.dumps(payload(token, message)).encode()
    for is_last in (False, True):
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {_access_token(ctx, account)}",
        }
        answer = ask(ctx, url, body, headers)
        if answer.status != 401 or is_last:
            break
        _tokens.pop(_name(account), None)  # taken back before its time
    if answer.status == 404:
        raise DeliveryFailed("fcm_unregistered", may_repeat=False)
    check(answer.status)


def payload(token: str, message: Message) -> dict[str, Any]:
    data = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in message.payload.items()
    }
    return {"message": {"token": token, "data": data, "android": {"priority": "HIGH", "ttl": "300s"}}}


def _account(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
        return {name: str(found[name]) for name in ("project_id", "client_email", "private_key")} | {
            "token_uri": str(found.get("token_uri") or TOKEN_URI),
            "private_key_id": str(found.get("private_key_id") or ""),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DeliveryFailed("bad_credentials", may_repeat=False) from None


def _name(account: dict[str, str]) -> str:
    return digest(json.dumps(account, sort_keys=True))


def _access_token(ctx: Context, account: dict[str, str]) -> str:
    name, now = _name(account), ctx.now.timestamp()
    until, token = _tokens.get(name, (0.0, ""))
    if now < until:
        return token
    claims = {
        "iss": account["client_email"],
        "scope": SCOPE,
        "aud": account["token_uri"],
        "iat": int(now),
        "exp": int(now) + ASSERTED_SECONDS,
    }
    headers = {"kid": account["private_key_id"]} if account["private_key_id"] else None
    try:
        assertion = jwt.encode(claims, account["private_key"], algorithm="RS256", headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise DeliveryFailed("bad_credentials", may_repeat=False) from None
    form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        answer = ask(ctx, account["token_uri"], form, headers)
    except DeliveryFailed as failure:  # the message itself has not been sent yet
        raise DeliveryFailed(str(failure), may_repeat=str(failure) != "forbidden_address") from None
    check(answer.status)
    try:
        found = json.loads(answer.body)
        token, seconds = str(found["access_token"]), float(found["expires_in"])
    except (ValueError, KeyError, TypeError):
        raise DeliveryFailed("fcm_no_token", may_repeat=True) from None
    _tokens[name] = now + seconds - SPARE_SECONDS, token
    return token
