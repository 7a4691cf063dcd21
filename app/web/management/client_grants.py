"""`/client-grants`: what applications may ask of APIs, for themselves and on behalf of people."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.errors import Missing
from app.store import client_grants
from app.store.base import count
from app.store.client_grants import ClientGrant
from app.store.tenant import lock_tenant
from app.web.management.credentials import get_own_client
from app.web.management.operation import Call, operation
from app.web.management.paging import COUNTED_UP_TO, Anywhere, Flag, checkpoint_page, offset_page
from app.web.management.schema import Body

UNKNOWN = "The client grant does not exist"


def view(grant: ClientGrant) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": grant.id,
        "client_id": grant.client_id,
        "audience": grant.audience,
        "scope": list(grant.scopes),
        "subject_type": grant.subject_type,
    }
    if grant.settings.get("allow_all_scopes"):  # those of the API, today's and tomorrow's
        del shown["scope"]
    return shown | grant.settings


def get_grant(conn: Connection, grant_id: str) -> ClientGrant:
    """Raises Missing."""
    grant = client_grants.find_client_grant(conn, grant_id)
    if grant is None:
        raise Missing(UNKNOWN, reason="inexistent_client_grant")
    return grant


class ListQuery(Anywhere):
    audience: str | None = None
    client_id: str | None = None
    subject_type: Literal["client", "user"] | None = None
    allow_any_organization: Flag | None = None


@operation("GET", "/client-grants", scopes="read:client_grants", query=ListQuery)
def list_client_grants(call: Call) -> object:
    """Client grants; `audience` and `client_id` choose among them"""
    query: ListQuery = call.query
    find = partial(
        client_grants.list_client_grants,
        client_id=query.client_id,
        audience=query.audience,
        subject_type=query.subject_type,
    )
    with call.ctx.db.read() as conn:
        if query.take is not None:

            def behind(limit: int, after: str) -> list[ClientGrant]:
                return find(conn, limit=limit, after=after)

            return checkpoint_page(query, "client_grants", behind, lambda grant: grant.id, view)
        first = query.page * query.per_page
        found = find(conn, limit=query.per_page, offset=first)
        everything = client_grants.matching(query.client_id, query.audience, query.subject_type)
        return offset_page(
            query,
            "client_grants",
            [view(grant) for grant in found],
            lambda: count(conn, everything, up_to=COUNTED_UP_TO),
        )


@operation("GET", "/client-grants/{id}", scopes="read:client_grants")
def show_client_grant(call: Call) -> object:
    """A client grant"""
    with call.ctx.db.read() as conn:
        return view(get_grant(conn, call.id))


Scopes = Annotated[list[Annotated[str, Field(min_length=1, max_length=280)]], Field(max_length=1000)]


class Changes(Body):
    scope: Scopes | None = None
    organization_usage: Literal["deny", "allow", "require"] | None = None
    allow_any_organization: bool | None = None
    authorization_details_types: list[str] | None = None
    allow_all_scopes: bool | None = None


class NewGrant(Changes):
    client_id: Annotated[str, Field(min_length=1)]
    audience: Annotated[str, Field(min_length=1)]
    subject_type: Literal["client", "user"] | None = None


def _settings(given: Changes) -> dict[str, Any]:
    kept = {"organization_usage", "allow_any_organization", "authorization_details_types", "allow_all_scopes"}
    return given.model_dump(include=kept & given.model_fields_set)


@operation("POST", "/client-grants", scopes="create:client_grants", ok=201, body=NewGrant)
def create_client_grant(call: Call) -> object:
    """Let an application ask for scopes of an API"""
    given = call.body
    with call.ctx.db.write() as conn:
        client = get_own_client(conn, given.client_id)
        scopes = tuple(given.scope or ())
        settings, subject = _settings(given), given.subject_type or "client"
        return view(
            accounts.create_grant(conn, call.ctx, client.id, given.audience, scopes, settings, subject)
        )


@operation("PATCH", "/client-grants/{id}", scopes="update:client_grants", body=Changes)
def update_client_grant(call: Call) -> object:
    """Change a client grant; `scope` replaces the old ones"""
    given = call.body
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        grant = get_grant(conn, call.id)
        scopes = grant.scopes if given.scope is None else tuple(given.scope)
        return view(accounts.update_grant(conn, call.ctx, grant, scopes, grant.settings | _settings(given)))


@operation("DELETE", "/client-grants/{id}", scopes="delete:client_grants", ok=204)
def delete_client_grant(call: Call) -> object:
    """Remove a client grant; no error when there is none"""
    with call.ctx.db.write() as conn:
        grant = client_grants.find_client_grant(conn, call.id)
        if grant is not None:
            accounts.remove_grant(conn, call.ctx, grant)
    return None


OPERATIONS = (
    list_client_grants,
    show_client_grant,
    create_client_grant,
    update_client_grant,
    delete_client_grant,
)
