"""`/resource-servers`: APIs, as tools administer them. Addressed by id or by identifier, slashes and all."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.accounts import HEX
from app.crypto import random_id
from app.errors import Missing
from app.store import apis
from app.store.apis import Api
from app.store.tenant import lock_tenant
from app.web.management.operation import Call, operation
from app.web.management.paging import Flag, Paged, Query, whole_page
from app.web.management.schema import Body

UNKNOWN = "The resource server does not exist"
DEFAULT_SECONDS = 86400
DEFAULTS: dict[str, Any] = {
    "token_lifetime_for_web": 7200,
    "skip_consent_for_verifiable_first_party_clients": False,
}


class Scope(Body):
    value: Annotated[str, Field(min_length=1, max_length=280, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
    description: Annotated[str, Field(max_length=500)] | None = None


class ClientPolicy(Body):
    policy: Literal["require_client_grant", "deny_all"]


class UserPolicy(Body):
    policy: Literal["allow_all", "require_client_grant", "deny_all"]


class SubjectTypes(Body):
    """Who may be the subject of a token; what is left out stays."""

    client: ClientPolicy | None = None
    user: UserPolicy | None = None


class Changes(Body):
    name: Annotated[str, Field(max_length=200, pattern="^[^<>]*$")] | None = None
    scopes: Annotated[list[Scope], Field(max_length=1000)] | None = None
    signing_alg: Literal["HS256", "RS256", "RS512", "PS256", "ES256"] | None = None
    signing_secret: Annotated[str, Field(min_length=16)] | None = None
    token_lifetime: Annotated[int, Field(ge=1, le=2592000)] | None = None
    token_lifetime_for_web: Annotated[int, Field(ge=1, le=2592000)] | None = None
    allow_offline_access: bool | None = None
    skip_consent_for_verifiable_first_party_clients: bool | None = None
    enforce_policies: bool | None = None
    token_dialect: (
        Literal["access_token", "access_token_authz", "rfc9068_profile", "rfc9068_profile_authz"] | None
    ) = None
    token_encryption: dict[str, Any] | None = None
    consent_policy: str | None = None
    authorization_details: list[Any] | None = None
    proof_of_possession: dict[str, Any] | None = None
    subject_type_authorization: SubjectTypes | None = None
    authorization_policy: dict[str, Any] | None = None


class NewApi(Changes):
    identifier: Annotated[str, Field(min_length=1, max_length=600, pattern=r"^\S+$")]


OURS = (
    "name scopes signing_alg signing_secret token_lifetime allow_offline_access enforce_policies token_dialect "
    "subject_type_authorization"
).split()


def get_api(conn: Connection, id_or_identifier: str) -> Api:
    """Raises Missing."""
    api = apis.find_api_by_id(conn, id_or_identifier) or apis.find_api(conn, id_or_identifier)
    if api is None:
        raise Missing(UNKNOWN, reason="inexistent_resource_server")
    return api


def view(api: Api) -> dict[str, Any]:
    scopes = [
        {"value": scope} | ({"description": api.descriptions[scope]} if scope in api.descriptions else {})
        for scope in api.scopes
    ]
    return (
        DEFAULTS
        | api.settings
        | {
            "id": api.id,
            "name": api.name or None,
            "identifier": api.identifier,
            "is_system": api.is_system or None,
            "scopes": scopes or None,
            "signing_alg": api.signing_alg,
            "token_lifetime": api.token_seconds,
            "allow_offline_access": api.allow_offline_access,
            "enforce_policies": api.settings.get("enforce_policies") if not api.enforces_policies else True,
            "token_dialect": api.settings.get("token_dialect"),
            "subject_type_authorization": {
                "client": {"policy": api.client_policy},
                "user": {"policy": api.user_policy},
            },
        }
    )


class ListQuery(Paged):
    identifiers: list[str] | None = Field(None, max_length=10)
    include_fields: Flag = True


@operation("GET", "/resource-servers", scopes="read:resource_servers", query=ListQuery)
def list_apis(call: Call) -> object:
    """APIs"""
    with call.ctx.db.read() as conn:
        wanted = call.query.identifiers
        found = [api for api in apis.list_apis(conn) if not wanted or api.identifier in wanted]
    return whole_page(call.query, "resource_servers", found, view)


class ShowQuery(Query):
    include_fields: Flag = True


@operation("GET", "/resource-servers/{id}", scopes="read:resource_servers", query=ShowQuery)
def show_api(call: Call) -> object:
    """An API"""
    with call.ctx.db.read() as conn:
        return view(get_api(conn, call.id))


def _changed(api: Api, given: Changes) -> dict[str, Any]:
    sent = given.model_fields_set
    changed: dict[str, Any] = {}
    for name, column in (
        ("name", "name"),
        ("signing_alg", "signing_alg"),
        ("token_lifetime", "token_seconds"),
        ("allow_offline_access", "allow_offline_access"),
        ("enforce_policies", "enforces_policies"),
        ("token_dialect", "token_dialect"),
    ):
        if getattr(given, name) is not None:
            changed[column] = getattr(given, name)
    if given.scopes is not None:
        changed["scopes"] = tuple(dict.fromkeys(scope.value for scope in given.scopes))
        changed["descriptions"] = {s.value: s.description for s in given.scopes if s.description is not None}
    subjects = given.subject_type_authorization or SubjectTypes()
    for part, column in ((subjects.client, "client_policy"), (subjects.user, "user_policy")):
        if part is not None:
            changed[column] = part.policy
    kept = sent - (set(OURS) - {"enforce_policies", "token_dialect"})
    settings = api.settings | given.model_dump(mode="json", include=kept)
    settings = {name: value for name, value in settings.items() if value is not None and name != "identifier"}
    return changed | ({"settings": settings} if settings != api.settings else {})


@operation("POST", "/resource-servers", scopes="create:resource_servers", ok=201, body=NewApi)
def create_api(call: Call) -> object:
    """Create an API"""
    ctx, given = call.ctx, call.body
    api = Api(random_id(24, HEX), given.identifier, "", ctx.now, token_seconds=DEFAULT_SECONDS)
    changed = _changed(api, given)
    api = Api(**{name: changed.get(name, getattr(api, name)) for name in Api.__dataclass_fields__})
    with ctx.db.write() as conn:
        return view(accounts.create_api(conn, ctx, api))


@operation("PATCH", "/resource-servers/{id}", scopes="update:resource_servers", body=Changes)
def update_api(call: Call) -> object:
    """Change an API; `scopes` replace the old ones"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        api = get_api(conn, call.id)
        return view(accounts.update_api(conn, call.ctx, api, **_changed(api, call.body)))


@operation("DELETE", "/resource-servers/{id}", scopes="delete:resource_servers", ok=204)
def delete_api(call: Call) -> object:
    """Delete an API; no error when there is none"""
    with call.ctx.db.write() as conn:
        api = apis.find_api_by_id(conn, call.id) or apis.find_api(conn, call.id)
        if api is not None:
            accounts.remove_api(conn, call.ctx, api)
    return None


OPERATIONS = (list_apis, show_api, create_api, update_api, delete_api)
