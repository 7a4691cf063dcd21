"""People by the hundred: what an import looks up and writes in one transaction, a statement for all of them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from app.identifiers import skeleton
from app.store.authenticators import Authenticator, authenticators
from app.store.base import row_of, value_of
from app.store.users import User, identifiers, take_turn, users


def find_holders(
    conn: Connection, realm_id: str, keys: Collection[str], *, is_locking: bool
) -> dict[str, User]:
    """Who has these identifiers in the realm. `is_locking`: they stay as they are until the transaction ends."""
    if not keys:
        return {}
    found = select(identifiers.c.key, users).join(identifiers, identifiers.c.user_id == users.c.id)
    # In one order, so that two imports of the same people wait for each other and never crosswise.
    found = found.where(identifiers.c.realm_id == realm_id, identifiers.c.key.in_(keys)).order_by(users.c.id)
    if is_locking:
        found = found.with_for_update(key_share=True, of=users)
    return {row.key: value_of(User, row) for row in conn.execute(found)}


def find_alike(
    conn: Connection, realm_id: str, keys: Collection[str], *, is_locking: bool
) -> dict[str, set[str]]:
    """Identifiers of the realm by skeleton, as far as these keys have it. `is_locking`: none is taken meanwhile."""
    if not keys:
        return {}
    if is_locking:
        take_turn(conn, realm_id)
    skeletons = {skeleton(key) for key in keys}
    chosen = (identifiers.c.realm_id == realm_id) & identifiers.c.skeleton.in_(skeletons)
    found: dict[str, set[str]] = {}
    for row in conn.execute(select(identifiers.c.skeleton, identifiers.c.key).where(chosen)):
        found.setdefault(row.skeleton, set()).add(row.key)
    return found


def find_known_ids(conn: Connection, ids: Collection[str]) -> dict[str, datetime]:
    """Which of these user ids somebody has, in whatever realm, and when they were last changed."""
    if not ids:
        return {}
    found = select(users.c.id, users.c.updated_at).where(users.c.id.in_(ids))
    return {row.id: row.updated_at for row in conn.execute(found)}


def add_users(conn: Connection, new: Sequence[tuple[User, Collection[str]]]) -> None:
    """People with the normal forms of their identifiers. Raises sqlalchemy's IntegrityError when one is taken."""
    if not new:
        return
    conn.execute(insert(users), [row_of(user) for user, _ in new])
    rows = [
        {"realm_id": user.realm_id, "key": key, "user_id": user.id, "skeleton": skeleton(key)}
        for user, keys in new
        for key in keys
    ]
    conn.execute(insert(identifiers), sorted(rows, key=lambda row: row["key"]))


def add_authenticators(conn: Connection, new: Iterable[Authenticator]) -> None:
    rows = [row_of(authenticator) for authenticator in new]
    if rows:
        conn.execute(insert(authenticators), rows)
