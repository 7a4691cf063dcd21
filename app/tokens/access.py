"""Access tokens: JWTs for an API or for one's own factors, opaque ones for `/userinfo` alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import Connection

from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import InvalidToken
from app.store.clients import find_client
from app.store.opaque_tokens import OpaqueToken, find_opaque_token
from app.store.realms import get_place_by_id
from app.store.signing_keys import Signer
from app.store.users import User, find_user
from app.tokens import signing
from app.tokens.audience import Audience, userinfo_of
from app.tokens.methods import Methods, claims

TYPES = ("JWT", "at+jwt")


def sign_access_token(
    ctx: Context,
    signer: Signer,
    *,
    subject: str,
    client_id: str,
    audience: Audience,
    scope: tuple[str, ...],
    gty: tuple[str, ...],
    methods: Methods = (),
    permissions: tuple[str, ...] = (),
    changed_at: datetime | None = None,
    further: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """`further` claims never replace one of ours."""
    now = int(ctx.now.timestamp())
    if changed_at is not None and now == int(changed_at.timestamp()):
        now += 1  # a token carries whole seconds: one from before a change in this second must not pass for one after
    # Resource servers of Auth0 SDKs expect `/userinfo` beside the API when the token opens it too.
    opens_userinfo = audience.kind == "api" and "openid" in scope and audience.alg == "RS256"
    aud = [audience.identifier, userinfo_of(ctx.issuer)] if opens_userinfo else audience.identifier
    payload: dict[str, object] = {
        **further,
        "iss": ctx.issuer,
        "sub": subject,
        "aud": aud,
        "iat": now,
        "exp": now + audience.token_seconds,
    }
    if scope:
        payload["scope"] = " ".join(scope)
    if audience.dialect.endswith("_authz") and audience.enforces_policies:
        payload["permissions"] = list(permissions)
    if audience.dialect.startswith("rfc9068"):
        payload |= {"client_id": client_id, "jti": random_id(22)} | claims(methods)
        return signing.sign(ctx, signer, payload, typ="at+jwt")
    payload |= {"azp": client_id, "gty": gty[0] if len(gty) == 1 else list(gty)}
    if audience.kind == "mfa":
        payload |= {"jti": random_id(22)} | claims(methods) | {"methods": [list(m) for m in methods]}
    return signing.sign(ctx, signer, payload)


def make_opaque(
    ctx: Context, user: User, client_id: str, scope: tuple[str, ...], seconds: int, family: str | None
) -> tuple[str, OpaqueToken]:
    """A token and the row that it is looked up by."""
    token = random_token()
    expires_at = ctx.now + timedelta(seconds=seconds)
    row = OpaqueToken(digest(token), user.id, client_id, family, " ".join(scope), ctx.now, expires_at)
    return token, row


@dataclass(frozen=True)
class Bearer:
    """Who holds a verified access token, and for what."""

    user: User
    client_id: str
    scope: tuple[str, ...]


def verify_for_userinfo(ctx: Context, conn: Connection, token: str) -> Bearer:
    """Raises InvalidToken. Blocked people, disabled clients and closed realms end a token at once."""
    if "." not in token:
        row = find_opaque_token(conn, digest(token))
        if row is None or row.expires_at <= ctx.now:
            raise InvalidToken(reason="unknown_token")
        return _bearer(ctx, conn, row.user_id, row.client_id, row.scope, row.issued_at.timestamp())
    found = signing.verify(ctx, conn, token, audience=userinfo_of(ctx.issuer), typs=TYPES)
    client_id = found.get("azp") or found.get("client_id") or ""
    return _bearer(ctx, conn, found["sub"], str(client_id), str(found.get("scope", "")), found["iat"])


def _bearer(
    ctx: Context, conn: Connection, user_id: str, client_id: str, scope: str, issued_seconds: float
) -> Bearer:
    user = find_user(conn, user_id)
    client = ctx.look_up(conn, find_client, client_id)
    if user is None or user.is_blocked or client is None or not client.is_enabled:
        raise InvalidToken(reason="holder_gone")
    place = ctx.look_up(conn, get_place_by_id, user.realm_id, client_id)
    if place.realm is None or not place.realm.is_enabled or not place.is_for_client:
        raise InvalidToken(reason="realm_closed")
    if is_outdated(user, issued_seconds):
        raise InvalidToken(reason="issued_before_change")
    return Bearer(user, client_id, tuple(scope.split()))


def is_outdated(user: User, issued_seconds: float) -> bool:
    """Issued before the person's password or factors changed, or in the same second of which nobody can tell."""
    changed = user.tokens_valid_after
    # An id may be given again: what was issued before this person was made was somebody else's.
    if issued_seconds < int(user.created_at.timestamp()):
        return True
    return changed is not None and issued_seconds <= int(changed.timestamp())
