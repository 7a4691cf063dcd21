"""A password that is being tried, as all guards see it: one reservation before it is looked at, one settlement after.

The counters share the login's two transactions. Their rows are locked in one order: the person's failures, their
logins a minute, and last the bucket of the address, which everybody behind it has in common.
"""

import time
from dataclasses import dataclass

from sqlalchemy import Connection

from app.addresses import network_of
from app.context import Context
from app.errors import TemporarilyUnavailable
from app.gate import GateFull
from app.guards import brute_force, ip_throttle, login_rate
from app.guards.guard import Pending
from app.guards.protection import Protection, get_protection
from app.store.clients import Client
from app.store.realms import Realm
from app.store.users import User

FIRST_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Attempt:
    """What counts it; nothing for an address that an administrator exempted."""

    failures: brute_force.Attempt | None = None
    login: login_rate.Login | None = None
    turn: ip_throttle.Turn | None = None


def attempt_of(
    ctx: Context, protection: Protection, client: Client, realm: Realm, user: User | None, username: str
) -> Attempt:
    if protection.is_exempt(ctx.ip):
        return Attempt()
    failures, login, turn = None, None, None
    rules = protection.brute_force
    if rules.is_enabled and realm.has_brute_force_protection:
        failures = brute_force.attempt_of(rules, realm, user, username, ctx.ip)
        login = login_rate.login_of(rules, failures.identity, network_of(ctx.ip))
    if protection.throttling.is_enabled:
        is_unforwarded = client.auth_method != "none" and ctx.facts.server_ip is None
        turn = ip_throttle.login_turn(protection, ctx.ip, client.id if is_unforwarded else None)
    return Attempt(failures, login, turn)


def before(ctx: Context, attempt: Attempt) -> None:
    """Count the attempt, or refuse it. Raises TooManyAttempts, TemporarilyUnavailable.

    Where only what others are trying at this moment takes the last place, it is waited for.
    """
    if attempt == Attempt():
        return
    deadline = time.monotonic() + ctx.settings.hash_wait_seconds
    while True:
        try:
            with ctx.db.write() as conn:
                if attempt.failures is not None:
                    brute_force.reserve(conn, ctx, attempt.failures)
                if attempt.login is not None:
                    login_rate.reserve(conn, ctx, attempt.login)
                if attempt.turn is not None:
                    ip_throttle.reserve(conn, ctx, attempt.turn)
                return
        except Pending:
            _wait(ctx, attempt, deadline)


def _wait(ctx: Context, attempt: Attempt, deadline: float) -> None:
    """Until what others are trying is decided. Raises TemporarilyUnavailable."""
    pause = FIRST_PAUSE_SECONDS
    try:
        with ctx.server.gate.waiting():
            while time.monotonic() + pause < deadline:
                time.sleep(pause)
                # Longer from time to time: a crowd that waits must not become the load itself.
                pause = min(0.2, pause * 1.25)
                with ctx.db.read() as conn:
                    if not _is_pending(conn, ctx, attempt):
                        return
    except GateFull:
        pass
    raise TemporarilyUnavailable(reason="attempts_pending")


def _is_pending(conn: Connection, ctx: Context, attempt: Attempt) -> bool:
    return (attempt.failures is not None and brute_force.is_pending(conn, ctx, attempt.failures)) or (
        attempt.turn is not None and ip_throttle.is_pending(conn, ctx, attempt.turn)
    )


def failed(conn: Connection, ctx: Context, attempt: Attempt) -> None:
    if attempt.failures is not None:
        brute_force.failed(conn, ctx, attempt.failures)
    if attempt.turn is not None:
        ip_throttle.failed(conn, ctx, attempt.turn)


def undecided(conn: Connection, attempt: Attempt) -> None:
    """Right so far, or never looked at: the attempt is taken back, earlier failures stay."""
    if attempt.failures is not None:
        brute_force.undecided(conn, attempt.failures)
    if attempt.turn is not None:
        ip_throttle.undecided(conn, attempt.turn)


def succeeded(
    conn: Connection,
    ctx: Context,
    realm: Realm,
    user: User,
    attempt: Attempt | None,
    *,
    was_veiled: bool = False,
) -> None:
    """Tokens are issued to this person, in the step of the password (`attempt`) or in a later one.

    The right password of a veiled login was counted like a wrong one, and is given back.
    """
    if attempt is None:
        protection = ctx.look_up(conn, get_protection)
        rules = protection.brute_force
        if rules.is_enabled and realm.has_brute_force_protection and not protection.is_exempt(ctx.ip):
            known = brute_force.attempt_of(rules, realm, user, "", ctx.ip)
            brute_force.succeeded(conn, known, is_reserved=False)
        if was_veiled and protection.throttling.is_enabled and not protection.is_exempt(ctx.ip):
            ip_throttle.give_back(conn, ip_throttle.login_turn(protection, ctx.ip, None))
        return
    if attempt.failures is not None:
        brute_force.succeeded(conn, attempt.failures, is_reserved=True)
    if attempt.turn is not None:
        ip_throttle.undecided(conn, attempt.turn)
