"""`/attack-protection`: settings of the guards."""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.guards.protection import BREACHES, BRUTE_FORCE, DEFAULTS, LOGIN_LIMIT, PASSKEY_LIMIT, THROTTLING
from app.web.management.operation import Operation
from app.web.management.schema import Body, Lenient
from app.web.management.setting import Setting, operations_of

SCOPES = ("read:attack_protection", "update:attack_protection")
METHODS = ("GET", "PATCH")


def _is_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("Not an IP address or network") from None
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_is_network)]], Field(max_length=100)]


class LoginLimit(Body):
    """Logins of one person from one address: our extension, shown where it was set."""

    burst: Annotated[int, Field(ge=1, le=1_000_000)] = LOGIN_LIMIT["burst"]
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = LOGIN_LIMIT["per_minute"]


class BruteForce(Body):
    enabled: bool | None = None
    shields: list[Literal["block", "user_notification"]] | None = None
    mode: Literal["count_per_identifier_and_ip", "count_per_identifier"] | None = None
    allowlist: Networks | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    login_limit: LoginLimit | None = None


class LoginStage(Body):
    max_attempts: Annotated[int, Field(ge=1, le=2500)] | None = None
    rate: Annotated[int, Field(ge=34560, le=86400000)] | None = None


class SignupStage(Body):
    max_attempts: Annotated[int, Field(ge=1, le=72000)] | None = None
    rate: Annotated[int, Field(ge=1, le=86400000)] | None = None


class ThrottleStages(Body):
    pre_login: LoginStage | None = Field(None, alias="pre-login")
    pre_user_registration: SignupStage | None = Field(None, alias="pre-user-registration")
    pre_custom_token_exchange: SignupStage | None = Field(None, alias="pre-custom-token-exchange")


class PasskeysOfAddress(Body):
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = PASSKEY_LIMIT["per_address"]["burst"]
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = PASSKEY_LIMIT["per_address"]["per_minute"]


class PasskeysOfClient(Body):
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = PASSKEY_LIMIT["per_client"]["burst"]
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = PASSKEY_LIMIT["per_client"]["per_minute"]


class PasskeyLimit(Body):
    """Questions that strangers are asked for a passkey: our extension, shown where it was set."""

    per_address: PasskeysOfAddress | None = None
    per_client: PasskeysOfClient | None = None


class Throttling(Body):
    enabled: bool | None = None
    shields: list[Literal["block", "admin_notification"]] | None = None
    allowlist: Networks | None = None
    stage: ThrottleStages | None = None
    passkey_limit: PasskeyLimit | None = None


class BreachStage(Lenient):
    shields: list[Literal["block", "admin_notification"]] | None = None


class BreachStages(Lenient):
    pre_user_registration: BreachStage | None = Field(None, alias="pre-user-registration")
    pre_change_password: BreachStage | None = Field(None, alias="pre-change-password")


class BreachedPasswords(Lenient):
    enabled: bool | None = None
    shields: list[Literal["block", "user_notification", "admin_notification"]] | None = None
    admin_notification_frequency: list[Literal["immediately", "daily", "weekly", "monthly"]] | None = None
    method: Literal["standard", "enhanced"] | None = None
    stage: BreachStages | None = None


CAPTCHA_SECRETS = (
    "recaptcha_v2.secret",
    "recaptcha_enterprise.api_key",
    "hcaptcha.secret",
    "friendly_captcha.secret",
    "arkose.secret",
)
SETTINGS = (
    Setting(
        f"/{BRUTE_FORCE}",
        BruteForce,
        SCOPES,
        DEFAULTS[BRUTE_FORCE],
        METHODS,
    ),
    Setting(
        f"/{THROTTLING}",
        Throttling,
        SCOPES,
        DEFAULTS[THROTTLING],
        METHODS,
    ),
    Setting(
        f"/{BREACHES}",
        BreachedPasswords,
        SCOPES,
        DEFAULTS[BREACHES],
        METHODS,
    ),
    Setting(
        "/attack-protection/bot-detection",
        Lenient,
        SCOPES,
        {
            "bot_detection_level": "medium",
            "challenge_password_policy": "never",
            "challenge_passwordless_policy": "never",
            "challenge_password_reset_policy": "never",
            "allowlist": [],
            "monitoring_mode_enabled": False,
        },
        METHODS,
    ),
    Setting(
        "/attack-protection/captcha",
        Lenient,
        SCOPES,
        {"active_provider_id": "auth_challenge"},
        METHODS,
        secrets=CAPTCHA_SECRETS,
    ),
)

OPERATIONS: tuple[Operation, ...] = tuple(made for setting in SETTINGS for made in operations_of(setting))
