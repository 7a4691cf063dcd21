"""`/users`, `/users-by-email`: people and their profiles."""

import hashlib
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.accounts import passwords as password_changes
from app.accounts.import_schema import NOT_IN_APP_METADATA
from app.context import Context
from app.errors import Forbidden, Missing, NotPossible
from app.search import BadQuery, parse
from app.store import authenticators, realms, users
from app.store.realms import Realm
from app.store.search import condition
from app.store.searchable import USER_FIELDS
from app.store.users import User
from app.web.management.metadata import merged
from app.web.management.operation import Call, operation
from app.web.management.paging import COUNTED_UP_TO, Fields, Paged, choose, offset_page
from app.web.management.schema import Body, Email, Metadata, Phone, Text150, Text300, Username
from app.web.management.wire import timestamp

UNKNOWN = "The user does not exist."
SEARCH_LIMIT = 1000
TOO_FAR = (
    "You can only page through the first 1000 records. See "
    "https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation"
)
MEMBERS = (
    "user_id email email_verified username phone_number phone_verified name given_name family_name nickname picture "
    "created_at updated_at identities user_metadata app_metadata multifactor last_ip last_login logins_count "
    "last_password_reset blocked"
).split()

# Not both at once, as Auth0 has it: which of them a refusal would be about could not be told.
NOT_TOGETHER = (
    ("password", "email"),
    ("password", "email_verified"),
    ("username", "email"),
    ("username", "email_verified"),
    ("username", "password"),
)


def view(ctx: Context, user: User, realm: Realm | None, *, is_enrolled: bool) -> dict[str, Any]:
    """As Auth0 shows a user: what somebody does not have is not there."""
    identity = {
        "connection": realm.name if realm else "",
        "user_id": user.id.partition("|")[2],
        "provider": user.id.partition("|")[0],
        "isSocial": False,
    }
    found: dict[str, Any] = {
        "user_id": user.id,
        "email": user.email,
        "email_verified": user.email_verified if user.email else None,
        "username": user.username,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified if user.phone_number else None,
        "name": user.name,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "nickname": user.nickname,
        "picture": user.picture or _picture(ctx, user),
        "created_at": timestamp(user.created_at),
        "updated_at": timestamp(user.updated_at),
        "identities": [identity],
        "user_metadata": user.user_metadata or None,
        "app_metadata": user.app_metadata or None,
        "multifactor": ["guardian"] if is_enrolled else None,
        "last_ip": user.last_ip,
        "last_login": timestamp(user.last_login),
        "logins_count": user.logins_count or None,
        "last_password_reset": timestamp(user.last_password_reset),
        "blocked": user.is_blocked or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _picture(ctx: Context, user: User) -> str | None:
    if not ctx.settings.picture_url or not user.email:
        return None
    md5 = hashlib.md5(user.email.lower().encode(), usedforsecurity=False).hexdigest()
    return ctx.settings.picture_url.format(md5=md5, letters=quote((user.name or user.email)[:2].lower()))


def get_user(conn: Connection, user_id: str) -> User:
    """Raises Missing."""
    user = users.find_user(conn, user_id)
    if user is None:
        raise Missing(UNKNOWN, reason="inexistent_user")
    return user


def show(ctx: Context, conn: Connection, user: User) -> dict[str, Any]:
    realm = ctx.look_up(conn, realms.find_realm, user.realm_id)
    return view(ctx, user, realm, is_enrolled=user.id in authenticators.list_enrolled(conn, [user.id]))


def _show_all(ctx: Context, conn: Connection, people: list[User], query: Any) -> list[dict[str, Any]]:
    enrolled = authenticators.list_enrolled(conn, [user.id for user in people])
    found = [
        view(
            ctx,
            user,
            ctx.look_up(conn, realms.find_realm, user.realm_id),
            is_enrolled=user.id in enrolled,
        )
        for user in people
    ]
    return [choose(members, query, MEMBERS) for members in found]


# --- reading -------------------------------------------------------------------------------------------------------


class ListQuery(Paged, Fields):
    q: str | None = Field(None, max_length=2000)
    sort: str | None = Field(None, pattern=r"^[a-zA-Z0-9_.]+:(1|-1)$")
    connection: str | None = None
    search_engine: str | None = Field(None, pattern="^(v1|v2|v3)$")


@operation("GET", "/users", scopes="read:users read:user_idp_tokens", query=ListQuery)
def list_users(call: Call) -> object:
    """People of all connections; `q` searches"""
    query: ListQuery = call.query
    if query.search_engine in ("v1", "v2"):
        text = f"You are not allowed to use search_engine={query.search_engine}. Use search_engine=v3 instead"
        raise NotPossible(text, reason="invalid_query_string")
    if (query.page + 1) * query.per_page > SEARCH_LIMIT:
        raise NotPossible(TOO_FAR, reason="invalid_paging")
    field, _, direction = (query.sort or "user_id:1").partition(":")
    if field not in users.SORTABLE:
        raise NotPossible(
            "Query validation error: 'Cannot sort by this' on property sort.", reason="invalid_query_string"
        )
    try:
        wanted = condition(parse(query.q), USER_FIELDS) if query.q else None
    except BadQuery as error:
        text = f"Query validation error: '{error}' on property q."
        raise NotPossible(text, reason="invalid_query_string") from None
    with call.ctx.db.read() as conn:
        people = users.search_users(
            conn,
            wanted,
            limit=query.per_page,
            offset=query.page * query.per_page,
            sort=field,
            is_descending=direction == "-1",
        )
        shown = _show_all(call.ctx, conn, people, query)
        return offset_page(
            query,
            "users",
            shown,
            lambda: users.count_users(conn, wanted, up_to=COUNTED_UP_TO),
            has_length=True,
        )


class ByEmailQuery(Fields):
    email: str = Field(min_length=1, max_length=320)


@operation("GET", "/users-by-email", scopes="read:users", query=ByEmailQuery)
def list_users_by_email(call: Call) -> object:
    """People with an e-mail address, one in each connection"""
    with call.ctx.db.read() as conn:
        return _show_all(
            call.ctx, conn, users.list_users_by_email(conn, call.query.email.lower()), call.query
        )


@operation("GET", "/users/{id}", scopes="read:users read:current_user read:user_idp_tokens", query=Fields)
def show_user(call: Call) -> object:
    """A user"""
    with call.ctx.db.read() as conn:
        return choose(show(call.ctx, conn, get_user(conn, call.id)), call.query, MEMBERS)


# --- writing -------------------------------------------------------------------------------------------------------

Picture = Annotated[str, Field(max_length=2000, pattern=r"^https?://\S+$")]


class Profile(Body):
    email: Email | None = None
    email_verified: bool | None = None
    verify_email: bool | None = None
    username: Username | None = None
    phone_number: Phone | None = None
    phone_verified: bool | None = None
    verify_phone_number: bool | None = None
    password: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    blocked: bool | None = None
    name: Text300 | None = None
    given_name: Text150 | None = None
    family_name: Text150 | None = None
    nickname: Text300 | None = None
    picture: Picture | None = None
    user_metadata: Metadata | None = None
    app_metadata: Metadata | None = None
    connection: str | None = None


class NewUser(Profile):
    connection: str
    user_id: Annotated[str, Field(max_length=255, pattern=r"^[^\s/]+$")] | None = None


@operation("POST", "/users", scopes="create:users", ok=201, body=NewUser)
def create_user(call: Call) -> object:
    """Create a user in a connection"""
    ctx, given = call.ctx, call.body
    with ctx.db.read() as conn:
        realm = realms.find_realm_by_name(conn, given.connection)
    if realm is None:
        raise NotPossible("The connection does not exist.", reason="inexistent_connection")
    _check_user_may_be_made(realm, given)
    profile = {name: value for name, value in _profile(given).items() if value is not None}
    user = accounts.new_user(
        realm, ctx.now, id=_own_id(given.user_id), is_blocked=bool(given.blocked), **profile
    )
    user = accounts.with_defaults(user)
    password_hash = None
    if given.password is not None:
        password_hash = password_changes.hash_checked(ctx, realm, user, given.password)
    with ctx.db.write() as conn:
        user = accounts.create_user(conn, ctx, user, password_hash)
        return show(ctx, conn, user)


def _check_user_may_be_made(realm: Realm, given: NewUser) -> None:
    if realm.kind != "database":
        text = (
            "Connection does not support user creation through the API. "
            "It must either be a database or passwordless connection."
        )
        raise NotPossible(text, reason="operation_not_supported")
    if (
        given.username
        and not realm.options.get("requires_username")
        and not realm.takes_identifier("username")
    ):
        text = "Cannot set username for connection without requires_username"
        raise NotPossible(text, reason="operation_not_supported")
    if realm.options.get("requires_username") and not given.username:
        raise NotPossible("Payload validation error: 'Missing required property: username'.")
    if not (given.email or given.username or given.phone_number):
        raise NotPossible("Payload validation error: 'Missing required property: email'.")
    if given.password is None and realm.needs_password_at_creation:
        raise NotPossible("Payload validation error: 'Missing required property: password'.")
    _check_app_metadata(given.app_metadata)


def _own_id(given: str | None) -> str | None:
    """A caller's own id, with the provider before it unless it is there."""
    if given is None:
        return None
    return given if given.startswith("auth0|") else f"auth0|{given}"


def _profile(given: Profile) -> dict[str, Any]:
    """The members that are columns of the same name, as they are to be kept."""
    same = (
        "email email_verified username phone_number phone_verified name given_name family_name nickname picture "
        "user_metadata app_metadata"
    ).split()
    found = {name: getattr(given, name) for name in same if name in given.model_fields_set}
    if found.get("email"):
        found["email"] = found["email"].lower()
    return found


def _check_app_metadata(given: dict[str, Any] | None) -> None:
    strange = sorted(NOT_IN_APP_METADATA & set(given or {}))
    if strange:
        text = f"Payload validation error: 'Additional properties not allowed: {strange[0]}' on property app_metadata."
        raise NotPossible(text)


class ChangedUser(Profile):
    client_id: str | None = None


@operation(
    "PATCH",
    "/users/{id}",
    scopes="update:users update:users_app_metadata update:current_user_metadata",
    body=ChangedUser,
)
def update_user(call: Call) -> object:
    """Change a user; metadata merge at their first level"""
    ctx, given = call.ctx, call.body
    sent = given.model_fields_set
    for first, second in NOT_TOGETHER:
        if first in sent and second in sent:
            raise NotPossible(f"Cannot update {first} and {second} simultaneously")
    if "update:users" not in call.caller.scopes and sent - {"app_metadata", "user_metadata"}:
        raise Forbidden("Insufficient scope, expected any of: update:users", reason="insufficient_scope")
    _check_app_metadata(given.app_metadata)
    with ctx.db.read() as conn:
        user = get_user(conn, call.id)
        realm = ctx.look_up(conn, realms.find_realm, user.realm_id)
    if realm is None:
        raise Missing(UNKNOWN, reason="inexistent_user")
    changed = _changes(user, given)
    kept_elsewhere = sorted(
        sent - {"app_metadata", "user_metadata", "blocked", "password", "client_id", "connection"}
    )
    if kept_elsewhere and not password_changes.are_kept(realm, user):
        text = f"The following user attributes cannot be updated: {', '.join(kept_elsewhere)}."
        raise NotPossible(f"{text} They are those of the connection's own directory.", reason="invalid_body")
    new_hash = None
    if given.password is not None:
        new_hash = password_changes.hash_checked(ctx, realm, user, given.password)
    with ctx.db.write() as conn:
        users.lock_user(conn, call.id)
        user = get_user(conn, call.id)
        if changed:
            user = accounts.update_user(conn, ctx, user, **_changes(user, given))
        if given.blocked is not None:
            accounts.set_blocked(conn, ctx, user, given.blocked)
        if new_hash is not None:
            password_changes.set_password(conn, ctx, realm, user, new_hash)
        return show(ctx, conn, get_user(conn, call.id))


def _changes(user: User, given: Profile) -> dict[str, Any]:
    changed = _profile(given)
    for name in ("user_metadata", "app_metadata"):
        if name in changed:
            changed[name] = merged(getattr(user, name), changed[name], name)
    if changed.get("email", user.email) != user.email and "email_verified" not in changed:
        changed["email_verified"] = False
    if (
        changed.get("phone_number", user.phone_number) != user.phone_number
        and "phone_verified" not in changed
    ):
        changed["phone_verified"] = False
    for name in ("email_verified", "phone_verified"):
        if name in changed:
            changed[name] = bool(changed[name])
    return changed


@operation("DELETE", "/users/{id}", scopes="delete:users delete:current_user", ok=204)
def delete_user(call: Call) -> object:
    """Delete a user; no error when there is none"""
    with call.ctx.db.write() as conn:
        user = users.find_user(conn, call.id)
        if user is not None:
            accounts.remove_user(conn, call.ctx, user)
    return None


OPERATIONS = (list_users, list_users_by_email, show_user, create_user, update_user, delete_user)
