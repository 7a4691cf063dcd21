"""What a realm's MFA policy says: its terms, as an administrator writes them, a row keeps them and the decision reads
them. One definition for all three.

Factors have the names of the management API here, because several of them may be one kind of authenticator inside.
"""

from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

Mode = Literal["inherit", "never", "when_enrolled", "always", "adaptive"]
MODES: tuple[Mode, ...] = get_args(Mode)

MessageType = Literal["sms", "voice"]
MESSAGE_TYPES: tuple[MessageType, ...] = get_args(MessageType)
FactorWord = Literal[
    "otp", "webauthn-roaming", "webauthn-platform", "phone", "email", "push-notification", "recovery-code"
]
FACTOR_NAMES: tuple[FactorWord, ...] = get_args(FactorWord)
RECOVERY_CODE = "recovery-code"
PHISHING_RESISTANT = ("webauthn-roaming", "webauthn-platform")
BLIND_FACTORS = ("otp", RECOVERY_CODE)  # what says nothing of its owner when it is asked for
NOT_NIST = ("email",)  # SP 800-63B-4 3.1.3.1: no out-of-band authenticator
ALIASES = {"sms": "phone"}

ANYBODY = "*"
MOST = 200  # entries of a list: a policy is looked through at every login


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("Not a date and time") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def network_of(text: str) -> IPv4Network | IPv6Network:
    """Raises ValueError."""
    return ip_network(text, strict=False)


def _network(text: str) -> str:
    try:
        return str(network_of(text))
    except ValueError:
        raise ValueError("Not a network, expected for instance 192.0.2.0/24") from None


def is_within(ip: str, networks: list[str]) -> bool:
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network_of(text) for text in networks)


def _unaliased(value: object) -> object:
    return ALIASES.get(value, value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_moment), PlainSerializer(moment_text, when_used="json")]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
Word = Annotated[str, Field(min_length=1, max_length=600)]
FactorName = Annotated[FactorWord, BeforeValidator(_unaliased)]
Words = Annotated[list[Word], Field(max_length=MOST)]
FactorNames = Annotated[list[FactorName], Field(max_length=len(FACTOR_NAMES) + 1)]
Networks = Annotated[list[Network], Field(max_length=MOST)]


class Chosen(Part):
    """Which of them are meant: those included (`*` is everybody) and not excluded."""

    include: Words = [ANYBODY]
    exclude: Words = []

    def has(self, name: str) -> bool:
        return (ANYBODY in self.include or name in self.include) and name not in self.exclude


class ChosenRoles(Part):
    include: Words = []
    """Empty: everybody."""
    exclude: Words = []

    def has(self, roles: tuple[str, ...]) -> bool:
        is_in = not self.include or any(role in self.include for role in roles)
        return is_in and not any(role in self.exclude for role in roles)


class TrustedNetworks(Part):
    trusted: Networks = []
    policy: Literal["ignore", "skip_mfa", "require_mfa_outside"] = "ignore"


class About(Part):
    """Whom and what the policy is about."""

    clients: Chosen = Chosen()
    audiences: Chosen = Chosen()
    scopes: Words = []
    """Where there are any, a factor is asked for only when one of them is."""
    roles: ChosenRoles = ChosenRoles()
    networks: TrustedNetworks = TrustedNetworks()


class RoleFactors(Part):
    role: Word
    allowed: Annotated[FactorNames, Field(min_length=1)]


class SecurityKeys(Part):
    """What is asked of them beyond the tenant's settings."""

    user_verification: Literal["required", "preferred", "discouraged"] = "discouraged"
    attachment: Literal["any", "platform", "cross-platform"] = "any"
    synced: Literal["allow", "refuse"] = "allow"


class Factors(Part):
    allowed: FactorNames = list(FACTOR_NAMES)
    message_types: Annotated[list[MessageType], Field(max_length=2)] = ["sms", "voice"]
    """How new telephones are reached, of what the tenant allows."""
    preferred: FactorName | None = None
    min_enrolled: Annotated[int, Field(ge=1, le=5)] = 1
    phishing_resistant_only: bool = False
    by_role: Annotated[list[RoleFactors], Field(max_length=MOST)] = []
    recovery_code: Literal["required", "optional", "disabled"] = "optional"
    push_binding: Literal["any", "transfer"] = "any"
    webauthn: SecurityKeys = SecurityKeys()
    passkey_satisfies: bool = False


class Window(Part):
    opens_at: Moment | None = None
    closes_at: Moment | None = None


class Grace(Part):
    """How long somebody may do without who has none yet."""

    type: Literal["none", "until", "days", "skips"] = "none"
    until: Moment | None = None
    days: Annotated[int, Field(ge=1, le=365)] = 14
    skips: Annotated[int, Field(ge=1, le=100)] = 3
    starts: Literal["policy_change", "user_created", "first_login"] = "policy_change"
    remind_every_hours: Annotated[int, Field(ge=0, le=8760)] = 24


class Enrollment(Part):
    self_service: Literal["at_login", "ticket_only", "closed"] = "at_login"
    window: Window = Window()
    grace: Grace = Grace()
    after_reset_hours: Annotated[int, Field(ge=1, le=8760)] | None = 24
    """How long after a reset the password alone may enrol again."""
    on_expired: Literal["require", "block"] = "require"
    allow_multiple: bool = True
    min_factors_before_unenroll: Annotated[int, Field(ge=0, le=5)] = 1
    proof: Literal["none", "verified_contact", "access_pass"] = "none"


class Remember(Part):
    allowed: bool = False
    days: Annotated[int, Field(ge=1, le=365)] = 30


class Refresh(Part):
    max_mfa_age_seconds: Annotated[int, Field(ge=60, le=157_788_000)] | None = None


class Adaptive(Part):
    require_at_or_below: Literal["low", "medium"] = "low"
    assessors: Annotated[list[Word], Field(max_length=20)] = []
    on_unavailable: Literal["require", "allow"] = "require"


ExemptionType = Literal["user", "role", "client", "network", "email_domain"]


class Exemption(Part):
    id: Annotated[str, Field(max_length=64)] = ""
    type: ExemptionType
    value: Word
    reason: Annotated[str, Field(max_length=500)] = ""
    expires_at: Moment | None = None
    created_by: Annotated[str, Field(max_length=200)] = ""
    created_at: Moment | None = None


class BreakGlass(Part):
    """Accounts for the day when nobody's second factor works."""

    user_ids: Annotated[list[Word], Field(max_length=2)] = []
    networks: Networks = []
    """Empty: from everywhere."""
    alert: bool = True
    max_uses_per_day: Annotated[int, Field(ge=1, le=100)] = 3


AlertKind = Literal[
    "break_glass", "exemption_used", "reset", "enrollment_burst", "otp_guessing", "policy_changed"
]


class Alerts(Part):
    channels: Annotated[list[Literal["log_stream", "email"]], Field(max_length=2)] = ["log_stream"]
    on: Annotated[list[AlertKind], Field(max_length=6)] = []


class Budgets(Part):
    """What may be spent on messages to telephones."""

    messages_per_day: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    countries: Annotated[list[Annotated[str, Field(pattern="^[A-Z]{2}$")]], Field(max_length=300)] | None = (
        None
    )


class Terms(Part):
    mode: Mode = "inherit"
    enforcement: Literal["enforce", "report_only"] = "enforce"
    locked: bool = False
    scope: About = About()
    factors: Factors = Factors()
    enrollment: Enrollment = Enrollment()
    remember: Remember = Remember()
    refresh: Refresh = Refresh()
    adaptive: Adaptive = Adaptive()
    exemptions: Annotated[list[Exemption], Field(max_length=MOST)] = []
    break_glass: BreakGlass = BreakGlass()
    alerts: Alerts = Alerts()
    assurance: Literal["any", "nist"] = "any"
    blind: bool = False
    budgets: Budgets = Budgets()

    def allows(self, roles: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The factors that count for somebody with these roles."""
        names = [name for name in FACTOR_NAMES if name in self.factors.allowed]
        for rule in self.factors.by_role:
            if rule.role in roles:
                names = [name for name in names if name in rule.allowed]
        if self.factors.phishing_resistant_only:
            names = [name for name in names if name in PHISHING_RESISTANT]
        if self.assurance == "nist":
            names = [name for name in names if name not in NOT_NIST]
        if self.factors.recovery_code == "disabled":
            names = [name for name in names if name != RECOVERY_CODE]
        return tuple(names)

    @property
    def wants_transfer(self) -> bool:
        """Whether a push counts only from a phone that matches numbers: a plain approve is no proof for NIST."""
        return self.factors.push_binding == "transfer" or self.assurance == "nist"

    @property
    def minds_passes(self) -> bool:
        """Whether enrolling may depend on an administrator's access pass."""
        enrollment = self.enrollment
        is_bounded = enrollment.window.opens_at is not None or enrollment.window.closes_at is not None
        return enrollment.proof != "none" or enrollment.self_service == "ticket_only" or is_bounded

    @property
    def mentions_roles(self) -> bool:
        chosen = self.scope.roles
        is_exempt = any(exemption.type == "role" for exemption in self.exemptions)
        return bool(self.factors.by_role or chosen.include or chosen.exclude or is_exempt)


class Counted(Part):
    """What policies have counted of a person."""

    grace_began_at: Moment | None = None
    """Their first login without a factor under a policy that counts from there."""
    grace_skips: int = 0
    factors_reset_at: Moment | None = None
    break_glass_uses: tuple[Moment, ...] = ()

    @property
    def of_logins(self) -> tuple[object, ...]:
        """What logins count, and of which each must see the one before."""
        return self.grace_began_at, self.grace_skips, self.break_glass_uses


class Written(Part):
    """A realm's policy as it is kept: the terms, and who wrote them when."""

    terms: Terms
    version: int = 1
    updated_at: Moment | None = None
    updated_by: str = ""
    since: Moment | None = None
    """When it last began to ask for more: what a period of grace counts from."""


UNREADABLE = Written(terms=Terms(mode="always"), version=0)


def read_written(document: object) -> Written:
    """A policy must not weaken by being misread: what cannot be understood asks everybody."""
    try:
        return Written.model_validate(document)
    except ValueError:
        return UNREADABLE
