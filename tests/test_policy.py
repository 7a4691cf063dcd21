"""Who must prove a second factor: one row a sentence."""

from dataclasses import replace

import pytest

from app.policy import Allow, Challenge, Decision, Deny, Enroll, Standing, decide, effective_mode

PLAIN = Standing(
    mode="when_enrolled",
    is_user_blocked=False,
    is_realm_enabled=True,
    is_realm_for_client=True,
    is_client_enabled=True,
    confirmed_kinds=(),
    usable_kinds=(),
    is_factor_proven=False,
)
TOTP: dict[str, object] = {"confirmed_kinds": ("totp",), "usable_kinds": ("totp",)}
WORN_OUT: dict[str, object] = {"confirmed_kinds": ("totp",), "usable_kinds": ()}
OWN: dict[str, object] = {"is_for_own_factors": True}

TABLE: list[tuple[str, dict[str, object], Decision]] = [
    ("when_enrolled lets in whoever has no factor", {}, Allow()),
    ("when_enrolled challenges whoever has one", TOTP, Challenge(("totp",))),
    ("never challenges nobody", {"mode": "never"} | TOTP, Allow()),
    ("always challenges whoever has a factor", {"mode": "always"} | TOTP, Challenge(("totp",))),
    ("always has whoever has none enrol", {"mode": "always"}, Enroll()),
    ("a proven factor is enough under always", {"mode": "always", "is_factor_proven": True} | TOTP, Allow()),
    ("a disabled factor is no way around", WORN_OUT, Challenge(())),
    ("a disabled factor is no way to enrol anew", {"mode": "always"} | WORN_OUT, Challenge(())),
    ("own factors need a factor even under never", {"mode": "never"} | TOTP | OWN, Challenge(("totp",))),
    ("own factors are open to whoever has none", {"mode": "never"} | OWN, Allow()),
    ("a blocked user is out", {"is_user_blocked": True}, Deny("user_blocked")),
    ("… whatever was proven", {"is_user_blocked": True, "is_factor_proven": True}, Deny("user_blocked")),
    ("a disabled realm lets nobody in", {"is_realm_enabled": False}, Deny("realm_disabled")),
    ("a realm is for its clients only", {"is_realm_for_client": False}, Deny("realm_not_for_client")),
    ("a disabled client gets nothing", {"is_client_enabled": False}, Deny("client_disabled")),
]


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_decision(change: dict[str, object], expected: Decision) -> None:
    assert decide(replace(PLAIN, **change)) == expected  # type: ignore[arg-type]


MODES: list[tuple[str | None, tuple[str, ...], str]] = [
    (None, (), "when_enrolled"),
    (None, ("all-applications",), "always"),
    ("inherit", (), "never"),
    ("inherit", ("all-applications",), "always"),
    ("never", ("all-applications",), "never"),
    ("when_enrolled", (), "when_enrolled"),
    ("always", (), "always"),
    ("a word nobody knows", (), "always"),
]


@pytest.mark.parametrize(("realm_mode", "tenant_policies", "expected"), MODES)
def test_effective_mode(realm_mode: str | None, tenant_policies: tuple[str, ...], expected: str) -> None:
    assert effective_mode(realm_mode, tenant_policies) == expected
