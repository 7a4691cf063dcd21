"""Apple's push service: HTTP/2, and a token that we sign, or a certificate, to say whose app it is."""

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from app import documents, http_out
from app.channels.channel import DeliveryFailed, Message
from app.channels.gateways import ask, check
from app.context import Context
from app.crypto import digest
from app.store.documents import Document

HOST, SANDBOX = "https://api.push.apple.com", "https://api.sandbox.push.apple.com"
CATEGORY = "com.auth0.notification.authentication"  # without it the Guardian SDK ignores the message
GOOD_FOR_SECONDS = 300
# A provider token is taken for an hour, and a new one more often than each 20 minutes is refused.
NEW_TOKEN_SECONDS = 2400.0
REFUSED_SECONDS = 60.0
EXPIRED = "apns_ExpiredProviderToken"
MOST_LINES = 8  # apps, or changes of their certificate

_opening = threading.Lock()
_lines: dict[tuple[str, str], http_out.Line] = {}
_tokens: dict[str, tuple[float, str]] = {}  # by what signed them; another process signs its own


def send(ctx: Context, provider: Document, token: str, message: Message) -> None:
    """Raises DeliveryFailed."""
    content, secrets = provider.content, documents.secrets_of(ctx, provider)
    headers = {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(ctx.now.timestamp()) + GOOD_FOR_SECONDS),
        "Content-Type": "application/json",
    }
    if content.get("bundle_id"):
        headers["apns-topic"] = str(content["bundle_id"])
    certificate = None
    if secrets.get("p8"):
        headers["authorization"] = f"bearer {_provider_token(ctx, content, secrets['p8'])}"
    elif secrets.get("p12"):
        certificate = _pem(secrets["p12"])
    else:
        raise DeliveryFailed("no_credentials", may_repeat=False)
    host = SANDBOX if content.get("sandbox") else HOST
    url = f"{host}/3/device/{quote(token, safe='')}"
    body = json.dumps(payload(message)).encode()
    line = _line(host, certificate)
    answer = ask(ctx, url, body, headers, line=line)
    if secrets.get("p8") and answer.status == 403 and _reason(answer.body, 403) == EXPIRED:
        # By Apple's clock it is too old, so it was not sent: once more, with a token made now.
        token_made_now = _provider_token(ctx, content, secrets["p8"], is_refused=True)
        answer = ask(ctx, url, body, headers | {"authorization": f"bearer {token_made_now}"}, line=line)
    if answer.status in (400, 403, 410):  # the reason is Apple's word for it, such as BadDeviceToken
        raise DeliveryFailed(_reason(answer.body, answer.status), may_repeat=False)
    check(answer.status)


def payload(message: Message) -> dict[str, Any]:
    alert = {"title": message.subject, "body": message.text}
    return {
        "aps": {"alert": alert, "category": CATEGORY, "sound": "default"},
        "mfa": dict(message.payload),
    }


def _line(host: str, certificate: bytes | None) -> http_out.Line:
    """The connection over which all messages go that this process sends as one app; Apple takes many for an attack."""
    name = (host, digest((certificate or b"").hex()))
    with _opening:
        line = _lines.pop(name, None) or http_out.Line(certificate)
        _lines[name] = line  # the one used last stands last
        if len(_lines) > MOST_LINES:
            _lines.pop(next(iter(_lines))).end()
        return line


def _provider_token(ctx: Context, content: Mapping[str, Any], p8: str, *, is_refused: bool = False) -> str:
    key_id, team_id = str(content.get("key_id") or ""), str(content.get("team_id") or "")
    name = digest(f"{team_id}/{key_id}/{p8}")
    now = ctx.now.timestamp()
    made_at, token = _tokens.get(name, (0.0, ""))
    # Of several messages whose token is refused at once, the first one makes the new one.
    is_young = 0 <= now - made_at < (REFUSED_SECONDS if is_refused else NEW_TOKEN_SECONDS)
    if not is_young:
        try:
            claims = {"iss": team_id, "iat": int(now)}
            token = jwt.encode(claims, p8, algorithm="ES256", headers={"kid": key_id})
        except (ValueError, TypeError, jwt.PyJWTError):
            raise DeliveryFailed("bad_credentials", may_repeat=False) from None
        _tokens[name] = now, token
    return token


def _pem(p12: str) -> bytes:
    """A PKCS#12 file in base64, without a password, as PEM."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(base64.b64decode(p12), None)
        if key is None or certificate is None:
            raise ValueError("incomplete")
    except ValueError:
        raise DeliveryFailed("bad_credentials", may_repeat=False) from None
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [found.public_bytes(Encoding.PEM) for found in (certificate, *others)]
    return b"".join(parts)


def _reason(body: bytes, status: int) -> str:
    try:
        word = json.loads(body)["reason"]
    except (ValueError, KeyError, TypeError):
        word = None
    return f"apns_{word[:40]}" if isinstance(word, str) and word.isalnum() else f"status_{status}"
