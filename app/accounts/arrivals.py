"""People of a directory outside, as they come: a row at their first login, kept in step at later ones.

The directory is right about them: their names, and who has which. A name that went to somebody else there goes to them
here too, and nothing else goes with it: factors and tokens belong to the person, whom the directory's own id tells.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.accounts import changes
from app.context import Context
from app.directories import DIRECTORIES
from app.directories.directory import Found, Identity
from app.errors import AccessDenied
from app.passwords import FORM
from app.store import roles, users
from app.store.realms import Realm
from app.store.users import User

LOOKS_TAKEN = "The login is not allowed."
PROFILE = (
    "email email_verified username phone_number phone_verified name given_name family_name nickname picture"
).split()


def arrive(ctx: Context, realm: Realm, found: Found) -> User:
    """The row of somebody whom a directory has just let in, as they are today. Raises AccessDenied."""
    identity = found.identity
    assert identity is not None  # noqa: S101 - who calls has looked
    with ctx.db.read() as conn:
        user = users.find_user(conn, identity.user_id)
        has_all_roles = user is not None and _role_changes(conn, user, identity) == (set(), set())
    ctx.facts.user_id = identity.user_id
    if user is not None and has_all_roles and _as_told(ctx, user, found) == user:
        return user
    with ctx.db.write() as conn:
        users.lock_user(conn, identity.user_id)
        users.take_turn(conn, realm.id)
        user = users.find_user(conn, identity.user_id)
        if user is None:
            user = _as_told(ctx, User(identity.user_id, realm.id, ctx.now, ctx.now), found)
            user = replace(user, **identity.first_metadata)  # type: ignore[arg-type]
            _release_names(conn, ctx, user)
            _refuse_look_alikes(lambda: users.add_user(conn, user))
            changes.record(conn, ctx, "user_created", user.id, after=user)
        else:
            after = _as_told(ctx, user, found)
            if after != user:
                after = replace(after, updated_at=ctx.now)
                _release_names(conn, ctx, after)
                before = user
                _refuse_look_alikes(lambda: users.replace_user(conn, before, after))
                changes.record(conn, ctx, "user_updated", user.id, before=user, after=after)
                user = after
        _settle_roles(conn, ctx, user, identity)
    return user


def is_still_there(ctx: Context, realm: Realm, user: User) -> bool:
    """Whether the directory would still let somebody in who logged in before; asked where its last answer is old.

    Raises errors.TemporarilyUnavailable when it could not be asked.
    """
    directory = DIRECTORIES[realm.kind]
    patience = directory.asks_again_after(realm)
    if patience is None:
        return True
    answers = [moment for moment in (user.last_login, user.directory_checked_at) if moment is not None]
    if any(moment <= ctx.now < moment + patience for moment in answers):
        return True
    if not directory.find(ctx, realm, user):
        return False
    with ctx.db.write() as conn:
        users.update_user(conn, user.id, directory_checked_at=ctx.now)
    return True


def _as_told(ctx: Context, user: User, found: Found) -> User:
    told: dict[str, Any] = {name: getattr(found.identity, name) for name in PROFILE}
    if found.new_password_hash is not None and user.password_hash is None:
        told |= {"password_hash": found.new_password_hash, "password_form": FORM}
    return replace(user, **told)


def _refuse_look_alikes(write: Any) -> None:
    try:
        write()
    except users.LooksTaken:
        raise AccessDenied(LOOKS_TAKEN, reason="looks_like_another", event="f") from None


def _release_names(conn: Connection, ctx: Context, user: User) -> None:
    """Take this person's names from whoever had them before."""
    for other, left in users.others_with_names_of(conn, user):
        users.replace_user(conn, other, replace(left, updated_at=ctx.now))
        changes.record(conn, ctx, "user_updated", other.id, before=other, after=left)


def _role_changes(conn: Connection, user: User, identity: Identity) -> tuple[set[str], set[str]]:
    """Ids of roles to give and to take."""
    if not identity.managed_roles:
        return set(), set()
    managed = roles.find_roles(conn, identity.managed_roles)
    wanted = {role.id for role in managed if identity.roles & {role.id, role.name}}
    has = {role.id for role in roles.list_roles_of(conn, user.id)} & {role.id for role in managed}
    return wanted - has, has - wanted


def _settle_roles(conn: Connection, ctx: Context, user: User, identity: Identity) -> None:
    to_give, to_take = _role_changes(conn, user, identity)
    with suppress(IntegrityError), conn.begin_nested():  # a role that was deleted at this moment
        roles.add_members(conn, [(user.id, role_id) for role_id in sorted(to_give)])
    roles.remove_members(conn, [(user.id, role_id) for role_id in sorted(to_take)])
    if to_give or to_take:
        told = {"given": sorted(to_give), "taken": sorted(to_take)}
        audit.record(conn, ctx, "sapi", "user_roles", {"change": {"subject": user.id, "after": told}})
