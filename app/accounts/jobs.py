"""Jobs: asked for in a request, worked off beside the requests by whichever process takes them first.

A process that dies leaves its job behind; after a minute without a sign of life another one takes it, and goes on
where the last committed batch ended.
"""

import gzip
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from app.accounts import changes, exporting, importing, resetting, tickets
from app.accounts.import_stream import Records, Unreadable
from app.accounts.importing import Import, JobLost
from app.channels import notices
from app.context import Context, Facts, Server
from app.crypto import owner_of, random_id
from app.errors import Refusal, TooManyRequests
from app.store import jobs as rows
from app.store import realms, users
from app.store.jobs import Job
from app.store.realms import Realm

log = logging.getLogger("belay.jobs")

ACTIVE_IMPORTS = 2
TOO_MANY = "There are {0} active import users jobs, please wait until some of them are finished and try again"
PAUSE_SECONDS = 0.02  # between two batches in a process that also answers logins
NO_MAIL = "There is no e-mail provider: the message could not be sent."
NO_USER = "The user does not exist."
NO_REALM = "The connection does not exist."
BAD_FILE = "Failed to parse users file JSON when importing users. Make sure it is valid JSON."
ACCIDENT = "The server made a mistake; its log has the details."


@dataclass
class JobFailed(Exception):
    details: str


def new_job(ctx: Context, type: str, realm: Realm | None, options: dict[str, Any], source: str | None) -> Job:
    """A job's value; nothing is stored."""
    return Job(
        f"job_{random_id(16)}",
        type,
        ctx.now,
        ctx.now + rows.KEPT_FOR,
        realm_id=realm.id if realm else None,
        client_id=ctx.facts.client_id,
        options=options,
        source=source,
    )


def create(conn: Connection, ctx: Context, type: str, realm: Realm | None, options: dict[str, Any]) -> Job:
    job = new_job(ctx, type, realm, options, None)
    rows.add_job(conn, job)
    _record(conn, ctx, job, realm)
    return job


def create_import(
    conn: Connection, ctx: Context, realm: Realm, content: bytes, options: dict[str, Any]
) -> Job:
    """Raises TooManyRequests while two are at work."""
    rows.lock_imports(conn)
    active = rows.count_active_imports(conn)
    if active >= ACTIVE_IMPORTS:
        raise TooManyRequests(TOO_MANY.format(active), reason="too_many_imports")
    job = new_job(ctx, "users_import", realm, options, None)
    # It holds password hashes and factor secrets.
    rows.add_job(conn, job, ctx.server.keyring.seal(content, owner_of("jobs", job.id)))
    _record(conn, ctx, job, realm)
    return job


def begin_own_import(
    conn: Connection, ctx: Context, realm: Realm, source: str, options: dict[str, Any], runner: str
) -> Job:
    """The import of a command that reads its file by itself."""
    job = replace(new_job(ctx, "users_import", realm, options, source), status="processing")
    rows.add_job(conn, replace(job, runner=runner, claimed_at=ctx.now))
    _record(conn, ctx, job, realm)
    return job


def _record(conn: Connection, ctx: Context, job: Job, realm: Realm | None) -> None:
    ctx.facts.realm = realm.name if realm else None
    changes.record(conn, ctx, f"{job.type}_requested", job.id, after={"options": job.options})


def new_runner() -> str:
    return secrets.token_hex(8)


# --- working off ---------------------------------------------------------------------------------------------------


Work = Callable[[Server, Job, str], None]


def work_off(server: Server, others: Mapping[str, Work] = MappingProxyType({})) -> bool:
    """Take the oldest job that nobody works on, and see it through; False when there is none.

    `others` are types of jobs that are worked off on higher floors.
    """
    now = datetime.now(UTC)
    with server.db.read() as conn:
        job_id, has_overdue = rows.find_free(conn, now), rows.has_overdue(conn, now)
    if has_overdue:
        with server.db.write() as conn:
            rows.fail_overdue(conn, now)
        return True
    if job_id is None:
        return False
    runner = new_runner()
    with server.db.write() as conn:
        if not rows.claim(conn, job_id, runner, now):
            return True
        job = rows.find_job(conn, job_id)
    if job is not None:
        _see_through(server, job, runner, others)
    return True


def _see_through(server: Server, job: Job, runner: str, others: Mapping[str, Work]) -> None:
    status, details = "completed", None
    try:
        (_WORK | dict(others))[job.type](server, job, runner)
    except JobLost:
        return
    except JobFailed as failure:
        status, details = "failed", failure.details
    except Refusal as refusal:  # the database stays away: whoever comes next goes on
        log.warning("job %s was interrupted: %s", job.id, refusal.reason)
        return
    except Exception as error:
        log.error("unexpected %s in job %s", type(error).__name__, job.id)
        status, details = "failed", ACCIDENT
    with server.db.write() as conn:
        rows.finish(conn, job.id, runner, status, details)


def _import(server: Server, job: Job, runner: str) -> None:
    with server.db.read() as conn:
        realm = realms.find_realm(conn, job.realm_id or "")
        sealed = rows.find_content(conn, job.id)
    if realm is None:
        raise JobFailed(NO_REALM)
    content = server.keyring.open(sealed or "", owner_of("jobs", job.id))
    try:
        total = sum(1 for _ in Records(BytesIO(content)))
    except Unreadable:
        raise JobFailed(BAD_FILE) from None
    _advance(server, job, runner, total=total)
    running = Import(_context(server, job, realm), realm, replace(job, total=total), runner)
    for _ in importing.take(running, Records(BytesIO(content))):
        time.sleep(PAUSE_SECONDS)


def _export(server: Server, job: Job, runner: str) -> None:
    with server.db.read() as conn:
        realm = realms.find_realm(conn, job.realm_id) if job.realm_id else None
        if job.realm_id and realm is None:
            raise JobFailed(NO_REALM)
        total = users.count_users_of(conn, job.realm_id)
    limit = job.options.get("limit")
    _advance(server, job, runner, total=total if limit is None else min(limit, total), position=0)
    with server.db.write() as conn:  # what a process that died left of it
        rows.remove_parts(conn, job.id)
    columns = exporting.columns_of(job.options.get("fields"))
    position = 0
    for page in exporting.export(server.db, job.realm_id, columns, format=job.options["format"], limit=limit):
        position += page.people
        part = gzip.compress(page.content, 6)
        with server.db.write() as conn:
            rows.add_part(conn, job.id, part)
            if not rows.advance(conn, job.id, runner, datetime.now(UTC), position=position):
                raise JobLost
        time.sleep(PAUSE_SECONDS)


def _send_verification(server: Server, job: Job, runner: str) -> None:
    with server.db.write() as conn:
        user = users.find_user(conn, str(job.options["user_id"]))
        realm = realms.find_realm(conn, user.realm_id) if user else None
        if user is None or realm is None:
            raise JobFailed(NO_USER)
        ctx = _context(server, job, realm)
        seconds = tickets.DEFAULT_SECONDS
        _, token = tickets.create_ticket(conn, ctx, user, "verification", seconds=seconds)
        url = tickets.address(ctx, "verification", token)
        if not notices.put(conn, ctx, user, "verify_email", url=url):
            raise JobFailed(NO_MAIL)
        if not rows.advance(conn, job.id, runner, ctx.now):  # another process has sent it
            raise JobLost


def _advance(server: Server, job: Job, runner: str, **changes: object) -> None:
    with server.db.write() as conn:
        if not rows.advance(conn, job.id, runner, datetime.now(UTC), **changes):
            raise JobLost


def _context(server: Server, job: Job, realm: Realm) -> Context:
    facts = Facts(realm=realm.name, client_id=job.client_id)
    return Context(server, datetime.now(UTC), "", "belay jobs", job.id, facts=facts)


_WORK: dict[str, Work] = {
    "users_import": _import,
    "users_export": _export,
    "verification_email": _send_verification,
    "mfa_reset": resetting.work,
}
