"""Wrong passwords in a row: ten per person (or name) and address, then nothing more is tried from there.

Names that nobody has are counted like people, so that being blocked tells nothing. All spellings and aliases of one
person share a count. Only issued tokens forgive; a right password that still owes a factor does not.
"""

import hashlib
import ipaddress
import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from app.context import Context
from app.errors import TemporarilyUnavailable, TooManyAttempts, limit_headers
from app.gate import GateFull
from app.identifiers import counting_key
from app.store import attempts
from app.store.realms import Realm
from app.store.users import User

CAP = 10  # consecutive failures, Auth0's default
RETRY_AFTER_SECONDS = 3600  # a hint only: the block ends by an unblock, a password change, or after 30 days
FIRST_PAUSE_SECONDS = 0.02

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
    is_counted: bool


def identity_of(realm: Realm, user: User | None, username: str) -> str:
    return user.id if user else f"{realm.id}/{counting_key(username)}"


def attempt_of(realm: Realm, user: User | None, username: str, ip: str) -> Attempt:
    identity = identity_of(realm, user, username)
    source = network_of(ip)
    key = hashlib.sha256(f"{identity}\n{source}".encode()).hexdigest()
    return Attempt(key, realm.id, identity, counting_key(username), source, realm.has_brute_force_protection)


def before(ctx: Context, attempt: Attempt) -> None:
    """Count the attempt, or refuse it. Raises TooManyAttempts, TemporarilyUnavailable.

    Attempts that others are making at this moment count until they are decided, but they are waited for: valid
    logins in parallel must not lock each other out.
    """
    if not attempt.is_counted:
        return
    while not _reserve(ctx, attempt):
        known = _look(ctx, attempt)
        if known.failures < CAP <= known.failures + known.pending:
            known = _wait(ctx, attempt)
        if known.failures >= CAP:
            headers = limit_headers(ctx.now, limit=CAP, retry_after_seconds=RETRY_AFTER_SECONDS)
            raise TooManyAttempts(BLOCKED, reason="brute_force", event="limit_wc", headers=headers)


def _wait(ctx: Context, attempt: Attempt) -> attempts.Attempts:
    """Until what others are trying is decided. Raises TemporarilyUnavailable."""
    waited = 0.0
    try:
        with ctx.server.gate.waiting():
            while waited < ctx.settings.hash_wait_seconds:
                # Longer from time to time: a crowd that waits for one person must not become the load itself.
                pause = min(0.2, FIRST_PAUSE_SECONDS + waited / 4)
                time.sleep(pause)
                waited += pause
                known = _look(ctx, attempt)
                if known.failures >= CAP or known.failures + known.pending < CAP:
                    return known
    except GateFull:
        pass
    raise TemporarilyUnavailable(reason="attempts_pending")


def _reserve(ctx: Context, attempt: Attempt) -> bool:
    with ctx.db.write() as conn:
        return attempts.reserve_password_attempt(
            conn,
            key=attempt.key,
            realm_id=attempt.realm_id,
            identity=attempt.identity,
            identifier=attempt.identifier,
            ip=attempt.ip,
            cap=CAP,
            now=ctx.now,
        )


def _look(ctx: Context, attempt: Attempt) -> attempts.Attempts:
    with ctx.db.read() as conn:
        return attempts.find_password_attempts(conn, attempt.key, ctx.now)


def failed(conn: Connection, ctx: Context, attempt: Attempt) -> None:
    if attempt.is_counted:
        attempts.fail_password_attempt(conn, attempt.key, ctx.now)


def undecided(conn: Connection, attempt: Attempt) -> None:
    """Right so far, or never looked at: the attempt is taken back, earlier failures stay."""
    if attempt.is_counted:
        attempts.release_password_attempt(conn, attempt.key)


def succeeded(conn: Connection, realm: Realm, user: User, ip: str, attempt: Attempt | None) -> None:
    """Tokens are issued to this person from this address, in the step of the password (`attempt`) or a later one."""
    if not realm.has_brute_force_protection:
        return
    if attempt is not None:
        attempts.succeed_password_attempt(conn, attempt.key)
    else:
        attempts.clear_password_failures(conn, attempt_of(realm, user, "", ip).key)


def list_blocks(
    conn: Connection, realm: Realm, user: User | None, username: str, now: datetime
) -> list[attempts.Block]:
    """From where nothing more is tried, for a person or a name that nobody has."""
    found = attempts.list_blocks(conn, identity_of(realm, None, username), CAP, now)
    return found + (attempts.list_blocks(conn, user.id, CAP, now) if user is not None else [])


def unblock(conn: Connection, realm: Realm, user: User | None, username: str) -> int:
    """Forget a person's failures, those counted under the mere name included."""
    forgotten = attempts.remove_password_attempts(conn, identity_of(realm, None, username))
    if user is not None:
        forgotten += attempts.remove_password_attempts(conn, user.id)
        attempts.remove_factor_guesses(conn, user.id)
    return forgotten


def forget(conn: Connection, user: User) -> None:
    """A changed password begins with no failures."""
    attempts.remove_password_attempts(conn, user.id)


def network_of(ip: str) -> str:
    """An IPv6 customer has a /64 to guess from: it counts as one address."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
