"""What opens an MFA transaction: the `mfa_token` of a login, or an access token for one's own factors.

The first is opaque and stands for one stored login, completed once. The second is a JWT that carries its proofs
itself and lives until it runs out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import ExpiredToken, InvalidGrant, InvalidRequest, InvalidToken
from app.store import transactions, users
from app.store.clients import Client
from app.store.transactions import Transaction
from app.store.users import User
from app.tokens import access, audience, signing
from app.tokens.audience import Audience
from app.tokens.methods import Methods

LIFETIME = timedelta(minutes=10)

MALFORMED = "Malformed mfa_token"
EXPIRED = "mfa_token is expired"
OTHER_CLIENT = "mfa_token not issued to this client"


@dataclass(frozen=True)
class Open:
    """An opened transaction."""

    id: str
    user_id: str
    realm_id: str
    client_id: str
    audience: str
    scope: str
    requested_scope: str | None
    gty: tuple[str, ...]
    methods: Methods
    demanded: tuple[str, ...]
    """Factors that rules limited it to."""
    is_stored: bool
    """A stored login, completed once; else a bearer's access token, which lives until it runs out."""
    veil: str | None = None
    """Of a realm in blind mode: until the right code comes it is not told whose login it is, if anybody's."""
    began_at: datetime | None = None
    """Of a stored login: when it was asked for a factor."""


def new_transaction(
    ctx: Context,
    *,
    user: User,
    client: Client,
    audience: Audience,
    scope: tuple[str, ...],
    requested_scope: str | None,
    gty: tuple[str, ...],
    methods: Methods,
    demanded: tuple[str, ...],
    veil: str | None = None,
    is_decoy: bool = False,
) -> tuple[Transaction, str]:
    """A transaction and the `mfa_token` that opens it; a decoy is nobody's and nobody can complete it."""
    token = random_token()
    transaction = Transaction(
        id=f"mfa_{random_id(22)}",
        token_digest=digest(token),
        user_id=None if is_decoy else user.id,
        realm_id=user.realm_id,
        client_id=client.id,
        audience=audience.identifier,
        scope=" ".join(scope),
        requested_scope=requested_scope,
        gty=gty,
        methods=methods,
        demanded=" ".join(demanded) or None,
        created_at=ctx.now,
        expires_at=ctx.now + LIFETIME,
        veil=veil,
    )
    return transaction, token


def consume(conn: Connection, opened: Open, now: datetime) -> bool:
    """Whether this request is the one that completes the login."""
    return not opened.is_stored or transactions.consume_transaction(conn, opened.id, now)


def open_for_client(ctx: Context, conn: Connection, token: str, client: Client) -> Open:
    """Open for the token endpoint. Raises InvalidGrant, ExpiredToken, InvalidRequest."""
    if token.count(".") == 2:
        opened = open_access_token(ctx, conn, token)
        if "enroll" not in opened.scope.split():
            raise InvalidGrant(MALFORMED, reason="token_without_enroll")
    else:
        opened = open_stored(ctx, conn, token)
    if opened.client_id != client.id:
        raise InvalidRequest(OTHER_CLIENT, reason="foreign_mfa_token", event=ctx.facts.failure_event)
    return opened


def open_stored(ctx: Context, conn: Connection, token: str) -> Open:
    found = transactions.find_transaction(conn, digest(token))
    if found is None or found.consumed_at is not None:
        raise InvalidGrant(MALFORMED, reason="mfa_token_used" if found else "unknown_mfa_token")
    if found.expires_at <= ctx.now:
        raise ExpiredToken(EXPIRED, reason="mfa_token_expired")
    return Open(
        found.id,
        found.user_id or "",
        found.realm_id,
        found.client_id,
        found.audience,
        found.scope,
        found.requested_scope,
        found.gty,
        found.methods,
        tuple((found.demanded or "").split()),
        is_stored=True,
        veil=found.veil,
        began_at=found.created_at,
    )


def open_access_token(ctx: Context, conn: Connection, token: str) -> Open:
    try:
        claims = signing.verify(ctx, conn, token, audience=audience.mfa_of(ctx.issuer), typs=("JWT",))
    except InvalidToken as refusal:
        if refusal.reason == "expired":
            raise ExpiredToken(EXPIRED, reason="mfa_token_expired") from None
        raise InvalidGrant(MALFORMED, reason=refusal.reason) from None
    user = users.find_user(conn, str(claims["sub"]))
    if user is None or access.is_outdated(user, float(str(claims["iat"]))):
        raise InvalidGrant(MALFORMED, reason="issued_before_change")
    held = _read_claims(claims)
    if held is None:
        raise InvalidGrant(MALFORMED, reason="bad_claims")
    return Open(
        f"jwt:{held.jti}",
        user.id,
        user.realm_id,
        held.client_id,
        audience.mfa_of(ctx.issuer),
        held.scope,
        None,
        held.gty,
        held.methods,
        (),
        is_stored=False,
    )


@dataclass(frozen=True)
class _Claims:
    """What a token for one's own factors carries of the login in which it was issued."""

    jti: str
    client_id: str
    scope: str
    gty: tuple[str, ...]
    methods: Methods


def _read_claims(found: dict[str, object]) -> _Claims | None:
    """None for claims that we would not have written."""
    gty = found.get("gty")
    gty = [gty] if isinstance(gty, str) else gty
    methods = found.get("methods")
    texts = [found.get("jti"), found.get("azp"), found.get("scope", "")]
    if not isinstance(gty, list) or not isinstance(methods, list):
        return None
    if not all(isinstance(text, str) for text in [*texts, *gty]):
        return None
    if not all(
        isinstance(m, list) and len(m) == 2 and isinstance(m[0], str) and type(m[1]) is int for m in methods
    ):
        return None
    jti, client_id, scope = (str(text) for text in texts)
    return _Claims(jti, client_id, scope, tuple(gty), tuple((name, at) for name, at in methods))
