"""Who must prove a second factor: one pure function, asked at every step, redemption included."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["never", "when_enrolled", "always"]

MODES = ("never", "when_enrolled", "always")
REALM_MODES = ("inherit", *MODES)
TENANT_POLICIES = ("all-applications", "confidence-score")


@dataclass(frozen=True)
class Allow:
    pass


@dataclass(frozen=True)
class Challenge:
    """A second factor is owed; `kinds` are those the person can use now, possibly none."""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Enroll:
    """A second factor is owed and the person has never had one."""


@dataclass(frozen=True)
class Deny:
    reason: str


Decision = Allow | Challenge | Enroll | Deny


@dataclass(frozen=True)
class Wish:
    """What rules have to say about a login: a factor is demanded (one of `kinds`, where there are any), or waived."""

    wants: Literal["demand", "waive"]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """All that the decision looks at."""

    mode: Mode
    is_user_blocked: bool
    is_realm_enabled: bool
    is_realm_for_client: bool
    is_client_enabled: bool
    confirmed_kinds: tuple[str, ...]
    """Second factors that were ever confirmed, disabled ones included."""
    usable_kinds: tuple[str, ...]
    is_factor_proven: bool
    """A second factor was proven in this login."""
    is_for_own_factors: bool = False
    """What is asked for is access to one's own factors."""
    wish: Wish | None = None


def decide(standing: Standing) -> Decision:
    if not standing.is_client_enabled:
        return Deny("client_disabled")
    if not standing.is_realm_enabled:
        return Deny("realm_disabled")
    if not standing.is_realm_for_client:
        return Deny("realm_not_for_client")
    if standing.is_user_blocked:
        return Deny("user_blocked")
    if standing.is_factor_proven:
        return Allow()
    # A disabled authenticator still counts as enrolled: else fifty wrong guesses would be the way around it.
    is_enrolled = bool(standing.confirmed_kinds)
    # Where a realm asks for no factor, changing one's factors still does: a password alone must not replace them.
    if standing.is_for_own_factors and is_enrolled:
        return Challenge(standing.usable_kinds)
    if standing.wish is not None and standing.wish.wants == "waive":
        return Allow()
    if standing.wish is not None:
        return Challenge(standing.usable_kinds) if is_enrolled else Enroll()
    if standing.mode == "never" or (standing.mode == "when_enrolled" and not is_enrolled):
        return Allow()
    return Challenge(standing.usable_kinds) if is_enrolled else Enroll()


def effective_mode(
    realm_mode: str | None, tenant_policies: tuple[str, ...], *, is_exempt: bool = False
) -> Mode:
    """A realm's mode, with the tenant's where it has none of its own.

    `inherit` is the tenant's policy exactly; where nobody wrote a policy, the stronger of it and `when_enrolled`.
    An unknown word demands a second factor: a policy must not weaken by being misread. `is_exempt` is the switch in
    the connection's own options, which overrides the rest as Auth0 has it.
    """
    if is_exempt:
        return "never"
    tenant: Mode = "always" if tenant_policies else "never"
    if realm_mode is None:
        return "always" if tenant == "always" else "when_enrolled"
    if realm_mode == "inherit":
        return tenant
    if realm_mode == "never":
        return "never"
    return "when_enrolled" if realm_mode == "when_enrolled" else "always"
