"""The policy of a realm: what a login owes. Pure functions over plain values."""

from app.policy.decision import decide
from app.policy.enrollment import CLOSED, Period, after, grace_of, may_enroll, may_unenroll
from app.policy.requirement import EXEMPTED
from app.policy.risk import Risk, Seen, risk_of
from app.policy.standing import (
    REALM_MODES,
    TENANT_POLICIES,
    Allow,
    Challenge,
    Decision,
    Deny,
    Enroll,
    Policy,
    Standing,
    Wish,
    accepted,
    devices,
    is_proven,
    policy_of,
)

__all__ = [
    "CLOSED",
    "EXEMPTED",
    "REALM_MODES",
    "TENANT_POLICIES",
    "Allow",
    "Challenge",
    "Decision",
    "Deny",
    "Enroll",
    "Period",
    "Policy",
    "Risk",
    "Seen",
    "Standing",
    "Wish",
    "accepted",
    "after",
    "decide",
    "devices",
    "grace_of",
    "is_proven",
    "may_enroll",
    "may_unenroll",
    "policy_of",
    "risk_of",
]
