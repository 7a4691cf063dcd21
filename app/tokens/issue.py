"""The only mint. Signing happens before the last transaction, which then saves what was minted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from app.context import Context
from app.crypto import digest
from app.store.clients import Client
from app.store.opaque_tokens import OpaqueToken, add_opaque_token
from app.store.refresh_families import RefreshFamily, add_family
from app.store.signing_keys import Signer
from app.store.users import User
from app.tokens import access, identity, refresh, signing
from app.tokens.audience import Audience
from app.tokens.methods import Methods


@dataclass(frozen=True)
class Grantee:
    """Who is given what: everything that ends up in tokens."""

    user: User
    client: Client
    audience: Audience
    scope: tuple[str, ...]
    requested_scope: str | None
    """As the client wrote it; None when it asked for nothing in particular."""
    methods: Methods
    gty: tuple[str, ...]
    permissions: tuple[str, ...] = ()
    access_scope: tuple[str, ...] | None = None
    """Where rules gave the access token another scope than the login has."""
    access_claims: Mapping[str, object] = field(default_factory=dict)
    id_claims: Mapping[str, object] = field(default_factory=dict)

    @property
    def token_scope(self) -> tuple[str, ...]:
        return self.scope if self.access_scope is None else self.access_scope


@dataclass(frozen=True)
class TokenSet:
    """The members of a successful answer of the token endpoint."""

    access_token: str
    expires_in: int
    id_token: str | None = None
    refresh_token: str | None = None
    scope: str | None = None
    recovery_code: str | None = None
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's word


@dataclass(frozen=True)
class Minted:
    token_set: TokenSet
    opaque: OpaqueToken | None = None
    family: RefreshFamily | None = None


def mint(
    ctx: Context, signers: dict[str, Signer], grantee: Grantee, family: RefreshFamily | None = None
) -> Minted:
    """Tokens for a person. With `family` it is a refresh: the refresh token is then the caller's business."""
    refresh_token, new_family = None, None
    if family is None and "offline_access" in grantee.scope:
        refresh_token = refresh.new_token()
        new_family = _new_family(ctx, grantee, refresh_token)

    opaque = None
    if grantee.audience.kind == "userinfo":
        handle = (family or new_family).handle_digest if family or new_family else None  # type: ignore[union-attr]
        access_token, opaque = access.make_opaque(
            ctx, grantee.user, grantee.client.id, grantee.token_scope, grantee.audience.token_seconds, handle
        )
    else:
        access_token = access.sign_access_token(
            ctx,
            signing.signer_of(signers, grantee.audience.alg),
            subject=grantee.user.id,
            client_id=grantee.client.id,
            audience=grantee.audience,
            scope=grantee.token_scope,
            gty=grantee.gty,
            methods=grantee.methods,
            permissions=grantee.permissions,
            changed_at=grantee.user.tokens_valid_after,
            further=grantee.access_claims,
        )

    id_token = None
    if "openid" in grantee.scope:
        signer = signing.signer_of(signers, grantee.client.id_token_alg)
        id_token = identity.sign_id_token(
            ctx, signer, grantee.user, grantee.client, grantee.scope, grantee.methods, grantee.id_claims
        )
    token_set = TokenSet(
        access_token=access_token,
        expires_in=grantee.audience.token_seconds,
        id_token=id_token,
        refresh_token=refresh_token,
        scope=_told_scope(grantee, is_refresh=family is not None),
    )
    return Minted(token_set, opaque, new_family)


def save(conn: Connection, minted: Minted) -> None:
    if minted.family is not None:
        add_family(conn, minted.family)
    if minted.opaque is not None:
        add_opaque_token(conn, minted.opaque)


def with_recovery_code(minted: Minted, code: str | None) -> Minted:
    return replace(minted, token_set=replace(minted.token_set, recovery_code=code)) if code else minted


def _told_scope(grantee: Grantee, *, is_refresh: bool) -> str | None:
    granted = " ".join(grantee.token_scope)
    is_as_asked = (
        not is_refresh
        and grantee.requested_scope is not None
        and (set(grantee.requested_scope.split()) == set(grantee.token_scope))
    )
    return None if is_as_asked or not granted else granted


def _new_family(ctx: Context, grantee: Grantee, token: str) -> RefreshFamily:
    presented = refresh.read(token)
    assert presented is not None  # noqa: S101 - we have just made it
    return RefreshFamily(
        handle_digest=presented.handle_digest,
        user_id=grantee.user.id,
        realm_id=grantee.user.realm_id,
        client_id=grantee.client.id,
        audience=grantee.audience.identifier,
        scope=" ".join(grantee.scope),
        gty=grantee.gty,
        methods=grantee.methods,
        current_digest=digest(token),
        created_at=ctx.now,
        rotated_at=ctx.now,
        expires_at=refresh.absolute_end(grantee.client, ctx.now),
        idle_expires_at=refresh.idle_end(grantee.client, ctx.now),
        initial_ip=ctx.ip,
        initial_user_agent=ctx.user_agent[:300],
        last_ip=ctx.ip,
        last_user_agent=ctx.user_agent[:300],
        is_rotating=grantee.client.refresh_rotates,
    )
