"""Who must prove a second factor: one pure function, asked at every step, redemption included.

It goes through the terms of the realm's policy in one order and says at each turn why, in short words that events
and the explanation of a decision carry.
"""

from dataclasses import replace

from app.policy.enrollment import CONTACT_NEEDED, grace_of, may_enroll
from app.policy.requirement import is_break_glass, is_required
from app.policy.standing import (
    Allow,
    Challenge,
    Decision,
    Deny,
    Enroll,
    Standing,
    accepted,
    devices,
    has_enough,
    is_proven,
)


def decide(standing: Standing) -> Decision:
    """May this login go on, and what does it still owe?"""
    shut = _shut(standing)
    if shut:
        return Deny(shut, (shut,))
    # Whatever the policy says, changing one's factors asks for one: a password alone must not replace them.
    if standing.is_for_own_factors and standing.confirmed and not standing.proven:
        return Challenge(standing.usable, ("own_factors",))
    decision = _judge(standing)
    if standing.policy.terms.enforcement == "enforce":
        return decision
    if isinstance(decision, Allow):
        return replace(decision, spends=None)
    return Allow(("report_only", *decision.reasons), would_be=decision)


def _shut(standing: Standing) -> str | None:
    if not standing.is_client_enabled:
        return "client_disabled"
    if not standing.is_realm_enabled:
        return "realm_disabled"
    if not standing.is_realm_for_client:
        return "realm_not_for_client"
    if standing.is_user_blocked:
        return "user_blocked"
    return None


def _judge(standing: Standing) -> Decision:
    names = accepted(standing)
    is_owed, why = is_required(standing)
    if not is_owed:
        return Allow((why,))
    if _is_satisfied_by_passkey(standing):
        return Allow((why, "passkey_satisfies"))
    if standing.is_refresh and is_proven(standing):
        return Allow((why, "factor_proven"))
    if not is_proven(standing) and is_break_glass(standing):
        return Allow((why, "break_glass"), spends=None if standing.is_refresh else "break_glass")
    if has_enough(standing):
        if is_proven(standing):
            return Allow((why, "factor_proven"))
        return Challenge(tuple(name for name in standing.usable if name in names), (why, "enrolled"))
    if not names:  # rules demand only what the policy does not take
        return Deny("factor_not_allowed", (why, "factor_not_allowed"))
    if standing.wish is not None and not standing.wish.may_enroll:
        return Deny("factor_not_enrolled", (why, "factor_not_enrolled"))
    # Too few of the right ones. Whoever has any proves it first: a password alone must not put another beside it.
    if devices(standing.confirmed) and not standing.proven:
        return Challenge(standing.usable, (why, "old_factor_first"))
    return _unenrolled(standing, why)


def _is_satisfied_by_passkey(standing: Standing) -> bool:
    """Held and unlocked by its owner, a passkey is two factors where the policy says so; a rule may want another."""
    is_demanded = standing.wish is not None and standing.wish.wants == "demand"
    satisfies = standing.policy.terms.factors.passkey_satisfies
    return satisfies and standing.has_verified_passkey and not is_demanded


def _unenrolled(standing: Standing, why: str) -> Decision:
    enrollment = standing.policy.terms.enrollment
    period = grace_of(standing)
    if period is not None and period.is_open:
        return Allow((why, "in_grace"), spends=period.spends)
    if period is not None and enrollment.on_expired == "block":
        return Deny("grace_expired", (why, "grace_expired"))
    opening = may_enroll(standing)
    if isinstance(opening, Deny) and opening.reason == CONTACT_NEEDED and standing.contacts:
        return Enroll(accepted(standing), (why, "contact_owed"), by_contact=True)
    if isinstance(opening, Deny):
        return Deny(opening.reason, (why, *opening.reasons))
    return Enroll(opening, (why, "not_enrolled"))
