"""Passwords that everybody knows: a password that is right, or being set, is looked up among leaked ones.

The source is a range API, which hears the first five digits of the SHA-1 digest and pads its answer, or a file on this
machine. It is asked after a right password only: else its answer would tell a stranger something.
"""

import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit, http_out, leaked_file
from app.channels import notices
from app.context import Context, Server
from app.errors import TemporarilyUnavailable
from app.guards.protection import CHANGE_STAGE, LOGIN_STAGE, SIGNUP_STAGE, Breaches
from app.leaked_file import LeakedFile, NoSuchFile
from app.password_rules import Failure
from app.passwords import PasswordUnusable, normal_form
from app.store import buckets
from app.store.users import User

log = logging.getLogger("belay.breaches")

SECONDS = 1.0  # for the whole question to a range API
PAUSE_SECONDS = 5.0  # after one that was not answered: a dead source must not hold up every login
DAY_SECONDS = 86400.0
LONGEST_ANSWER = 512 * 1024
TEST_PASSWORDS = ("Paaf213XXYYZZ", "Paat739!!WWXXYYZZ")  # Auth0's, which count as leaked everywhere
TEST_PREFIX = "AUTH0-TEST-"

LEAKED = Failure(
    "PasswordLeakedError",
    "password_leaked",
    "Password was disclosed in a data breach",
    "This password was previously disclosed through a data breach. Please choose another one.",
)
EVENTS = {SIGNUP_STAGE: "signup_pwd_leak", CHANGE_STAGE: "reset_pwd_leak"}

_asked_in_vain: dict[str, float] = {}


def found_at_login(ctx: Context, rules: Breaches, user: User, password: str) -> bool:
    """Whether this login is refused; a leak that only is to be noted is noted. Raises TemporarilyUnavailable."""
    if not rules.is_enabled:
        return False
    blocks = rules.blocks[LOGIN_STAGE]
    if not _is_leaked(ctx, password, is_needed=blocks):
        return False
    with ctx.db.write() as conn:
        if rules.notifies:
            _tell(conn, ctx, user)
        if not blocks:
            audit.record(conn, ctx, "pwd_leak", "monitored")
    return blocks


def _tell(conn: Connection, ctx: Context, user: User) -> None:
    """Once a day."""
    key = f"notice/leak/{user.id}"
    if buckets.spend(conn, key, size=1, refill_seconds=DAY_SECONDS, now=ctx.now) is None:
        with suppress(IntegrityError), conn.begin_nested():  # nobody is told who was deleted meanwhile
            notices.put(conn, ctx, user, "stolen_credentials")


def found_when_set(ctx: Context, rules: Breaches, user: User, password: str) -> bool:
    """Whether a new password is refused. Raises TemporarilyUnavailable."""
    if not rules.is_enabled:
        return False
    stage = SIGNUP_STAGE if user.password_hash is None else CHANGE_STAGE
    blocks = rules.blocks[stage]
    if not _is_leaked(ctx, password, is_needed=blocks):
        return False
    with ctx.db.write() as conn:
        audit.record(conn, ctx, EVENTS[stage], "password_leaked" if blocks else "monitored")
    return blocks


def _is_leaked(ctx: Context, password: str, *, is_needed: bool) -> bool:
    """Raises TemporarilyUnavailable where nobody can say and somebody must."""
    if password in TEST_PASSWORDS or password.startswith(TEST_PREFIX):
        return True
    source = ctx.settings.breach_range_url
    if not source:
        return False
    try:
        digest = hashlib.sha1(normal_form(password).encode(), usedforsecurity=False).digest()
    except PasswordUnusable:
        return False
    try:
        if source.startswith("file:"):
            return _file(ctx.server).has(digest)
        return _in_range(ctx, source, digest.hex().upper())
    except (NoSuchFile, http_out.Failed, http_out.Forbidden) as problem:
        log.error("leaked passwords cannot be looked up: %s", problem)
        if is_needed and not ctx.settings.breach_fail_open:
            raise TemporarilyUnavailable(reason="breach_source_down") from None
        return False


def _in_range(ctx: Context, source: str, digest: str) -> bool:
    """Raises http_out.Failed, http_out.Forbidden."""
    if time.monotonic() < _asked_in_vain.get(source, 0.0):
        raise http_out.Failed("did_not_answer_just_now")
    is_local = source.startswith("http://")
    try:
        with ctx.server.gate.outside():
            answer = http_out.get(
                f"{source.rstrip('/')}/{digest[:5]}",
                {"Add-Padding": "true"},
                networks=ctx.settings.outgoing_networks + (http_out.LOOPBACK if is_local else ()),
                permits_http=is_local,
                total_seconds=SECONDS,
                max_bytes=LONGEST_ANSWER,
            )
        if answer.status != 200:
            raise http_out.Failed(f"status_{answer.status}")
    except http_out.Failed:
        _asked_in_vain[source] = time.monotonic() + PAUSE_SECONDS
        raise
    for line in answer.body.decode("ascii", "replace").splitlines():
        suffix, _, count = line.partition(":")
        if suffix.strip().upper() == digest[5:]:
            return count.strip() != "0"  # padding
    return False


def _file(server: Server) -> LeakedFile:
    """Raises NoSuchFile."""
    path = unquote(urlsplit(server.settings.breach_range_url).path)
    found = server.leaks[path] = leaked_file.open_file(Path(path), server.leaks.get(path))
    return found


def describe(server: Server) -> str:
    """Where leaked passwords are looked up, for the operator; empty where nowhere. Raises NoSuchFile."""
    source = server.settings.breach_range_url
    if source.startswith("file:"):
        return f"a file of {_file(server).count}"
    return "a range API" if source else ""
