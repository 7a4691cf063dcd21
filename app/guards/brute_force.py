"""Wrong passwords in a row: ten per person (or name) and address, then nothing more is tried from there; or per
person alone, wherever they come from.

Names that nobody has are counted like people, so that being blocked tells nothing. All spellings and aliases of one
person share a count. Only issued tokens forgive; a right password that still owes a factor does not.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.addresses import network_of
from app.channels import notices
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import TooManyAttempts, limit_headers
from app.guards import second_factor
from app.guards.guard import Pending
from app.guards.protection import BruteForce
from app.identifiers import counting_key
from app.store import attempts
from app.store.realms import Realm
from app.store.tickets import Ticket, add_ticket
from app.store.users import User

CAP = 10  # consecutive failures unless an administrator set another figure
RETRY_AFTER_SECONDS = 3600  # a hint only: the block ends by an unblock, a password change, or after 30 days
ANYWHERE = ""  # the source where failures count wherever they come from
UNLIMITED = 2**31 - 1
LINK_LIFETIME = timedelta(days=1)

BLOCKED = (
    "Your account has been blocked after multiple consecutive login attempts. "
    "We've sent you a notification via your preferred contact method with instructions on how to unblock it."
)


@dataclass(frozen=True)
class Attempt:
    """Whose password is tried, and from where."""

    key: str
    realm_id: str
    identity: str
    identifier: str
    ip: str
    rules: BruteForce
    user: User | None = None


def identity_of(realm: Realm, user: User | None, username: str) -> str:
    return user.id if user else f"{realm.id}/{counting_key(username)}"


def attempt_of(rules: BruteForce, realm: Realm, user: User | None, username: str, ip: str) -> Attempt:
    identity = identity_of(realm, user, username)
    source = network_of(ip) if rules.is_per_address else ANYWHERE
    key = hashlib.sha256(f"{identity}\n{source}".encode()).hexdigest()
    return Attempt(key, realm.id, identity, counting_key(username), source, rules, user)


def reserve(conn: Connection, ctx: Context, attempt: Attempt) -> None:
    """Count the attempt, in the transaction of all guards. Raises Pending, TooManyAttempts.

    Attempts that others are making at this moment count until they are decided.
    """
    rules = attempt.rules
    if attempts.reserve_password_attempt(
        conn,
        key=attempt.key,
        realm_id=attempt.realm_id,
        identity=attempt.identity,
        identifier=attempt.identifier,
        ip=attempt.ip,
        cap=rules.cap if rules.blocks else UNLIMITED,
        now=ctx.now,
    ):
        return
    known = attempts.find_password_attempts(conn, attempt.key, ctx.now)
    if known.failures < rules.cap:
        raise Pending
    raise TooManyAttempts(
        BLOCKED,
        reason="brute_force",
        event="limit_wc",
        headers=limit_headers(ctx.now, limit=rules.cap, retry_after_seconds=RETRY_AFTER_SECONDS),
        details={"limit": _limit(attempt, known.failures)},
    )


def _limit(attempt: Attempt, failures: int) -> dict[str, object]:
    return {
        "identifier": attempt.identifier,
        "source": attempt.ip or "any",
        "count": failures,
        "max": attempt.rules.cap,
    }


def is_pending(conn: Connection, ctx: Context, attempt: Attempt) -> bool:
    known = attempts.find_password_attempts(conn, attempt.key, ctx.now)
    return attempt.rules.blocks and known.failures < attempt.rules.cap <= known.failures + known.pending


def failed(conn: Connection, ctx: Context, attempt: Attempt) -> None:
    """It counts for good. The one that reaches the threshold keeps its own answer, and the person is told."""
    rules = attempt.rules
    failures = attempts.fail_password_attempt(conn, attempt.key, ctx.now)
    if failures != rules.cap:
        return
    if not rules.blocks:
        audit.record(conn, ctx, "limit_wc", "monitored", {"limit": _limit(attempt, failures)})
    elif rules.notifies and attempt.user is not None:
        _tell(conn, ctx, attempt.user)


def _tell(conn: Connection, ctx: Context, user: User) -> None:
    """Once a block, at an address that is known to be theirs, with a link that ends it."""
    if not user.email_verified:
        return
    token = random_token()
    id, expires_at = f"tkt_{random_id(22)}", ctx.now + LINK_LIFETIME
    ticket = Ticket(id, digest(token), "unblock", user.id, ctx.now, expires_at, {"email": user.email})
    with suppress(IntegrityError), conn.begin_nested():  # nobody is told who was deleted meanwhile
        if notices.put(conn, ctx, user, "blocked_account", url=f"{ctx.issuer}ticket/unblock?ticket={token}"):
            add_ticket(conn, ticket, voids=False)


def undecided(conn: Connection, attempt: Attempt) -> None:
    """Right so far, or never looked at: the attempt is taken back, earlier failures stay."""
    attempts.release_password_attempt(conn, attempt.key)


def succeeded(conn: Connection, attempt: Attempt, *, is_reserved: bool) -> None:
    """Tokens are issued to this person from this address, in the step of the password or in a later one."""
    if is_reserved:
        attempts.succeed_password_attempt(conn, attempt.key)
    else:
        attempts.clear_password_failures(conn, attempt.key)


def list_blocks(
    conn: Connection, rules: BruteForce, realm: Realm, user: User | None, username: str, now: datetime
) -> list[attempts.Block]:
    """From where nothing more is tried, for a person or a name that nobody has."""
    if not rules.is_enabled or not rules.blocks:
        return []
    identities = [identity_of(realm, None, username), *([user.id] if user is not None else [])]
    found = [block for one in identities for block in attempts.list_blocks(conn, one, rules.cap, now)]
    return [block for block in found if (block.ip != ANYWHERE) == rules.is_per_address]


def unblock(conn: Connection, realm: Realm, user: User | None, username: str) -> int:
    """Forget a person's failures, those counted under the mere name included."""
    forgotten = attempts.remove_password_attempts(conn, identity_of(realm, None, username))
    if user is not None:
        forgotten += attempts.remove_password_attempts(conn, user.id)
        second_factor.forget(conn, user.id)
    return forgotten


def forget(conn: Connection, user: User) -> None:
    """A changed password begins with no failures."""
    attempts.remove_password_attempts(conn, user.id)
