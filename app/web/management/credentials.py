"""`/clients/{id}/credentials`: the public keys that applications sign their assertions with."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.errors import Missing, NotPossible
from app.store import clients
from app.store.clients import Client
from app.web.management.operation import Call, operation
from app.web.management.schema import Body, Text128
from app.web.management.wire import timestamp

UNKNOWN = "The client does not exist"


class NewCredential(Body):
    credential_type: Literal["public_key"]
    pem: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Text128 | None = None
    alg: Literal["RS256", "RS384", "PS256"] = "RS256"
    parse_expiry_from_cert: Literal[False] | None = None
    """Keys that run out by themselves are not kept yet: better refused than ignored."""


class KnownCredential(Body):
    id: str


class PrivateKeyJwt(Body):
    credentials: Annotated[list[NewCredential | KnownCredential], Field(max_length=2)]


def get_client(conn: Connection, client_id: str) -> Client:
    """Raises Missing."""
    client = clients.find_client(conn, client_id)
    if client is None:
        raise Missing(UNKNOWN, reason="inexistent_client")
    return client


def get_own_client(conn: Connection, client_id: str) -> Client:
    """One that may be changed: not that which stands for all. Raises Missing, NotPossible."""
    client = get_client(conn, client_id)
    if client.is_global:
        raise NotPossible("The global client cannot be changed.", reason="operation_not_supported")
    return client


def put_keys(call: Call, conn: Connection, client: Client, wanted: PrivateKeyJwt) -> None:
    """Keep those that are named, add those that are new, and remove all others."""
    named = {c.id for c in wanted.credentials if isinstance(c, KnownCredential)}
    for key in clients.list_client_keys(conn, client.id):
        if key.id not in named:
            accounts.remove_key(conn, call.ctx, client, key.id)
    for new in wanted.credentials:
        if isinstance(new, NewCredential):
            accounts.add_key(conn, call.ctx, client, name=new.name or client.name, pem=new.pem, alg=new.alg)


def _key_view(key: clients.ClientKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "credential_type": "public_key",
        "alg": key.alg,
        "kid": key.id,
        "created_at": timestamp(key.created_at),
        "updated_at": timestamp(key.created_at),
    }


def _get_key(conn: Connection, call: Call) -> clients.ClientKey:
    client = get_client(conn, call.path["client_id"])
    for key in clients.list_client_keys(conn, client.id):
        if key.id == call.path["credential_id"]:
            return key
    raise Missing("The credential does not exist", reason="inexistent_credential")


@operation("GET", "/clients/{client_id}/credentials", scopes="read:client_credentials")
def list_credentials(call: Call) -> object:
    """Public keys of an application"""
    with call.ctx.db.read() as conn:
        client = get_client(conn, call.path["client_id"])
        return [_key_view(key) for key in clients.list_client_keys(conn, client.id)]


@operation(
    "POST", "/clients/{client_id}/credentials", scopes="create:client_credentials", ok=201, body=NewCredential
)
def create_credential(call: Call) -> object:
    """Add a public key to an application"""
    with call.ctx.db.write() as conn:
        client = get_own_client(conn, call.path["client_id"])
        given = call.body
        return _key_view(
            accounts.add_key(
                conn, call.ctx, client, name=given.name or client.name, pem=given.pem, alg=given.alg
            )
        )


@operation("GET", "/clients/{client_id}/credentials/{credential_id}", scopes="read:client_credentials")
def show_credential(call: Call) -> object:
    """A public key of an application"""
    with call.ctx.db.read() as conn:
        return _key_view(_get_key(conn, call))


class ChangedCredential(Body):
    expires_at: str | None = None


@operation(
    "PATCH",
    "/clients/{client_id}/credentials/{credential_id}",
    scopes="update:client_credentials",
    ok=201,
    body=ChangedCredential,
)
def update_credential(call: Call) -> object:
    """Change when a public key runs out: keys here do not, and an end that is not kept is refused"""
    with call.ctx.db.read() as conn:
        key = _get_key(conn, call)
    if call.body.expires_at is not None:
        raise NotPossible("Keys do not run out by themselves.", reason="operation_not_supported")
    return _key_view(key)


@operation(
    "DELETE", "/clients/{client_id}/credentials/{credential_id}", scopes="delete:client_credentials", ok=204
)
def delete_credential(call: Call) -> object:
    """Remove a public key from an application"""
    with call.ctx.db.write() as conn:
        client = get_client(conn, call.path["client_id"])
        accounts.remove_key(conn, call.ctx, client, call.path["credential_id"])
    return None


OPERATIONS = (list_credentials, create_credential, show_credential, update_credential, delete_credential)
