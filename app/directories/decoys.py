"""Whose time tells nothing: hashes of other systems, for wrong passwords of people who have none (T4).

Who was imported is judged by the hash that came along, until the first login; a bcrypt takes four times as long as a
hash of ours. So a wrong password of anybody else in the realm is compared with somebody's imported hash as well, always
the same one for a name. When nobody's is left, nothing is.
"""

import math
import time
from weakref import WeakKeyDictionary

from app.context import Context
from app.crypto import digest
from app.store.database import Database
from app.store.realms import Realm
from app.store.users import list_foreign_hashes

LOOKED_UP_SECONDS = 30.0
MANY = 64  # kinds of hash come in few costs

_known = WeakKeyDictionary[Database, dict[str, tuple[float, tuple[str, ...]]]]()  # by realm


def decoy_for(ctx: Context, realm: Realm, name: str) -> str | None:
    """The hash that a wrong password for that name is compared with; None where nobody waits for the first login."""
    found = _hashes_of(ctx, realm)
    return found[int(digest(f"{realm.id}/{name}")[:8], 16) % len(found)] if found else None


def _hashes_of(ctx: Context, realm: Realm) -> tuple[str, ...]:
    known, now = _known.setdefault(ctx.db, {}), time.monotonic()
    since, found = known.get(realm.id, (-math.inf, ()))
    if not 0 <= now - since < LOOKED_UP_SECONDS:
        with ctx.db.read() as conn:
            found = list_foreign_hashes(conn, realm.id, MANY)
        known[realm.id] = now, found
    return found
