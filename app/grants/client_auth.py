"""Who the client is: by secret in the body or by Basic, by a signed assertion, or by name alone if it is public.

Unknown client and wrong secret are one answer after the same work.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard
from urllib.parse import unquote_plus, urlsplit

import jwt

from app.context import Context
from app.crypto import digest
from app.errors import AccessDenied, InvalidClient, InvalidRequest, Refusal
from app.store import clients
from app.store.clients import Client

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ("RS256", "RS384", "PS256")
MAX_ASSERTION_CHARACTERS = 2048
MAX_JTI_CHARACTERS = 64
SKEW_SECONDS = 10
LONGEST_SECONDS = 3600  # how far ahead `exp` may lie: as long, a used `jti` is remembered

BAD_ASSERTION = "Failed to verify client assertion"
PARAMS = ("client_id", "client_secret", "client_assertion", "client_assertion_type")


@dataclass(frozen=True)
class Credentials:
    """What the request says of its client, from whichever place it came."""

    client_id: str | None
    secret: str | None = None
    assertion: str | None = None
    used_basic: bool = False


@dataclass(frozen=True)
class Authenticated:
    client: Client
    by_secret: bool
    """Proven by its secret in this request, not by an assertion and not merely named."""


def read(params: Mapping[str, str], authorization: str | None) -> Credentials:
    """Collect the credentials. Raises InvalidRequest for two methods at once (RFC 6749 2.3), InvalidClient."""
    client_id, secret = params.get("client_id"), params.get("client_secret")
    assertion = params.get("client_assertion")
    basic = _basic(authorization)
    if (basic is not None) + (secret is not None) + (assertion is not None) > 1:
        raise InvalidRequest(
            "Only one client authentication method may be used.", reason="two_client_methods"
        )
    if assertion is not None:
        if params.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequest(f"client_assertion_type must be {ASSERTION_TYPE}", reason="assertion_type")
        return Credentials(client_id, assertion=assertion)
    if basic is None:
        return Credentials(client_id, secret)
    if client_id not in (None, basic[0]):
        raise InvalidRequest("client_id differs from the Authorization header.", reason="two_client_ids")
    return Credentials(basic[0], basic[1], used_basic=True)


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Other schemes are not about the client: SDKs send Bearer tokens along that are to be ignored."""
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(text.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        client_id, secret = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, UnicodeError, ValueError):
        colon, client_id, secret = "", "", ""
    if not colon or not client_id or "\0" in client_id + secret:
        raise _refusal(InvalidClient(reason="malformed_basic"), used_basic=True)
    return client_id, secret


def authenticate(ctx: Context, credentials: Credentials) -> Authenticated:
    """Raises InvalidClient, AccessDenied."""
    if credentials.assertion is not None:
        return _by_assertion(ctx, credentials.client_id, credentials.assertion)
    if credentials.client_id is None:
        raise InvalidClient("Missing client_id", reason="no_client_id")
    with ctx.db.read() as conn:
        client = ctx.look_up(conn, clients.find_client, credentials.client_id)
    ctx.facts.client_id = client.id if client else None
    presented = digest(credentials.secret or "")
    own = client.secret_digests[0] if client and client.secret_digests else None
    # No short cut: where there is none, somebody's who is nobody is compared.
    is_same = hmac.compare_digest(presented, own or digest("nobody's"))
    by_secret = credentials.secret is not None and own is not None and is_same
    is_proven = client is not None and client.is_enabled
    if is_proven and client is not None and client.auth_method == "none":
        return Authenticated(client, by_secret=False)
    if client is None or not is_proven or not by_secret or client.auth_method == "private_key_jwt":
        reason = "unknown_client" if client is None else "wrong_client_secret"
        if client is not None and not client.is_enabled:
            reason = "client_disabled"
        raise _refusal(AccessDenied("Unauthorized", reason=reason, status=401), credentials.used_basic)
    return Authenticated(client, by_secret=True)


def _refusal(refusal: Refusal, used_basic: bool) -> Refusal:
    if used_basic:  # RFC 6749 5.2
        refusal.headers["WWW-Authenticate"] = 'Basic realm="belay", charset="UTF-8"'
    return refusal


def _by_assertion(ctx: Context, client_id: str | None, assertion: str) -> Authenticated:
    """RFC 7523 3. The claims choose whose keys are tried, and mean nothing until a signature held."""
    claimed = _unverified_subject(assertion)
    with ctx.db.read() as conn:
        client = ctx.look_up(conn, clients.find_client, claimed) if claimed else None
        keys = ctx.look_up(conn, clients.list_client_keys, client.id) if client else []
    ctx.facts.client_id = client.id if client else None
    if client is None or client.auth_method != "private_key_jwt" or not client.is_enabled:
        raise InvalidClient(BAD_ASSERTION, reason="unknown_client")
    if client_id not in (None, client.id):
        raise InvalidClient(BAD_ASSERTION, reason="assertion_for_other_client")
    claims = verified(assertion, keys, ctx.now)
    if claims is None:
        raise InvalidClient(BAD_ASSERTION, reason="assertion_signature")
    problem = _problem(ctx, claims, client.id)
    if problem:
        raise InvalidClient(BAD_ASSERTION, reason=problem)
    expires_at = datetime.fromtimestamp(claims["exp"] + SKEW_SECONDS, UTC)
    with ctx.db.write() as conn:
        if not clients.consume_assertion(conn, client.id, claims["jti"], expires_at):
            raise InvalidClient(BAD_ASSERTION, reason="assertion_replayed")
    return Authenticated(client, by_secret=False)


def _unverified_subject(assertion: str) -> str | None:
    if len(assertion) > MAX_ASSERTION_CHARACTERS:
        raise InvalidClient(BAD_ASSERTION, reason="assertion_too_long")
    try:
        payload = assertion.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError, RecursionError):
        return None
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) and subject.isprintable() else None


def verified(assertion: str, keys: list[clients.ClientKey], now: datetime) -> dict[str, Any] | None:
    """The claims, if one of these keys signed them and has not run out; what they say is for the caller to look at."""
    for key in filter(lambda key: key.is_good(now), keys):
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        try:
            return jwt.decode(assertion, key.public_pem, algorithms=[key.alg], options=options)
        except (jwt.PyJWTError, ValueError, RecursionError):
            continue
    return None


def _problem(ctx: Context, claims: dict[str, Any], client_id: str) -> str | None:
    """The private reason why an assertion with a good signature is not good, or None."""
    now, issuer = ctx.now.timestamp(), ctx.issuer
    # auth0-python names https:// even where it was told to speak http.
    accepted = {issuer, issuer.rstrip("/"), issuer + "oauth/token", f"https://{urlsplit(issuer).netloc}/"}
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        return "assertion_subject"
    if not audiences(claims) & accepted:
        return "assertion_audience"
    expires = claims.get("exp")
    if not is_time(expires) or expires <= now - SKEW_SECONDS or expires > now + LONGEST_SECONDS:
        return "assertion_expired"
    for name in ("iat", "nbf"):
        if name in claims and not (is_time(claims[name]) and claims[name] <= now + SKEW_SECONDS):
            return "assertion_not_yet_valid"
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARACTERS or not jti.isprintable():
        return "assertion_jti"
    return None


def is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11


def audiences(claims: dict[str, Any]) -> set[str]:
    """One or many (RFC 7519 4.1.3)."""
    found = claims.get("aud")
    return {aud for aud in (found if isinstance(found, list) else [found]) if isinstance(aud, str)}
