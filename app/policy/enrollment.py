"""How people come to have a second factor: grace, who may enrol what and when, and who may do without."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.policy.standing import BREAK_GLASS_PERIOD, Deny, Standing, accepted, devices, has_enough
from app.policy_terms import Counted


@dataclass(frozen=True)
class Period:
    """A person's grace: how long they may do without a factor."""

    is_open: bool
    ends_at: datetime | None = None
    skips_left: int | None = None
    spends: Literal["grace_skip", "grace_start"] | None = None


def grace_of(standing: Standing) -> Period | None:
    """None where the policy gives none."""
    grace, counted = standing.policy.terms.enrollment.grace, standing.counted
    if grace.type == "none":
        return None
    if grace.type == "skips":
        left = max(0, grace.skips - counted.grace_skips)
        if standing.is_refresh:  # it was counted when the login was let in
            return Period(0 < counted.grace_skips <= grace.skips, skips_left=left)
        return Period(left > 0, skips_left=left, spends="grace_skip")
    if grace.type == "until":
        end = grace.until or standing.now
        return Period(standing.now < end, end)
    starts: dict[str, datetime | None] = {
        "policy_change": standing.policy.since,
        "user_created": standing.user_created_at,
        "first_login": counted.grace_began_at or standing.now,
    }
    start = starts[grace.starts]
    if start is None:
        return Period(False)
    end = start + timedelta(days=grace.days)
    begins = grace.starts == "first_login" and counted.grace_began_at is None and not standing.is_refresh
    return Period(standing.now < end, end, spends="grace_start" if begins else None)


CONTACT_NEEDED = "verified_contact_needed"

# What somebody hears who may not enrol now.
CLOSED = {
    "enrollment_closed": "A second factor is required here, and only an administrator can set one up.",
    "enrollment_by_ticket_only": "A second factor is required here. Ask an administrator for a link to set one up.",
    "access_pass_needed": "A second factor is required here. Ask an administrator for an access pass to set one up.",
    CONTACT_NEEDED: "A second factor is required here. Confirm your contact first to set one up.",
    "enrollment_not_open_yet": "A second factor is required here, and none can be set up yet.",
    "enrollment_window_closed": "A second factor is required here, and the time to set one up is over.",
    "reset_too_long_ago": "The time to set up a new second factor is over. Ask an administrator.",
    "grace_expired": "The time to set up a second factor is over. Ask an administrator.",
    "one_factor_only": "Only one second factor can be set up here.",
    "factor_not_enrolled": "A second factor is required here that is not set up.",
    "factor_not_allowed": "This kind of second factor is not allowed here.",
}


def may_enroll(standing: Standing) -> tuple[str, ...] | Deny:
    """The factors that the person may enrol now, or why none."""
    terms = standing.policy.terms
    enrollment = terms.enrollment
    if enrollment.self_service == "closed":
        return _closed("enrollment_closed")
    if not (has_device := bool(devices(standing.confirmed))) and standing.has_access_pass:
        return accepted(standing)
    if enrollment.self_service == "ticket_only":
        return _closed("enrollment_by_ticket_only")
    if has_device:  # which was proven, or nobody comes this far
        if has_enough(standing) and not enrollment.allow_multiple:
            return _closed("one_factor_only")
        return accepted(standing)
    if enrollment.proof == "access_pass":
        return _closed("access_pass_needed")
    window = enrollment.window
    if window.opens_at is not None and standing.now < window.opens_at:
        return _closed("enrollment_not_open_yet")
    if window.closes_at is not None and standing.now >= window.closes_at:
        return _closed("enrollment_window_closed")
    reset_at, hours = standing.counted.factors_reset_at, enrollment.after_reset_hours
    if reset_at is not None and hours is not None and standing.now > reset_at + timedelta(hours=hours):
        return _closed("reset_too_long_ago")
    if enrollment.proof == "verified_contact" and not standing.has_proven_contact:
        return _closed(CONTACT_NEEDED)
    return accepted(standing)


def _closed(reason: str) -> Deny:
    return Deny(reason, (reason,))


def may_unenroll(standing: Standing, left: tuple[str, ...]) -> bool:
    """Whether somebody may do with what is `left` of their factors."""
    if standing.policy.mode != "always" or standing.policy.terms.enforcement == "report_only":
        return True
    counting = [name for name in devices(left) if name in accepted(standing)]
    return len(counting) >= standing.policy.terms.enrollment.min_factors_before_unenroll


def after(counted: Counted, spends: str | None, now: datetime) -> Counted:
    """What is counted once somebody was let in for that."""
    if spends == "grace_skip":
        return counted.model_copy(update={"grace_skips": counted.grace_skips + 1})
    if spends == "grace_start":
        return counted.model_copy(update={"grace_began_at": now})
    if spends == "break_glass":
        recent = [at for at in counted.break_glass_uses if at > now - BREAK_GLASS_PERIOD]
        return counted.model_copy(update={"break_glass_uses": (*recent, now)})
    return counted
