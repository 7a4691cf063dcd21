"""`/clients`: applications, as tools administer them."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from app import accounts
from app.errors import Forbidden, NotPossible
from app.store import clients
from app.store.clients import Client
from app.store.tenant import lock_tenant
from app.web.management.client_members import (
    DEFAULTS,
    MEMBERS,
    Changes,
    NewClient,
    changed_by,
    origins_of,
    view,
)
from app.web.management.credentials import get_client, get_own_client, put_keys
from app.web.management.operation import Call, operation
from app.web.management.paging import Anywhere, Fields, Flag, checkpoint_page, choose, whole_page

READ = "read:clients read:client_keys read:client_credentials read:client_summary"
DEFAULT_GRANTS = ("authorization_code", "implicit", "refresh_token")


class ListQuery(Anywhere, Fields):
    is_global: Flag | None = None
    is_first_party: Flag | None = None
    app_type: list[str] | None = None
    q: str | None = None


@operation("GET", "/clients", scopes=READ, query=ListQuery)
def list_clients(call: Call) -> object:
    """Applications"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = [
            client
            for client in clients.list_clients(conn)
            if query.is_global in (None, client.is_global)
            and query.is_first_party in (None, client.is_first_party)
            and (not query.app_type or client.app_type in query.app_type)
        ]

        def shown(client: Client) -> dict[str, Any]:
            return choose(view(call, conn, client), query, MEMBERS)

        if query.take is None:
            return whole_page(query, "clients", found, shown)
        found.sort(key=lambda client: client.id)

        def behind(limit: int, after: str) -> list[Client]:
            return [client for client in found if client.id > after][:limit]

        return checkpoint_page(query, "clients", behind, lambda client: client.id, shown)


@operation("GET", "/clients/{id}", scopes=READ, query=Fields)
def show_client(call: Call) -> object:
    """An application"""
    with call.ctx.db.read() as conn:
        return choose(view(call, conn, get_client(conn, call.id)), call.query, MEMBERS)


@operation("POST", "/clients", scopes="create:clients", ok=201, body=NewClient)
def create_client(call: Call) -> object:
    """Create an application; its secret is shown this once"""
    ctx, given = call.ctx, call.body
    is_public = given.app_type in ("native", "spa")
    grants = DEFAULT_GRANTS if is_public else (*DEFAULT_GRANTS, "client_credentials")
    client = Client(
        accounts.new_client_id(),
        given.name,
        given.app_type or "",
        "none" if is_public else "client_secret_post",
        ctx.now,
        grant_types=grants,
        settings=DEFAULTS,
    )
    client = replace(client, **changed_by(client, given))
    with ctx.db.write() as conn:
        secret = accounts.create_client(conn, ctx, client, origins_of(client))
        _put_keys(call, conn, client, given)
        created = get_client(conn, client.id)
        return view(call, conn, created, secret) | {"encrypted": True}


def _put_keys(call: Call, conn: Connection, client: Client, given: Changes) -> None:
    methods = given.client_authentication_methods
    if methods is not None and methods.private_key_jwt is not None:
        put_keys(call, conn, client, methods.private_key_jwt)


def _check_scopes(call: Call) -> None:
    """What a client proves itself with is more than what it is called: each needs the scope of its own."""
    sent, scopes = call.body.model_fields_set, call.caller.scopes
    proofs = {"token_endpoint_auth_method", "client_authentication_methods"}
    if sent & proofs and not scopes & {"update:client_keys", "update:client_credentials"}:
        wanted = "update:client_keys,update:client_credentials"
        raise Forbidden(f"Insufficient scope, expected any of: {wanted}", reason="insufficient_scope")
    if sent - proofs and "update:clients" not in scopes:
        raise Forbidden("Insufficient scope, expected any of: update:clients", reason="insufficient_scope")


@operation(
    "PATCH",
    "/clients/{id}",
    scopes="update:clients update:client_keys update:client_credentials update:client_token_vault_privileged_access",
    body=Changes,
)
def update_client(call: Call) -> object:
    """Change an application"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        client = get_own_client(conn, call.id)
        _check_scopes(call)
        changed = changed_by(client, call.body)
        after = replace(client, **changed)
        after, secret = accounts.update_client(conn, call.ctx, client, origins=origins_of(after), **changed)
        _put_keys(call, conn, client, call.body)
        return view(call, conn, after, secret)


@operation("DELETE", "/clients/{id}", scopes="delete:clients", ok=204)
def delete_client(call: Call) -> object:
    """Delete an application; no error when there is none"""
    with call.ctx.db.write() as conn:
        client = clients.find_client(conn, call.id)
        if client is not None and client.is_global:
            raise NotPossible("The global client cannot be deleted.")
        if client is not None:
            accounts.remove_client(conn, call.ctx, client)
    return None


@operation("POST", "/clients/{id}/rotate-secret", scopes="update:client_keys")
def rotate_secret(call: Call) -> object:
    """A new secret, shown this once; the one before it ends at once"""
    with call.ctx.db.write() as conn:
        client = get_own_client(conn, call.id)
        if not client.auth_method.startswith("client_secret"):
            raise NotPossible("The client has no secret.", reason="operation_not_supported")
        secret = accounts.rotate_secret(conn, call.ctx, client)
        return view(call, conn, get_client(conn, call.id), secret)


OPERATIONS = (list_clients, show_client, create_client, update_client, delete_client, rotate_secret)
