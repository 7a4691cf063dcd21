"""How sure one can be that a right password is the person's: signals that need no browser, and a score that explains
itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Literal

DORMANT = timedelta(days=90)
RECENT = timedelta(days=7)
STREAK = 3

Confidence = Literal["low", "medium", "high"]

# What each weighs; three make low confidence, one makes medium.
WEIGHTS = {
    "no_history": 3,
    "new_network": 2,
    "failure_streak": 2,
    "dormant_account": 2,
    "new_device": 1,
    "recent_change": 1,
}
# The assessors of a policy, and the signals that each stands for. Those without have no source here.
ASSESSORS = {
    "NewDevice": ("new_device",),
    "NewNetwork": ("new_network",),
    "FailureStreak": ("failure_streak",),
    "Dormant": ("dormant_account",),
    "RecentChange": ("recent_change",),
    "ImpossibleTravel": (),
    "UntrustedIP": (),
    "PhoneNumber": (),
}


@dataclass(frozen=True)
class Seen:
    """A login of the person, as the log has it."""

    at: datetime
    is_success: bool
    ip: str
    user_agent: str


@dataclass(frozen=True)
class Risk:
    confidence: Confidence
    reasons: tuple[str, ...] = ()
    """The signals that speak against it."""


def risk_of(
    history: tuple[Seen, ...],
    *,
    now: datetime,
    ip: str,
    user_agent: str,
    last_login: datetime | None,
    changed_at: datetime | None,
    assessors: tuple[str, ...] = (),
) -> Risk | None:
    """None where an assessor is wanted that has no source here. `history` is the newest first."""
    if any(not ASSESSORS.get(name) for name in assessors):
        return None
    wanted = {signal for name in assessors for signal in ASSESSORS[name]} or set(WEIGHTS)
    successes = [seen for seen in history if seen.is_success]
    found = {
        "no_history": not successes,
        "new_network": bool(successes) and _network(ip) not in {_network(seen.ip) for seen in successes},
        "new_device": bool(successes) and user_agent not in {seen.user_agent for seen in successes},
        "failure_streak": _streak(history) >= STREAK,
        "dormant_account": last_login is not None and last_login < now - DORMANT,
        "recent_change": changed_at is not None and changed_at > now - RECENT,
    }
    reasons = tuple(name for name in WEIGHTS if found[name] and name in {*wanted, "no_history"})
    score = sum(WEIGHTS[name] for name in reasons)
    return Risk("low" if score >= WEIGHTS["no_history"] else "medium" if score else "high", reasons)


def _streak(history: tuple[Seen, ...]) -> int:
    """Wrong passwords since the last success."""
    count = 0
    for seen in history:
        if seen.is_success:
            break
        count += 1
    return count


def _network(ip: str) -> str:
    """The neighbourhood that an address usually stays in; what cannot be read is a place of its own."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    return str(ip_network((address, 24 if isinstance(address, IPv4Address) else 56), strict=False))
