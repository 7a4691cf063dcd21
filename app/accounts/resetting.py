"""The second factors of many people reset: a realm's, those that somebody lists, or whom a search finds.

Each person's reset is a transaction of its own, with the note of how far the work is: a process that dies leaves
nobody half done, and whoever goes on tells nobody twice. Who has none of the factors is left alone.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from app.accounts import recovering
from app.accounts.importing import JobLost
from app.context import Context, Facts, Server
from app.factors import FACTORS, vocabulary
from app.search import parse
from app.store import authenticators, jobs, passkeys, realms, users
from app.store.jobs import Job
from app.store.search import condition
from app.store.searchable import USER_FIELDS
from app.store.users import User

PAGE = 100
PAUSE_SECONDS = 0.01  # between two people in a process that also answers logins


@dataclass(frozen=True)
class Wanted:
    """Whose factors are reset, which, and why."""

    reason: str
    realm_id: str | None = None
    user_ids: tuple[str, ...] = ()
    q: str | None = None
    factors: tuple[str, ...] = ()
    """By the policy's names; none: all, passkeys too."""
    ends_access: bool = True

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in FACTORS if vocabulary.policy_name(kind) in self.factors)


def wanted_of(options: dict[str, Any], realm_id: str | None) -> Wanted:
    return Wanted(
        options["reason"],
        realm_id,
        tuple(options.get("user_ids") or ()),
        options.get("q"),
        tuple(options.get("factors") or ()),
        options.get("invalidate_sessions", True),
    )


def reset_all(
    server: Server,
    wanted: Wanted,
    *,
    by: str,
    new_context: Callable[[Facts], Context],
    after: str = "",
    note: Callable[[Connection, User, bool], None] = lambda conn, user, was_reset: None,
) -> Iterator[bool]:
    """Person by person in order of ids, whether there was anything to reset. `note` is called in each transaction."""
    while True:
        with server.db.read() as conn:
            people = _page(conn, wanted, after)
            names = {realm.id: realm.name for realm in realms.list_realms(conn)}
        if not people:
            return
        for user in people:
            ctx = new_context(Facts(realm=names.get(user.realm_id)))
            with server.db.write() as conn:
                users.lock_user(conn, user.id)
                has_any = _has_any(conn, user, wanted)
                if has_any:
                    recovering.reset_mfa(
                        conn,
                        ctx,
                        user,
                        reason=wanted.reason,
                        by=by,
                        only=wanted.kinds,
                        ends_access=wanted.ends_access,
                    )
                note(conn, user, has_any)
            yield has_any
        after = people[-1].id


def _page(conn: Connection, wanted: Wanted, after: str) -> list[User]:
    """Raises BadQuery."""
    if wanted.user_ids:
        left = sorted(user_id for user_id in wanted.user_ids if user_id > after)[:PAGE]
        return [user for user_id in left if (user := users.find_user(conn, user_id)) is not None]
    found = condition(parse(wanted.q), USER_FIELDS) if wanted.q else None
    return list(users.list_users(conn, wanted.realm_id, PAGE, after, found))


def _has_any(conn: Connection, user: User, wanted: Wanted) -> bool:
    owned = authenticators.list_authenticators(conn, user.id)
    if wanted.factors:
        return any(a.confirmed_at and a.kind in wanted.kinds for a in owned)
    return any(a.confirmed_at for a in owned) or bool(passkeys.list_passkeys(conn, user.id))


def work(server: Server, job: Job, runner: str) -> None:
    """Work off a job of the type `mfa_reset`. Raises JobLost."""
    done = {"position": job.position, "updated": job.updated}

    def note(conn: Connection, user: User, was_reset: bool) -> None:
        done["position"] += 1
        done["updated"] += was_reset
        options = job.options | {"after": user.id}
        if not jobs.advance(conn, job.id, runner, datetime.now(UTC), options=options, **done):
            raise JobLost

    def new_context(facts: Facts) -> Context:
        facts.client_id = job.client_id
        return Context(server, datetime.now(UTC), "", "belay jobs", job.id, facts=facts)

    after = str(job.options.get("after", ""))
    wanted = wanted_of(job.options, job.realm_id)
    by = job.client_id or ""
    for _ in reset_all(server, wanted, by=by, new_context=new_context, after=after, note=note):
        time.sleep(PAUSE_SECONDS)
