"""What administrators set for the guards, as the guards read it: one value, from memory as a rule.

An address on either allow-list is exempt from all that counts passwords by address: failures, throttling, and logins
a minute.
"""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy import Connection

from app.addresses import Networks, is_in
from app.store.documents import find_document

BRUTE_FORCE = "attack-protection/brute-force-protection"
THROTTLING = "attack-protection/suspicious-ip-throttling"
BREACHES = "attack-protection/breached-password-detection"
LOGIN_STAGE, SIGNUP_STAGE, CHANGE_STAGE = "pre-login", "pre-user-registration", "pre-change-password"

DEFAULTS: dict[str, dict[str, Any]] = {
    BRUTE_FORCE: {
        "enabled": True,
        "shields": ["block", "user_notification"],
        "mode": "count_per_identifier_and_ip",
        "allowlist": [],
        "max_attempts": 10,
    },
    THROTTLING: {
        "enabled": True,
        "shields": ["admin_notification", "block"],
        "allowlist": [],
        "stage": {
            LOGIN_STAGE: {"max_attempts": 100, "rate": 864000},
            SIGNUP_STAGE: {"max_attempts": 50, "rate": 1200},
            "pre-custom-token-exchange": {"max_attempts": 10, "rate": 600000},
        },
    },
    BREACHES: {
        "enabled": False,
        "shields": [],
        "admin_notification_frequency": [],
        "method": "standard",
        "stage": {SIGNUP_STAGE: {"shields": []}, CHANGE_STAGE: {"shields": []}},
    },
}
LOGIN_LIMIT = {"burst": 20, "per_minute": 10}  # Auth0's figures; `login_limit` is our extension
# Our extension, too: `passkey_limit` of the throttling.
PASSKEY_LIMIT = {
    "per_address": {"burst": 100, "per_minute": 60},
    "per_client": {"burst": 600, "per_minute": 600},
}


@dataclass(frozen=True)
class Rate:
    """So many, then one more each `refill_seconds`."""

    size: int
    refill_seconds: float


@dataclass(frozen=True)
class BruteForce:
    is_enabled: bool
    blocks: bool
    """Without it the guard only notes what it would have refused."""
    notifies: bool
    is_per_address: bool
    cap: int
    logins: Rate
    """Of one person from one address, successful ones included."""


@dataclass(frozen=True)
class Throttling:
    is_enabled: bool
    blocks: bool
    logins: Rate
    signups: Rate


@dataclass(frozen=True)
class PasskeyLimits:
    """Of the questions that strangers are asked for a passkey."""

    per_address: Rate
    per_client: Rate


@dataclass(frozen=True)
class Breaches:
    is_enabled: bool
    blocks: dict[str, bool]
    """By stage: whether a leaked password is refused there, or only noted."""
    notifies: bool


@dataclass(frozen=True)
class Protection:
    brute_force: BruteForce
    throttling: Throttling
    passkeys: PasskeyLimits
    breaches: Breaches
    allowed: Networks

    def is_exempt(self, ip: str) -> bool:
        return bool(self.allowed) and is_in(ip, self.allowed)


def get_protection(conn: Connection) -> Protection:
    """For `ctx.look_up`: never nothing, so that it is kept where nobody wrote any settings."""
    failures, addresses, leaks = (_read(conn, name) for name in (BRUTE_FORCE, THROTTLING, BREACHES))
    limit, stages = LOGIN_LIMIT | (failures.get("login_limit") or {}), addresses["stage"]
    allowed = [*(failures["allowlist"] or []), *(addresses["allowlist"] or [])]
    leak_stages = leaks["stage"]
    asks = addresses.get("passkey_limit") or {}
    return Protection(
        BruteForce(
            is_enabled=failures["enabled"],
            blocks="block" in failures["shields"],
            notifies="user_notification" in failures["shields"],
            is_per_address=failures["mode"] != "count_per_identifier",
            cap=failures["max_attempts"],
            logins=_per_minute(limit),
        ),
        Throttling(
            is_enabled=addresses["enabled"],
            blocks="block" in addresses["shields"],
            logins=_rate(stages, LOGIN_STAGE),
            signups=_rate(stages, SIGNUP_STAGE),
        ),
        PasskeyLimits(
            **{name: _per_minute(usual | (asks.get(name) or {})) for name, usual in PASSKEY_LIMIT.items()}
        ),
        Breaches(
            is_enabled=leaks["enabled"],
            blocks={LOGIN_STAGE: "block" in leaks["shields"]}
            | {
                stage: "block" in ((leak_stages.get(stage) or {}).get("shields") or [])
                for stage in (SIGNUP_STAGE, CHANGE_STAGE)
            },
            notifies="user_notification" in leaks["shields"],
        ),
        tuple(ip_network(text, strict=False) for text in allowed),
    )


def _read(conn: Connection, name: str) -> dict[str, Any]:
    """With defaults for what was never written, or written as null."""
    written = find_document(conn, name)
    content = written.content if written is not None and isinstance(written.content, dict) else {}
    return DEFAULTS[name] | {member: value for member, value in content.items() if value is not None}


def _per_minute(limit: dict[str, Any]) -> Rate:
    return Rate(limit["burst"], 60 / limit["per_minute"])


def _rate(stages: dict[str, Any], stage: str) -> Rate:
    usual = DEFAULTS[THROTTLING]["stage"][stage]
    found = usual | {name: value for name, value in (stages.get(stage) or {}).items() if value is not None}
    return Rate(found["max_attempts"], found["rate"] / 1000)
