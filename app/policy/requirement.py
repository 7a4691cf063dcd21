"""Whether a login owes a second factor at all, and the word for why."""

from collections.abc import Iterator
from typing import get_args

from app.policy.standing import BREAK_GLASS_PERIOD, Standing, devices
from app.policy_terms import Exemption, ExemptionType, is_within

_EXEMPT = "exempt_"
# Why somebody was let in: one of the policy's exemptions, which were made for some.
EXEMPTED = tuple(f"{_EXEMPT}{type}" for type in get_args(ExemptionType))


def is_required(standing: Standing) -> tuple[bool, str]:
    """A demand of the rules is heard before the terms, their waiver unless the policy is locked."""
    terms, wish = standing.policy.terms, standing.wish
    if standing.is_switched_off and not terms.locked:
        return False, "exempt_realm"
    if wish is not None and wish.wants == "waive" and not terms.locked:
        return False, "waived_by_rule"
    if wish is not None and wish.wants == "demand":
        return True, "demanded_by_rule"
    waiver = next(_waivers(standing), None)
    if waiver is not None:
        return False, waiver
    networks = terms.scope.networks
    if networks.policy == "require_mfa_outside" and not is_within(standing.ip, networks.trusted):
        return True, "outside_trusted_networks"
    return _by_mode(standing)


def _waivers(standing: Standing) -> Iterator[str]:
    """Why the policy is not about this login."""
    scope = standing.policy.terms.scope
    if not scope.clients.has(standing.client_id):
        yield "client_out_of_scope"
    if not scope.audiences.has(standing.audience):
        yield "audience_out_of_scope"
    if not scope.roles.has(standing.roles):
        yield "role_out_of_scope"
    if scope.scopes and not any(word in scope.scopes for word in standing.scope):
        yield "scope_not_requested"
    for exemption in standing.policy.terms.exemptions:
        if _is_exempt(standing, exemption):
            yield f"{_EXEMPT}{exemption.type}"
    if scope.networks.policy == "skip_mfa" and is_within(standing.ip, scope.networks.trusted):
        yield "trusted_network"


def _is_exempt(standing: Standing, exemption: Exemption) -> bool:
    if exemption.expires_at is not None and exemption.expires_at <= standing.now:
        return False
    value = exemption.value
    match exemption.type:
        case "user":
            return value == standing.user_id
        case "role":
            return value in standing.roles
        case "client":
            return value == standing.client_id
        case "network":
            return is_within(standing.ip, [value])
        case "email_domain":
            domain = (standing.email or "").rpartition("@")[2]
            return bool(domain) and domain.lower() == value.lower().removeprefix("@")


def _by_mode(standing: Standing) -> tuple[bool, str]:
    mode = standing.policy.mode
    # Any factor counts here, also one that the policy does not take any more: a stricter list must not open a door.
    has_any = bool(devices(standing.confirmed))
    if mode == "never":
        return False, "mode_never"
    if mode == "when_enrolled":
        return (True, "mode_when_enrolled") if has_any else (False, "not_enrolled")
    if mode == "adaptive":
        if has_any and not standing.policy.is_written:
            return True, "mode_when_enrolled"
        return _by_risk(standing)
    return True, "mode_always"


def _by_risk(standing: Standing) -> tuple[bool, str]:
    adaptive = standing.policy.terms.adaptive
    if standing.risk is None:
        return adaptive.on_unavailable == "require", "signals_unavailable"
    low = ("low",) if adaptive.require_at_or_below == "low" else ("low", "medium")
    return standing.risk.confidence in low, f"confidence_{standing.risk.confidence}"


def is_break_glass(standing: Standing) -> bool:
    glass = standing.policy.terms.break_glass
    if standing.user_id not in glass.user_ids:
        return False
    if glass.networks and not is_within(standing.ip, glass.networks):
        return False
    recent = [at for at in standing.counted.break_glass_uses if at > standing.now - BREAK_GLASS_PERIOD]
    return standing.is_refresh or len(recent) < glass.max_uses_per_day
