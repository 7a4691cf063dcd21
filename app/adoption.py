"""How far the second factor has come in a realm: who has one, who is let in without, and how challenges end."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from app.asking import Asking, Person, permitted, standing_of
from app.context import Context
from app.explaining import NOBODY
from app.factors.vocabulary import policy_name
from app.policy import Allow, Deny, Standing, decide, devices, grace_of
from app.policy_terms import FACTOR_NAMES
from app.store import authenticators, events, users
from app.store.authenticators import Authenticator
from app.store.realms import Realm
from app.store.tenant import get_tenant
from app.store.users import User
from app.tokens import audience
from app.tokens.methods import PASSWORD

PAGE = 500
ACTIVE = timedelta(days=30)
SOON = timedelta(days=7)

# The events of a second factor: how it ended. Which it was, the event says.
RECOVERED = ("sercft", "sepkrcft")
PASSED = ("seotpft", "seoobft", "sewebauthnft", "sepkotpft", "sepkoobft", *RECOVERED)
FAILED = ("feotpft", "feoobft", "fewebauthnft", "fercft")
RATE_LIMITED = ("gd_otp_rate_limit_exceed", "gd_recovery_rate_limit_exceed", "limit_mu", "limit_phone")


def people(ctx: Context, conn: Connection, realm: Realm) -> dict[str, Any]:
    """Figures of the people as they are now, each looked at as if they logged in: page by page, however many."""
    found: Counter[str] = Counter()
    by_factor: Counter[str] = Counter()
    asking = Asking(NOBODY, realm, True, get_tenant(conn), audience.resolve(ctx, conn, ""), (), None, ())
    after = ""
    while page := users.list_users(conn, realm.id, PAGE, after):
        owned = authenticators.list_of_many(conn, [user.id for user in page])
        for user in page:
            _count(ctx, conn, asking, user, owned.get(user.id, ()), found, by_factor)
        after = page[-1].id
    names = (
        "users_total users_active_30d users_enrolled users_enrolled_allowed pending_enrollment in_grace "
        "grace_expiring_7d exempt blocked_unenrolled"
    ).split()
    return {name: found[name] for name in names} | {
        "by_factor": {name: by_factor[name] for name in FACTOR_NAMES if by_factor[name]}
    }


def _count(
    ctx: Context,
    conn: Connection,
    asking: Asking,
    user: User,
    owned: tuple[Authenticator, ...],
    found: Counter[str],
    by_factor: Counter[str],
) -> None:
    methods = ((PASSWORD, int(ctx.now.timestamp())),)
    standing = standing_of(ctx, permitted(conn, asking, user), Person(user, owned, methods))
    allowed = standing.policy.terms.allows(standing.roles)
    mine = devices(standing.confirmed)
    found["users_total"] += 1
    found["users_active_30d"] += user.last_login is not None and user.last_login > ctx.now - ACTIVE
    found["users_enrolled"] += bool(mine)
    found["users_enrolled_allowed"] += any(name in allowed for name in mine)
    found["pending_enrollment"] += not mine and any(
        a.confirmed_at is None and policy_name(a.kind) != "recovery-code" for a in owned
    )
    by_factor.update(set(standing.confirmed))
    decision = decide(standing)
    if isinstance(decision, Allow):
        why = decision.reasons[-1]
        found["exempt"] += why.startswith("exempt_")
        if why == "in_grace":
            found["in_grace"] += 1
            found["grace_expiring_7d"] += _ends_soon(standing)
    found["blocked_unenrolled"] += isinstance(decision, Deny) and not mine and not user.is_blocked


def _ends_soon(standing: Standing) -> bool:
    period = grace_of(standing)
    return period is not None and period.ends_at is not None and period.ends_at <= standing.now + SOON


def daily(conn: Connection, realm: Realm, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """What the log tells of each day of a realm, the first to the last."""
    days: dict[str, Counter[str]] = {}
    for day, kind, reason, factor, number in events.count_of_realm(conn, realm.name, since, until):
        for name in _names(kind, reason, policy_name(factor)):
            days.setdefault(day, Counter())[name] += number
    waited: dict[str, list[tuple[int, int]]] = {}
    for day, seconds, number in events.count_seconds_to_pass(conn, realm.name, since, until):
        waited.setdefault(day, []).append((seconds, number))
    return [
        _shown(day, days[day]) | {"median_seconds_to_pass": _median(waited.get(day, []))}
        for day in sorted(days)
    ]


def _median(counted: list[tuple[int, int]]) -> int | None:
    """The middle of values that each came so often, the lower one of two; None where there are none."""
    middle = (sum(number for _, number in counted) + 1) // 2
    for value, number in sorted(counted):
        middle -= number
        if middle <= 0:
            return value
    return None


def _names(kind: str, reason: str, factor: str) -> list[str]:
    if kind == "mfar":
        return ["issued"]
    if kind in PASSED:
        return [f"passed {factor}", *(["recovery_code_uses"] if kind in RECOVERED else [])]
    if kind in FAILED:
        return [f"failed {factor}"] if factor else []
    if kind == "gd_send_pn_failure" and reason.startswith("push_"):
        return ["rate_limited"]
    if kind == "gd_unenroll" and reason == "factors_reset":
        return ["resets"]
    if kind == "mfa_policy_break_glass":
        return ["break_glass_uses"]
    return ["rate_limited"] if kind in RATE_LIMITED else []


def _shown(day: str, counted: Counter[str]) -> dict[str, Any]:
    def by_factor(what: str) -> dict[str, int]:
        return {
            name.split()[1]: number for name, number in sorted(counted.items()) if name.startswith(f"{what} ")
        }

    passed, failed = by_factor("passed"), by_factor("failed")
    return {
        "date": day,
        "challenges": {
            "issued": counted["issued"],
            "passed": passed,
            "failed": failed,
            "abandoned": max(0, counted["issued"] - sum(passed.values())),
        },
        **{
            name: counted[name]
            for name in ("recovery_code_uses", "resets", "break_glass_uses", "rate_limited")
        },
    }


def figures(ctx: Context, conn: Connection, realm: Realm, since: datetime, until: datetime) -> dict[str, Any]:
    """The answer of `/stats/mfa` and `belay policy adoption`."""
    ctx = replace(ctx, ip="")
    now = people(ctx, conn, realm)
    return {
        "connection_id": realm.id,
        "connection": realm.name,
        "now": now,
        "days": daily(conn, realm, since, until),
    }
