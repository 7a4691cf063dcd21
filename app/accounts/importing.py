"""People from another system, many at a time: one implementation below the command line and the management API.

Records are checked and prepared outside of any transaction; then a batch is looked up and written in one short one,
together with how far the import is. So a process that dies loses nothing and does nothing twice: the next one goes on
behind the last batch that was committed. A record that is rejected leaves the others of its batch alone.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.accounts import factors, import_matching, people
from app.accounts.import_matching import Candidate, Match, Terms
from app.accounts.import_schema import Problem, Rejected, checked, masked
from app.accounts.import_stream import Read
from app.context import Context
from app.crypto import random_id
from app.errors import NotPossible, TemporarilyUnavailable
from app.passwords import FORM
from app.store import events, imports, jobs, realms, users
from app.store.jobs import Job
from app.store.realms import Realm
from app.store.users import User, key_of

BATCH = 100  # records a transaction: some 10 ms of work under SQLite's write lock
UPSERT_BATCH = 40  # each of them changes a row of its own: about as long
TRIES = 4  # somebody else took an identifier between the look and the write
PATIENCE_SECONDS = 60.0  # with a database that does not answer
SAME = (
    "given_name family_name name nickname picture phone_number phone_verified username email_verified".split()
)


class JobLost(Exception):
    """Another process has the job, or it was ended: nothing more may be written for it."""


@dataclass(frozen=True)
class Item:
    """One record of a batch: somebody to take, or what is wrong."""

    number: int
    digest: str
    """Of the file's records up to this one."""
    given: Any
    candidate: Candidate | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Batch:
    """What became of some records; `job` is how far the import is now."""

    job: Job
    rejected: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Import:
    ctx: Context
    realm: Realm
    job: Job
    runner: str
    is_dry: bool = False
    seen: set[str] = field(default_factory=set)
    """Of a dry run, which leaves no rows by which a record that comes twice is known."""

    @property
    def terms(self) -> Terms:
        is_upsert = bool(self.job.options.get("upsert"))
        return Terms(self.realm.id, self.job.created_at, is_upsert, self.is_dry, self.seen)


def take(running: Import, records: Iterable[Read]) -> Iterator[Batch]:
    """Take the records behind the job's position; yields after each batch. Raises Unreadable, JobLost, NotPossible,
    and TemporarilyUnavailable when the database stays away.
    """
    items = _items(running, iter(records))
    job = running.job
    size = UPSERT_BATCH if running.terms.is_upsert else BATCH
    while some := list(islice(items, size)):
        for done in _take_some(running, job, some):
            job = done.job
            yield done


def _items(running: Import, records: Iterator[Read]) -> Iterator[Item]:
    digest, position = hashlib.sha256(), running.job.position
    for number, read in enumerate(records, 1):
        digest.update(read.text.encode("utf-8", "surrogatepass") + b"\n")
        if number > position:
            yield _item(running, number, digest.hexdigest(), read)
        elif number == position and digest.hexdigest() != running.job.digest:
            raise NotPossible("these are not the records of the interrupted import")


def _item(running: Import, number: int, digest: str, read: Read) -> Item:
    if read.problem is not None:
        return Item(number, digest, read.value, problems=(Problem("FORMAT", read.problem),))
    try:
        entry = checked(number, read.value)
    except Rejected as error:
        return Item(number, digest, read.value, problems=error.problems)
    record, now = entry.record, running.job.created_at
    profile = {name: value for name in SAME if (value := getattr(record, name)) is not None}
    user = User(
        f"auth0|{record.user_id or random_id(24, people.HEX)}",
        running.realm.id,
        now,
        now,
        email=record.email,
        is_blocked=bool(record.blocked),
        user_metadata=record.user_metadata or {},
        app_metadata=record.app_metadata or {},
        password_hash=entry.stored_hash,
        password_form=FORM if entry.stored_hash else None,
        **profile,
    )
    devices = [factors.new_device(running.ctx, user.id, device) for device in entry.devices]
    named = {name: getattr(user, name) for name in ("email", "username", "phone_number")}
    keys = {key_of(text): name for name, text in reversed(named.items()) if text}
    return Item(
        number,
        digest,
        read.value,
        Candidate(entry, people.with_defaults(user), devices, keys, key_of(record.email)),
    )


def _take_some(running: Import, job: Job, some: Sequence[Item]) -> Iterator[Batch]:
    """In one transaction; where somebody's row stands in the way every time, one by one."""
    try:
        yield _patiently(running, job, some)
    except IntegrityError:
        if len(some) > 1:
            for item in some:
                for done in _take_some(running, job, [item]):
                    job = done.job
                    yield done
            return
        with running.ctx.db.read() as conn:
            is_here = realms.find_realm(conn, running.realm.id) is not None
        problem = Problem("CONFLICT", "Somebody has one of these identifiers")
        if not is_here:
            problem = Problem("CONNECTION_NOT_FOUND", "The connection does not exist")
        yield _patiently(running, job, [replace(some[0], candidate=None, problems=(problem,))])


def _patiently(running: Import, job: Job, some: Sequence[Item]) -> Batch:
    """Raises IntegrityError when trying again does not help, TemporarilyUnavailable after a minute, JobLost."""
    deadline, tries = time.monotonic() + PATIENCE_SECONDS, 0
    while True:
        try:
            return _try(running, job, some)
        except IntegrityError:
            tries += 1
            if tries == TRIES:
                raise
        except TemporarilyUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
            # A commit whose answer was lost has happened all the same.
            known = _known(running)
            if known is not None and known.position >= some[-1].number:
                return Batch(known)


def _known(running: Import) -> Job | None:
    try:
        with running.ctx.db.read() as conn:
            return jobs.find_job(conn, running.job.id)
    except TemporarilyUnavailable:
        return None


def _try(running: Import, job: Job, some: Sequence[Item]) -> Batch:
    people_of = [item.candidate for item in some if item.candidate is not None]
    if running.is_dry:
        with running.ctx.db.read() as conn:
            matches = import_matching.match(conn, running.terms, people_of)
        running.seen.update(key for m in matches for key in m.claimed)
        return _result(job, some, matches)
    with running.ctx.db.write() as conn:
        matches = import_matching.match(conn, running.terms, people_of)
        done = _result(job, some, matches)
        imports.add_users(conn, [(m.candidate.user, m.candidate.keys.keys()) for m in matches if m.is_new])
        imports.add_authenticators(conn, [d for m in matches if m.is_new for d in m.candidate.devices])
        for found in matches:
            if found.existing is not None and not found.problems:
                _update(conn, running.ctx, found, found.existing)
        events.add_events(conn, list(_events(running, some, matches)))
        if done.rejected:
            jobs.add_part(conn, job.id, b"".join(_line(rejected) for rejected in done.rejected))
        counts = {
            name: getattr(done.job, name) for name in ("position", "digest", "inserted", "updated", "failed")
        }
        if not jobs.advance(conn, job.id, running.runner, datetime.now(UTC), **counts):
            raise JobLost
    return done


def _line(rejected: dict[str, object]) -> bytes:
    return json.dumps(rejected).encode() + b"\n"


def _problems(some: Sequence[Item], matches: Sequence[Match]) -> Iterator[tuple[Item, tuple[Problem, ...]]]:
    """Of the rejected ones, in order."""
    found = {m.candidate.entry.number: m.problems for m in matches}
    for item in some:
        problems = item.problems or found.get(item.number, ())
        if problems:
            yield item, problems


def _result(job: Job, some: Sequence[Item], matches: Sequence[Match]) -> Batch:
    rejected: list[dict[str, object]] = [
        {"record": item.number, "user": masked(item.given), "errors": [p.shown() for p in problems]}
        for item, problems in _problems(some, matches)
    ]
    inserted = sum(1 for m in matches if m.is_new)
    after = replace(
        job,
        position=some[-1].number,
        digest=some[-1].digest,
        inserted=job.inserted + inserted,
        updated=job.updated + len(some) - inserted - len(rejected),
        failed=job.failed + len(rejected),
    )
    return Batch(after, rejected)


def _events(running: Import, some: Sequence[Item], matches: Sequence[Match]) -> Iterator[events.Event]:
    told: dict[str, object] = {"job": running.job.id}
    for item, problems in _problems(some, matches):
        given = item.given if isinstance(item.given, dict) else {}
        email = given.get("email")
        # A record that is no clean text may hold what no database takes.
        name = email[:320] if isinstance(email, str) and email.isprintable() else None
        errors = [{"code": p.code, "path": p.path} for p in problems]
        details = told | {"record": item.number, "errors": errors}
        yield audit.event_of(running.ctx, "fui", problems[0].code.lower(), details, user_name=name)
    for found in matches:
        if not found.problems:
            user = found.existing or found.candidate.user
            reason = "inserted" if found.is_new else "updated"
            yield audit.event_of(running.ctx, "sui", reason, told, user_id=user.id, user_name=user.email)


def _update(conn: Connection, ctx: Context, found: Match, user: User) -> None:
    after = import_matching.updated(found.candidate, user)
    users.replace_user(conn, user, after)
    if after.is_blocked and not user.is_blocked:
        people.end_access(conn, ctx, user)
    if found.candidate.entry.devices:
        fresh = factors.unknown_devices(conn, ctx, user, found.candidate.entry.devices)
        imports.add_authenticators(conn, [factors.new_device(ctx, user.id, device) for device in fresh])
