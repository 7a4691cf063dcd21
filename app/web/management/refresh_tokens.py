"""Refresh tokens, sessions, and the end of somebody's access."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.errors import Missing, NotPossible
from app.store import refresh_families
from app.store.refresh_families import RefreshFamily
from app.web.management.metadata import merged_labels
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Checkpoint, Fields, Flag, Paged, checkpoint_page, choose, whole_page
from app.web.management.schema import Body
from app.web.management.users import get_user
from app.web.management.wire import timestamp

UNKNOWN = "The refresh token does not exist."


def view(family: RefreshFamily) -> dict[str, Any]:
    """A family is what Auth0 calls a refresh token: its id stays while the secret rotates."""
    return {
        "id": family.handle_digest,
        "user_id": family.user_id,
        "created_at": timestamp(family.created_at),
        "idle_expires_at": timestamp(family.idle_expires_at),
        "expires_at": timestamp(family.expires_at),
        "device": {
            name: value
            for name, value in (
                ("initial_ip", family.initial_ip),
                ("initial_user_agent", family.initial_user_agent),
                ("last_ip", family.last_ip),
                ("last_user_agent", family.last_user_agent),
            )
            if value
        },
        "client_id": family.client_id,
        "rotating": family.is_rotating,
        "resource_servers": [{"audience": family.audience, "scopes": family.scope}]
        if family.audience
        else [],
        "refresh_token_metadata": family.labels or None,
        "last_exchanged_at": timestamp(family.rotated_at) if family.rotated_at != family.created_at else None,
    }


class ListQuery(Checkpoint):
    include_totals: Flag = False


@operation("GET", "/users/{user_id}/refresh-tokens", scopes="read:refresh_tokens", query=ListQuery)
def list_user_tokens(call: Call) -> object:
    """Refresh tokens of a user that are still good"""
    return _page(call, "tokens", user_id=call.path["user_id"])


class AllQuery(Checkpoint, Fields):
    user_id: str = Field(min_length=1)
    client_id: str | None = None


@operation("GET", "/refresh-tokens", scopes="read:refresh_tokens", query=AllQuery)
def list_tokens(call: Call) -> object:
    """Refresh tokens of a user, of one application or of all"""
    return _page(call, "refresh_tokens", user_id=call.query.user_id, client_id=call.query.client_id)


def _page(call: Call, key: str, *, user_id: str, client_id: str | None = None) -> object:
    with call.ctx.db.read() as conn:
        get_user(conn, user_id)

        def behind(limit: int, after: str) -> list[RefreshFamily]:
            return refresh_families.list_families(
                conn, user_id=user_id, client_id=client_id, now=call.ctx.now, limit=limit, after=after
            )

        def shown(family: RefreshFamily) -> dict[str, Any]:
            return choose(view(family), call.query) if hasattr(call.query, "fields") else view(family)

        return checkpoint_page(call.query, key, behind, lambda family: family.handle_digest, shown)


def _get(conn: Connection, call: Call) -> RefreshFamily:
    family = refresh_families.find_family(conn, call.id)
    if family is None or family.revoked_at is not None:
        raise Missing(UNKNOWN, reason="inexistent_refresh_token")
    return family


@operation("GET", "/refresh-tokens/{id}", scopes="read:refresh_tokens")
def show_token(call: Call) -> object:
    """A refresh token"""
    with call.ctx.db.read() as conn:
        return view(_get(conn, call))


MAX_TOKEN_LABELS = 25
TokenMetadata = Annotated[
    dict[Annotated[str, Field(max_length=255)], Annotated[str, Field(max_length=255)] | None],
    Field(max_length=MAX_TOKEN_LABELS),
]


class Changes(Body):
    refresh_token_metadata: TokenMetadata | None = None


@operation("PATCH", "/refresh-tokens/{id}", scopes="update:refresh_tokens", body=Changes)
def update_token(call: Call) -> object:
    """Change the metadata of a refresh token"""
    with call.ctx.db.write() as conn:
        family = _get(conn, call)
        if "refresh_token_metadata" in call.body.model_fields_set:
            given, name = call.body.refresh_token_metadata, "refresh_token_metadata"
            labels = (
                merged_labels(family.labels or {}, given, name, at_most=MAX_TOKEN_LABELS) if given else {}
            )
            accounts.label_refresh_token(conn, call.ctx, family, labels)
        return view(_get(conn, call))


@operation("DELETE", "/refresh-tokens/{id}", scopes="delete:refresh_tokens", ok=202)
def delete_token(call: Call) -> object:
    """End a refresh token"""
    with call.ctx.db.write() as conn:
        family = refresh_families.find_family(conn, call.id)
        if family is not None:
            accounts.revoke_refresh_tokens(conn, call.ctx, [family])
    return None


@operation("DELETE", "/users/{user_id}/refresh-tokens", scopes="delete:refresh_tokens", ok=202)
def delete_user_tokens(call: Call) -> object:
    """End every refresh token of a user"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.path["user_id"])
        accounts.revoke_refresh_tokens_of(conn, call.ctx, user_id=user.id)
    return None


class Revocation(Body):
    ids: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    user_id: str | None = None
    client_id: str | None = None


@operation("POST", "/refresh-tokens/revoke", scopes="delete:refresh_tokens", ok=202, body=Revocation)
def revoke_tokens(call: Call) -> object:
    """End refresh tokens by id, by user, by application, or of a user in an application"""
    given: Revocation = call.body
    if (given.ids is None) == (given.user_id is None and given.client_id is None):
        raise NotPossible("Payload validation error: 'Give ids, or user_id, client_id, or both of these'.")
    with call.ctx.db.write() as conn:
        if given.ids is not None:
            found = [refresh_families.find_family(conn, token_id) for token_id in given.ids]
            accounts.revoke_refresh_tokens(conn, call.ctx, [family for family in found if family])
        else:
            accounts.revoke_refresh_tokens_of(
                conn, call.ctx, user_id=given.user_id, client_id=given.client_id
            )
    return None


class RevokeAccess(Body):
    session_id: str | None = None
    preserve_refresh_tokens: bool = False


@operation(
    "POST",
    "/users/{id}/revoke-access",
    scopes="delete:sessions delete:refresh_tokens",
    ok=202,
    body=RevokeAccess | None,
)
def revoke_access(call: Call) -> object:
    """End what a user is logged in with"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        keeps = call.body is not None and call.body.preserve_refresh_tokens
        accounts.revoke_access(conn, call.ctx, user, keeps_refresh_tokens=keeps)
    return None


# --- sessions: this flow makes none in a browser -------------------------------------------------------------------

NO_SESSION = "The session does not exist."


@operation("GET", "/users/{user_id}/sessions", scopes="read:sessions", query=ListQuery)
def list_sessions(call: Call) -> object:
    """Browser sessions of a user: the password grant makes none"""
    with call.ctx.db.read() as conn:
        get_user(conn, call.path["user_id"])
    return {"sessions": []}


@operation("DELETE", "/users/{user_id}/sessions", scopes="delete:sessions", ok=202)
def delete_sessions(call: Call) -> object:
    """End every browser session of a user"""
    with call.ctx.db.read() as conn:
        get_user(conn, call.path["user_id"])
    return Answered(status=202)


@operation("GET", "/sessions/{id}", scopes="read:sessions")
def show_session(call: Call) -> object:
    """A browser session"""
    raise Missing(NO_SESSION, reason="inexistent_session")


@operation("PATCH", "/sessions/{id}", scopes="update:sessions")
def update_session(call: Call) -> object:
    """Change the metadata of a browser session"""
    raise Missing(NO_SESSION, reason="inexistent_session")


@operation("DELETE", "/sessions/{id}", scopes="delete:sessions", ok=202)
def delete_session(call: Call) -> object:
    """End a browser session"""
    return Answered(status=202)


@operation("POST", "/sessions/{id}/revoke", scopes="delete:sessions delete:refresh_tokens", ok=202)
def revoke_session(call: Call) -> object:
    """End a browser session and its refresh tokens"""
    raise Missing(NO_SESSION, reason="inexistent_session")


# --- the older view of refresh tokens ------------------------------------------------------------------------------


MOST_DEVICES = 1000  # of one person; nobody has so many


class DevicesQuery(Paged, Fields):
    user_id: str | None = None
    client_id: str | None = None
    type: str | None = None


@operation("GET", "/device-credentials", scopes="read:device_credentials", query=DevicesQuery)
def list_devices(call: Call) -> object:
    """Refresh tokens of a user, as older tools know them"""
    query: DevicesQuery = call.query
    found: list[RefreshFamily] = []
    if query.user_id is not None and query.type in (None, "refresh_token", "rotating_refresh_token"):
        with call.ctx.db.read() as conn:
            found = refresh_families.list_families(
                conn, user_id=query.user_id, client_id=query.client_id, now=call.ctx.now, limit=MOST_DEVICES
            )
    return whole_page(query, "device_credentials", found, lambda family: choose(_device(family), query))


def _device(family: RefreshFamily) -> dict[str, Any]:
    return {
        "id": family.handle_digest,
        "device_name": family.last_user_agent or "",
        "type": "rotating_refresh_token" if family.is_rotating else "refresh_token",
        "user_id": family.user_id,
        "client_id": family.client_id,
        "last_used": timestamp(family.rotated_at),
    }


@operation(
    "DELETE",
    "/device-credentials/{id}",
    scopes="delete:device_credentials delete:current_user_device_credentials",
    ok=204,
)
def delete_device(call: Call) -> object:
    """End a refresh token, as older tools do it"""
    delete_token.handle(call)
    return None


OPERATIONS = (
    list_user_tokens,
    list_tokens,
    show_token,
    update_token,
    delete_token,
    delete_user_tokens,
    revoke_tokens,
    revoke_access,
    list_sessions,
    delete_sessions,
    show_session,
    update_session,
    delete_session,
    revoke_session,
    list_devices,
    delete_device,
)
