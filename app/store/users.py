"""People, and the identifiers by which they are found.

Every name, address and number of a realm's users stands once in `identifiers`, so that one person's username can
never be another one's e-mail address, and a login is one index look-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from app.identifiers import look_alike, normal_key, skeleton
from app.policy_terms import Counted
from app.store.base import Kept, UTCDateTime, count, metadata, row_of, value_of, won
from app.store.realms import realms

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("email", Text),
    Column("email_verified", Boolean, nullable=False),
    Column("username", Text),
    Column("phone_number", Text),
    Column("phone_verified", Boolean, nullable=False),
    Column("name", Text),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("nickname", Text),
    Column("picture", Text),
    Column("user_metadata", JSON, nullable=False),
    Column("app_metadata", JSON, nullable=False),
    Column("password_hash", Text),
    Column("password_form", Text),
    Column("is_blocked", Boolean, nullable=False),
    Column("tokens_valid_after", UTCDateTime),
    Column("last_login", UTCDateTime),
    Column("last_ip", Text),
    Column("logins_count", Integer, nullable=False),
    Column("last_password_reset", UTCDateTime),
    Column("mfa_counts", Kept(Counted.model_validate)),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("directory_checked_at", UTCDateTime),
)

# Hashes of another system: as `app/foreign_hashes.py` marks them.
_is_foreign = text("password_hash LIKE 'foreign:%'")
Index(
    "ix_users_foreign", users.c.realm_id, users.c.id, sqlite_where=_is_foreign, postgresql_where=_is_foreign
)

identifiers = Table(
    "identifiers",
    metadata,
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True, index=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("skeleton", Text, nullable=False),
    Index("ix_identifiers_skeleton", "realm_id", "skeleton"),
)


@dataclass(frozen=True)
class User:
    id: str
    realm_id: str
    created_at: datetime
    updated_at: datetime
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool = False
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    user_metadata: dict[str, object] = field(default_factory=dict)
    app_metadata: dict[str, object] = field(default_factory=dict)
    password_hash: str | None = field(default=None, repr=False)
    password_form: str | None = None
    is_blocked: bool = False
    tokens_valid_after: datetime | None = None
    """Tokens issued before are no longer accepted here: password changed, factors reset."""
    last_login: datetime | None = None
    last_ip: str | None = None
    logins_count: int = 0
    last_password_reset: datetime | None = None
    mfa_counts: Counted | None = None
    """What the realm's policy has counted of them: grace, resets, uses as an emergency account."""
    directory_checked_at: datetime | None = None
    """When the directory outside was asked about them without a login."""


_BY_ID = select(users).where(users.c.id == bindparam("id"))
_BY_KEY = (
    select(users)
    .join(identifiers, identifiers.c.user_id == users.c.id)
    .where(identifiers.c.realm_id == bindparam("realm_id"), identifiers.c.key == bindparam("key"))
)


def find_user(conn: Connection, user_id: str) -> User | None:
    row = conn.execute(_BY_ID, {"id": user_id}).first()
    return value_of(User, row) if row else None


def key_of(identifier: str) -> str:
    """The normal form that identifiers are found by; empty for what nobody can have."""
    return normal_key(identifier) or ""


def find_user_by_key(conn: Connection, realm_id: str, key: str) -> User | None:
    """Look up by a normal form of identifiers.normal_key; the same one statement whether anybody is found."""
    row = conn.execute(_BY_KEY, {"realm_id": realm_id, "key": key}).first()
    return value_of(User, row) if row else None


def list_users(
    conn: Connection,
    realm_id: str | None,
    limit: int,
    after: str = "",
    condition: ColumnElement[bool] | None = None,
) -> Sequence[User]:
    """In order of ids; without a realm, of all of them."""
    found = select(users).where(users.c.id > after)
    if condition is not None:
        found = found.where(condition)
    if realm_id is not None:
        found = found.where(users.c.realm_id == realm_id)
    return [value_of(User, row) for row in conn.execute(found.order_by(users.c.id).limit(limit))]


class LooksTaken(Exception):
    """An identifier that a reader takes for somebody else's."""


def add_user(conn: Connection, user: User) -> None:
    """Raises LooksTaken, or sqlalchemy's IntegrityError when an identifier is taken in the realm."""
    keys = _keys(user)
    _refuse_look_alikes(conn, user, keys)
    conn.execute(insert(users).values(**row_of(user)))
    _add_keys(conn, user, keys)


def _keys(user: User) -> set[str]:
    found = {normal_key(text) for text in (user.email, user.username, user.phone_number) if text}
    return {key for key in found if key}


def _add_keys(conn: Connection, user: User, keys: set[str]) -> None:
    rows = [
        {"realm_id": user.realm_id, "key": key, "user_id": user.id, "skeleton": skeleton(key)} for key in keys
    ]
    if rows:
        conn.execute(insert(identifiers), rows)


# No unique index can tell a look-alike, ASCII beside ASCII being allowed; so identifiers of one realm are taken one
# after the other. Logins and foreign keys do not wait for this lock. SQLite has one writer and leaves it out.
_TURN = select(realms.c.id).where(realms.c.id == bindparam("realm_id")).with_for_update(key_share=True)
_SEEN_ALIKE = select(identifiers.c.key).where(
    identifiers.c.realm_id == bindparam("realm_id"),
    identifiers.c.skeleton.in_(bindparam("skeletons", expanding=True)),
    identifiers.c.user_id != bindparam("user_id"),
)


def others_with_names_of(conn: Connection, user: User) -> list[tuple[User, User]]:
    """Who else in the realm has one of these identifiers: as they are, and as they would be without it."""
    keys = _keys(user)
    taken = select(identifiers.c.user_id).where(
        identifiers.c.realm_id == user.realm_id, identifiers.c.key.in_(keys), identifiers.c.user_id != user.id
    )
    found = []
    for row in conn.execute(select(users).where(users.c.id.in_(taken)).order_by(users.c.id)):
        other = value_of(User, row)
        names = ("email", "username", "phone_number")
        lost = {name: None for name in names if normal_key(getattr(other, name) or "") in keys}
        found.append((other, replace(other, **lost)))  # type: ignore[arg-type]
    return found


def take_turn(conn: Connection, realm_id: str) -> None:
    """Until the transaction ends nobody else takes identifiers of this realm."""
    conn.execute(_TURN, {"realm_id": realm_id})


def _refuse_look_alikes(conn: Connection, user: User, keys: set[str]) -> None:
    """The lock stays until the transaction ends: the next one sees what this one took."""
    if not keys:
        return
    take_turn(conn, user.realm_id)
    seen = {"realm_id": user.realm_id, "user_id": user.id, "skeletons": sorted({skeleton(k) for k in keys})}
    # The same key is not alike but taken, which the table's own key tells.
    others = set(conn.execute(_SEEN_ALIKE, seen).scalars()) - keys
    if any(look_alike(key, other) for key in keys for other in others):
        raise LooksTaken


# The same password, not blocked, and no reset since.
_IS_AS_SEEN = (
    users.c.is_blocked.is_(False),
    users.c.password_hash.is_not_distinct_from(bindparam("seen_hash", type_=Text)),
    users.c.tokens_valid_after.is_not_distinct_from(bindparam("seen_change", type_=UTCDateTime)),
)
# SQLite, where writers come one at a time anyway, leaves the lock out.
_HOLD = (
    select(users.c.id).where(users.c.id == bindparam("user_id"), *_IS_AS_SEEN).with_for_update(key_share=True)
)


def _as_seen(user: User) -> dict[str, object]:
    return {"user_id": user.id, "seen_hash": user.password_hash, "seen_change": user.tokens_valid_after}


def is_unchanged(conn: Connection, user: User) -> bool:
    """Whether the person is as they were when they were looked at, and stays so until the transaction ends."""
    return conn.execute(_HOLD, _as_seen(user)).first() is not None


_LOGGED_IN = (
    update(users)
    .where(users.c.id == bindparam("user_id"), *_IS_AS_SEEN)
    .values(last_login=bindparam("now"), last_ip=bindparam("ip"), logins_count=users.c.logins_count + 1)
)


def log_in(conn: Connection, user: User, ip: str, now: datetime) -> bool:
    """Note a login of somebody who is as they were when they were looked at; False when they are not.

    The row stays locked until the transaction ends: whoever changes the person comes before or after.
    """
    return won(conn.execute(_LOGGED_IN, {**_as_seen(user), "ip": ip, "now": now}))


_MFA_COUNTS = select(users.c.mfa_counts).where(users.c.id == bindparam("id"))


def find_mfa_counts(conn: Connection, user_id: str) -> Counted | None:
    return conn.execute(_MFA_COUNTS, {"id": user_id}).scalar()


def note_reset(conn: Connection, user_id: str, at: datetime | None) -> None:
    """An administrator removed somebody's factors, or they have one again; the caller has locked the person."""
    counted = find_mfa_counts(conn, user_id) or Counted()
    if counted.factors_reset_at != at:
        update_user(conn, user_id, mfa_counts=counted.model_copy(update={"factors_reset_at": at}))


def lock_user(conn: Connection, user_id: str) -> None:
    """Changes of one person's factors come one after the other."""
    conn.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))


def update_user(conn: Connection, user_id: str, **changes: object) -> None:
    conn.execute(update(users).where(users.c.id == user_id).values(**changes))


def replace_user(conn: Connection, before: User, after: User) -> None:
    """Raises LooksTaken, or sqlalchemy's IntegrityError when an identifier is taken in the realm."""
    values = {name: value for name, value in row_of(after).items() if value != getattr(before, name)}
    if values:
        conn.execute(update(users).where(users.c.id == before.id).values(**values))
    old, new = _keys(before), _keys(after)
    if old != new:
        # Whoever looked like somebody before there was this rule may go on changing everything else.
        _refuse_look_alikes(conn, after, new - old)
        conn.execute(delete(identifiers).where(identifiers.c.user_id == before.id))
        _add_keys(conn, after, new)


def remove_user(conn: Connection, user_id: str) -> None:
    conn.execute(delete(users).where(users.c.id == user_id))


_REHASH = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.password_hash == bindparam("old_hash"))
    .values(password_hash=bindparam("new_hash"), password_form=bindparam("form"))
)


def replace_hash(conn: Connection, user_id: str, old: str, new: str, form: str) -> None:
    """The same password under today's cost; nothing happens when the password was changed meanwhile."""
    values = {"user_id": user_id, "old_hash": old, "new_hash": new, "form": form}
    conn.execute(_REHASH, values)


# --- lists of the management API -----------------------------------------------------------------------------------

SORTABLE = {
    name: users.c[name]
    for name in (
        "email",
        "username",
        "phone_number",
        "name",
        "given_name",
        "family_name",
        "nickname",
        "created_at",
        "updated_at",
        "last_login",
        "logins_count",
    )
} | {"user_id": users.c.id}

Condition = ColumnElement[bool]


def search_users(
    conn: Connection,
    condition: Condition | None,
    *,
    limit: int,
    offset: int = 0,
    sort: str = "user_id",
    is_descending: bool = False,
) -> list[User]:
    """People of all realms; `sort` is one of SORTABLE."""
    column = SORTABLE[sort]
    order = [column.desc() if is_descending else column, users.c.id]
    found = select(users).order_by(*order).limit(limit).offset(offset)
    if condition is not None:
        found = found.where(condition)
    return [value_of(User, row) for row in conn.execute(found)]


def count_users(conn: Connection, condition: Condition | None, *, up_to: int) -> int:
    found = select(users.c.id)
    if condition is not None:
        found = found.where(condition)
    return count(conn, found, up_to=up_to)


def count_users_of(conn: Connection, realm_id: str | None) -> int:
    """Of a realm, or of all."""
    found = select(func.count()).select_from(users)
    return int(
        conn.execute(found if realm_id is None else found.where(users.c.realm_id == realm_id)).scalar_one()
    )


def list_users_by_email(conn: Connection, email: str) -> list[User]:
    """In every realm, by the identifier that logins look up."""
    key = normal_key(email)
    if key is None:
        return []
    found = select(users).join(identifiers, identifiers.c.user_id == users.c.id)
    found = found.where(identifiers.c.key == key, users.c.email.is_not(None)).order_by(users.c.id)
    people = [value_of(User, row) for row in conn.execute(found)]
    return [user for user in people if normal_key(user.email or "") == key]


_FOREIGN_HASHES = (
    select(users.c.password_hash)
    .where(users.c.realm_id == bindparam("realm_id"), _is_foreign)
    .order_by(users.c.id)
    .limit(bindparam("limit", type_=Integer))
)


def list_foreign_hashes(conn: Connection, realm_id: str, limit: int) -> tuple[str, ...]:
    """Of people who have not logged in since they were imported."""
    return tuple(conn.execute(_FOREIGN_HASHES, {"realm_id": realm_id, "limit": limit}).scalars())
