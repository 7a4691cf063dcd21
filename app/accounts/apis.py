"""APIs, and which application may ask for which of their scopes. On the wire an API is a resource server."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import random_id
from app.errors import Conflict, Missing, NotPossible
from app.store import apis as rows
from app.store import client_grants, clients, roles
from app.store.apis import Api
from app.store.client_grants import ClientGrant
from app.store.tenant import get_tenant, lock_tenant, update_tenant
from app.tokens import signing

TOKEN_DIALECTS = ("access_token", "access_token_authz", "rfc9068_profile", "rfc9068_profile_authz")
MANY = 1_000_000
# The issuer's own, and client ids: an ID token has the client's id as audience, and no API may take it for an access
# token.
RESERVED = "The identifier is reserved."
EXISTS = "A resource server with the same identifier already exists."
NOT_A_SUBSET = "Payload validation error: scope must be a subset of resource server scopes"


def _check(api: Api) -> None:
    if api.signing_alg not in signing.ALGORITHMS:
        raise NotPossible(f"signing_alg is one of: {', '.join(signing.ALGORITHMS)}")
    if api.token_dialect not in TOKEN_DIALECTS:
        raise NotPossible(f"token_dialect is one of: {', '.join(TOKEN_DIALECTS)}")
    if api.token_dialect.endswith("_authz") and not api.enforces_policies:
        raise NotPossible(f"token_dialect {api.token_dialect} needs enforce_policies")
    if not 1 <= len(api.identifier) <= 600 or not 1 <= api.token_seconds <= 2592000:
        raise NotPossible("an identifier has 1 to 600 characters, a token lives 1 to 2592000 seconds")


def create_api(conn: Connection, ctx: Context, api: Api) -> Api:
    """Raises NotPossible, Conflict."""
    _check(api)
    if api.identifier.startswith(ctx.issuer):
        raise NotPossible(RESERVED)
    lock_tenant(conn)
    if clients.find_client(conn, api.identifier) is not None:
        raise NotPossible(RESERVED)
    try:
        with conn.begin_nested():
            rows.add_api(conn, api)
    except IntegrityError:
        raise Conflict(EXISTS, reason="resource_server_conflict") from None
    signing.ensure_keys(ctx.server, conn, api.signing_alg, ctx.now)
    changes.record(conn, ctx, "api_created", api.identifier, after=api)
    return api


def update_api(conn: Connection, ctx: Context, api: Api, **changed: Any) -> Api:
    """Raises NotPossible."""
    if api.is_system and set(changed) - {"token_seconds"}:
        raise NotPossible("System resource servers cannot be patched.")
    after = replace(api, **changed)
    _check(after)
    rows.update_api(conn, api.id, **changes.differences(api, after))
    gone = set(api.scopes) - set(after.scopes)
    if gone:  # what is no scope any more is nobody's permission and no client's grant
        roles.remove_permissions(conn, api.id, gone)
        for grant in client_grants.list_client_grants(conn, audience=api.identifier, limit=MANY):
            kept = [scope for scope in grant.scopes if scope not in gone]
            client_grants.update_client_grant(conn, grant.id, scopes=kept)
    signing.ensure_keys(ctx.server, conn, after.signing_alg, ctx.now)
    changes.record(conn, ctx, "api_updated", api.identifier, before=api, after=after)
    return after


def remove_api(conn: Connection, ctx: Context, api: Api) -> None:
    """Raises NotPossible."""
    if api.is_system:
        raise NotPossible("System resource servers cannot be deleted.")
    if get_tenant(conn).default_audience == api.identifier:
        update_tenant(conn, default_audience=None)
    rows.remove_api(conn, api.id)
    changes.record(conn, ctx, "api_deleted", api.identifier, before=api)


# --- client grants -------------------------------------------------------------------------------------------------


def create_grant(
    conn: Connection,
    ctx: Context,
    client_id: str,
    audience: str,
    scopes: tuple[str, ...],
    settings: dict[str, Any] | None = None,
    subject_type: str = "client",
) -> ClientGrant:
    """Let an application ask for an API for itself, or for people. Raises Missing, NotPossible, Conflict."""
    api = rows.find_api(conn, audience)
    if api is None:
        raise Missing("The resource server does not exist.", reason="inexistent_resource_server")
    _check_scopes(api, scopes)
    grant = ClientGrant(
        f"cgr_{random_id(16)}",
        client_id,
        api.id,
        api.identifier,
        scopes,
        ctx.now,
        settings or {},
        subject_type,
    )
    try:
        with conn.begin_nested():
            client_grants.add_client_grant(conn, grant)
    except IntegrityError:
        raise Conflict(
            "A client grant for this API exists already.", reason="client_grant_conflict"
        ) from None
    changes.record(conn, ctx, "client_grant_created", grant.id, after=grant)
    return grant


def update_grant(
    conn: Connection, ctx: Context, grant: ClientGrant, scopes: tuple[str, ...], settings: dict[str, Any]
) -> ClientGrant:
    """Raises NotPossible."""
    api = rows.find_api(conn, grant.audience)
    if api is not None:
        _check_scopes(api, scopes)
    after = replace(grant, scopes=scopes, settings=settings)
    client_grants.update_client_grant(conn, grant.id, scopes=list(scopes), settings=settings)
    changes.record(conn, ctx, "client_grant_updated", grant.id, before=grant, after=after)
    return after


def remove_grant(conn: Connection, ctx: Context, grant: ClientGrant) -> None:
    client_grants.remove_client_grant(conn, grant.id)
    changes.record(conn, ctx, "client_grant_deleted", grant.id, before=grant)


def grant_scopes(
    conn: Connection, ctx: Context, client_id: str, audience: str, scopes: tuple[str, ...]
) -> None:
    """Let an application ask for exactly these scopes for itself, whatever it had before. Raises NotPossible."""
    api = rows.find_api(conn, audience)
    if api is None:
        raise NotPossible(f"there is no API {audience}")
    strange = sorted(set(scopes) - set(api.scopes))
    if strange:
        raise NotPossible(f"the API has no scope {', '.join(strange)}")
    client_grants.remove_client_grant_on(conn, client_id, api.id)
    create_grant(conn, ctx, client_id, audience, scopes)


def _check_scopes(api: Api, scopes: tuple[str, ...]) -> None:
    if set(scopes) - set(api.scopes):
        raise NotPossible(NOT_A_SUBSET)
