"""What a decision looks at, and what it may be."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from app.policy.risk import Risk
from app.policy_terms import MESSAGE_TYPES, MODES, RECOVERY_CODE, Counted, Mode, Terms, Written

REALM_MODES = MODES
TENANT_POLICIES = ("all-applications", "confidence-score")
BREAK_GLASS_PERIOD = timedelta(days=1)

Reasons = tuple[str, ...]


@dataclass(frozen=True)
class Allow:
    reasons: Reasons = ()
    spends: Literal["break_glass", "grace_skip", "grace_start"] | None = None
    """What is counted on the person when this lets them in."""
    would_be: "Decision | None" = None
    """What would have been decided, were it not only reported."""


@dataclass(frozen=True)
class Challenge:
    """A second factor is owed; `kinds` are those the person can use now, possibly none."""

    kinds: tuple[str, ...]
    reasons: Reasons = ()


@dataclass(frozen=True)
class Enroll:
    """A second factor is owed and there is none that counts: one of these may be enrolled."""

    kinds: tuple[str, ...] = ()
    reasons: Reasons = ()
    by_contact: bool = False
    """Only after a code to a verified contact of the person's was proven in this login."""


@dataclass(frozen=True)
class Deny:
    reason: str
    reasons: Reasons = ()


Decision = Allow | Challenge | Enroll | Deny


@dataclass(frozen=True)
class Wish:
    """What rules have to say about a login: a factor is demanded (one of `kinds`, where there are any), or waived."""

    wants: Literal["demand", "waive"]
    kinds: tuple[str, ...] = ()
    may_enroll: bool = True
    """Whether somebody without such a factor may enrol one now, as the policy has it; else the login ends."""


@dataclass(frozen=True)
class Policy:
    """A realm's terms as they are in force, the tenant's policy considered."""

    terms: Terms
    mode: Mode
    is_written: bool = True
    version: int = 0
    since: datetime | None = None

    @property
    def shunned_ways(self) -> set[str]:
        """How a written policy reaches no new telephone."""
        ways: set[str] = set(MESSAGE_TYPES)
        return ways - set(self.terms.factors.message_types) if self.is_written else set()


@dataclass(frozen=True)
class Standing:
    """All that the decision looks at. Factors have the management API's names."""

    policy: Policy
    now: datetime
    is_user_blocked: bool = False
    is_realm_enabled: bool = True
    is_realm_for_client: bool = True
    is_client_enabled: bool = True
    is_switched_off: bool = False
    """The connection's own switch says that it wants no second factor."""
    confirmed: tuple[str, ...] = ()
    """Second factors that were ever confirmed, one entry each, disabled ones included."""
    usable: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    """Second factors that were proven in this login, recently enough."""
    has_verified_passkey: bool = False
    """A passkey that verified its owner opened this login, recently enough."""
    is_for_own_factors: bool = False
    """What is asked for is access to one's own factors."""
    is_refresh: bool = False
    user_id: str = ""
    email: str | None = None
    """Only where it is verified."""
    user_created_at: datetime | None = None
    roles: tuple[str, ...] = ()
    client_id: str = ""
    audience: str = ""
    scope: tuple[str, ...] = ()
    ip: str = ""
    counted: Counted = field(default_factory=Counted)
    has_access_pass: bool = False
    """An administrator's pass that is good for enrolling in this login."""
    contacts: tuple[str, ...] = ()
    """The person's verified contacts, which codes can be sent to."""
    has_proven_contact: bool = False
    """A code that was sent to one of them was proven in this login."""
    wish: Wish | None = None
    risk: Risk | None = None
    """None: the signals cannot be had."""


UNWRITTEN = Terms()


def policy_of(written: Written | None, tenant_policies: tuple[str, ...]) -> Policy:
    """A realm's policy, with the tenant's mode where it has none of its own.

    `inherit` is the tenant's exactly; where nobody wrote a policy, the stronger of it and `when_enrolled`.
    """
    tenant: Mode = "never"
    if tenant_policies:
        tenant = "adaptive" if tenant_policies == ("confidence-score",) else "always"
    if written is None:
        return Policy(UNWRITTEN, "when_enrolled" if tenant == "never" else tenant, is_written=False)
    mode = tenant if written.terms.mode == "inherit" else written.terms.mode
    return Policy(written.terms, mode, True, written.version, written.since)


def accepted(standing: Standing) -> tuple[str, ...]:
    """The factors that count here."""
    names = standing.policy.terms.allows(standing.roles)
    wish = standing.wish
    return tuple(n for n in names if n in wish.kinds) if wish and wish.kinds else names


def is_proven(standing: Standing) -> bool:
    """Whether a factor that counts was proven in this login."""
    return any(name in accepted(standing) for name in standing.proven)


def devices(names: tuple[str, ...]) -> tuple[str, ...]:
    """A recovery code is for emergencies; who has nothing else has nothing."""
    return tuple(name for name in names if name != RECOVERY_CODE)


def counting(standing: Standing) -> tuple[str, ...]:
    """The person's factors that count here, one entry each."""
    names = accepted(standing)
    return tuple(name for name in devices(standing.confirmed) if name in names)


def has_enough(standing: Standing) -> bool:
    """Whether nothing must be enrolled: as many factors as the policy wants, and one of those that rules demand."""
    of_policy = counting(replace(standing, wish=None))
    return len(of_policy) >= standing.policy.terms.factors.min_enrolled and bool(counting(standing))
