"""What a candidate policy would have meant for the logins of the last days: nothing is changed, nobody is asked.

Each login whose password was right is looked at once more, from the address and the application that the log names,
with the factors that the person has today. Scopes and audiences are not in the log, so that a policy that depends on
them is rehearsed as if none had been asked for.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from app.accounts.importing import JobLost
from app.accounts.jobs import NO_REALM, JobFailed
from app.asking import Asking, Person, permitted, standing_of
from app.context import Context, Server
from app.explaining import NOBODY
from app.policy import Allow, Challenge, Decision, Deny, decide
from app.policy_terms import Terms, Written
from app.store import authenticators, clients, events, jobs, realms, users
from app.store.authenticators import Authenticator
from app.store.events import Event
from app.store.jobs import Job
from app.store.realms import Realm
from app.store.tenant import get_tenant
from app.store.users import User
from app.tokens import audience
from app.tokens.methods import FIRST_FACTORS, PASSWORD

PAGE = 1000
MOST_DAYS = 90
NAMED = 100  # people challenged and people locked out are named up to here
LOGINS = ("s", "sepft", "mfar")  # a right password or passkey: tokens, or a factor asked for
MESSAGES = ("phone", "email")


@dataclass
class Rehearsal:
    logins: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    """How many challenges would have taken a message, the person having nothing else."""
    by_application: dict[str, Counter[str]] = field(default_factory=dict)
    challenged: set[str] = field(default_factory=set)
    locked_out: dict[str, str] = field(default_factory=dict)
    """People without any usable factor or way to enrol one, and why."""


def rehearse(
    ctx: Context,
    realm: Realm,
    terms: Terms,
    days: int,
    *,
    on_page: Callable[[int], None] = lambda looked_at: None,
) -> dict[str, Any]:
    """Go through the log of the realm, page by page. The candidate counts as written at the beginning of the days."""
    since = ctx.now - timedelta(days=days)
    candidate = replace(realm, mfa_policy=Written(terms=terms, since=since))
    found, known = Rehearsal(), _People()
    with ctx.db.read() as conn:
        after: int | None = events.id_before(conn, since)
    looked_at = 0
    while after is not None:
        with ctx.db.read() as conn:
            page = events.list_events(conn, limit=PAGE, after=after, realm=realm.name)
            for event in page:
                if event.type in LOGINS and event.user_id is not None:
                    _look_at(ctx, conn, candidate, event, known, found)
        after = page[-1].id if len(page) == PAGE else None
        looked_at += len(page)
        on_page(looked_at)
    return _told(found, days)


def work(server: Server, job: Job, runner: str) -> None:
    """Work off a job of the type `mfa_rehearsal`; what it yields is one part of JSON. Raises JobLost, JobFailed."""
    with server.db.read() as conn:
        realm = realms.find_realm(conn, job.realm_id or "")
    if realm is None:
        raise JobFailed(NO_REALM)

    def sign_of_life(looked_at: int) -> None:
        with server.db.write() as conn:
            if not jobs.advance(conn, job.id, runner, datetime.now(UTC), position=looked_at):
                raise JobLost

    ctx = Context(server, datetime.now(UTC), ip="", user_agent="belay jobs", request_id=job.id)
    told = rehearse(
        ctx, realm, Terms.model_validate(job.options["terms"]), job.options["days"], on_page=sign_of_life
    )
    with server.db.write() as conn:
        jobs.remove_parts(conn, job.id)  # what a process that died left of it
        jobs.add_part(conn, job.id, json.dumps(told).encode())


class _People:
    """Everybody who logged in is read once."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[User | None, tuple[Authenticator, ...]]] = {}

    def find(self, conn: Connection, user_id: str) -> tuple[User | None, tuple[Authenticator, ...]]:
        if user_id not in self.seen:
            user = users.find_user(conn, user_id)
            owned = authenticators.list_authenticators(conn, user_id) if user is not None else []
            self.seen[user_id] = user, tuple(owned)
        return self.seen[user_id]


def _look_at(
    ctx: Context, conn: Connection, realm: Realm, event: Event, known: _People, found: Rehearsal
) -> None:
    user, owned = known.find(conn, event.user_id or "")
    if user is None or user.realm_id != realm.id:
        return
    then = replace(ctx, now=event.at, ip=event.ip)
    client = ctx.look_up(conn, clients.find_client, event.client_id) if event.client_id else None
    target = audience.resolve(ctx, conn, "")
    tenant = ctx.look_up(conn, get_tenant)
    asking = permitted(conn, Asking(client or NOBODY, realm, True, tenant, target, (), None, ()), user)
    asking = replace(asking, history=tuple(seen for seen in asking.history if seen.at < event.at))
    person = Person(
        replace(user, is_blocked=False), owned, ((_first_factor(event), int(event.at.timestamp())),)
    )
    decision = decide(standing_of(then, asking, person))
    word = _outcome(decision)
    found.logins += 1
    found.outcomes[word] += 1
    found.by_application.setdefault(event.client_id or "", Counter())[word] += 1
    if word == "locked_out":
        found.locked_out[user.id] = decision.reasons[-1] if isinstance(decision, Deny) else "no_usable_factor"
    elif word == "challenge":
        found.challenged.add(user.id)
        kinds = decision.kinds if isinstance(decision, Challenge) else ()
        takes_message = bool(kinds) and all(kind in (*MESSAGES, "recovery-code") for kind in kinds)
        found.messages += takes_message
        found.by_application[event.client_id or ""]["messages"] += takes_message


def _first_factor(event: Event) -> str:
    found = event.details.get("first_factor")
    return found if isinstance(found, str) and found in FIRST_FACTORS else PASSWORD


def _outcome(decision: Decision) -> str:
    """`allow`, `challenge`, `enroll` or `locked_out`; what would only be reported counts as what it would be."""
    if isinstance(decision, Allow) and decision.would_be is not None:
        decision = decision.would_be
    if isinstance(decision, Deny) or (isinstance(decision, Challenge) and not decision.kinds):
        return "locked_out"
    return type(decision).__name__.lower()


def _told(found: Rehearsal, days: int) -> dict[str, Any]:
    words = ("allow", "challenge", "enroll", "locked_out")
    return {
        "days": days,
        "logins": found.logins,
        **{word: found.outcomes[word] for word in words},
        "users_challenged": len(found.challenged),
        "users_locked_out": len(found.locked_out),
        "messages": found.messages,
        "by_application": [
            {"client_id": client_id, **{word: counted[word] for word in (*words, "messages")}}
            for client_id, counted in sorted(found.by_application.items())
        ],
        "challenged_users": sorted(found.challenged)[:NAMED],
        "locked_out_users": [
            {"user_id": user_id, "reason": reason}
            for user_id, reason in sorted(found.locked_out.items())[:NAMED]
        ],
    }
