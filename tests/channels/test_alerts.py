"""What a security team is told of at once, by event and by mail, and how often."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.channels import alerts
from app.context import Context
from app.policy_terms import AlertKind
from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, token_for
from tests.wire import FULL, Wire, code_of, refused

TEAM = "security@example.com"
EVERYTHING = {"channels": ["log_stream", "email"], "on": list(get_args(AlertKind))}


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    found = Admin(wire, token_for(wire))
    found.patch("/tenants/settings", {"support_email": TEAM})
    return found


def policy(**members: Any) -> dict[str, Any]:
    return {"mode": "always", "alerts": EVERYTHING} | members


def told(wire: Wire) -> list[tuple[str, str | None, str]]:
    """Of each alert: what of, about whom, and what became of its mail."""
    return [
        (e.reason, e.user_id, e.details["alert"]["mail"])  # type: ignore[index]
        for e in wire.events()
        if e.type == "mfa_policy_alert"
    ]


def mailed(wire: Wire) -> list[str]:
    return [mail.subject for mail in wire.messages() if mail.destination == TEAM]


def test_an_emergency_account_is_told_of_at_each_use(wire: Wire, cast: Cast, admin: Admin) -> None:
    making.set_policy(wire.server, cast.staff, policy(break_glass={"user_ids": [cast.alice.id]}))
    for _ in range(2):
        wire.ok(wire.password(**FULL))
    assert told(wire) == [("break_glass", cast.alice.id, "queued")] * 2
    assert mailed(wire) == ["An emergency account was used (staff)"] * 2
    mail = next(mail for mail in wire.messages() if mail.destination == TEAM)
    assert cast.alice.id in mail.text and "127.0.0.1" in mail.text and "Connection: staff" in mail.text


def test_an_exemption_is_told_of_once_for_a_person_and_day(
    wire: Wire, cast: Cast, admin: Admin, clock: FrozenDateTimeFactory
) -> None:
    exempt = [{"type": "email_domain", "value": "example.com", "reason": "pilot"}]
    making.set_policy(wire.server, cast.staff, policy(exemptions=exempt))
    for name in ("alice@example.com", "bob@example.com", "alice@example.com"):
        wire.ok(wire.password(name))
    first = [("exemption_used", user.id, "queued") for user in (cast.alice, cast.bob)]
    assert told(wire) == first
    clock.tick(timedelta(hours=25))
    tokens = wire.ok(wire.password(**FULL))
    wire.ok(wire.refresh(tokens["refresh_token"]))
    assert told(wire) == [*first, first[0]]


def test_a_realm_that_is_switched_off_is_no_exemption(wire: Wire, cast: Cast, admin: Admin) -> None:
    making.set_policy(wire.server, cast.staff, policy())
    admin.patch(f"/connections/{cast.staff.id}", {"options": {"mfa": {"active": False}}})
    wire.ok(wire.password())
    assert told(wire) == []


def test_each_way_to_take_factors_away_is_told_of(wire: Wire, cast: Cast, admin: Admin) -> None:
    making.set_policy(wire.server, cast.staff, policy())
    path = f"/users/{cast.alice.id}"
    kept = next(a for a in admin.get(f"{path}/authentication-methods") if a["type"] == "totp")
    admin.delete(f"{path}/authentication-methods/{kept['id']}")
    admin.post(f"{path}/mfa-reset", {"reason": "lost phone"}, 200)
    admin.delete(f"{path}/authenticators")
    assert told(wire) == [("reset", cast.alice.id, "queued")] * 3


def test_guesses_are_told_of_once_a_day(
    wire: Wire, cast: Cast, admin: Admin, clock: FrozenDateTimeFactory
) -> None:
    making.set_policy(wire.server, cast.staff, policy())
    token = wire.mfa_token()
    for _ in range(10):
        refused(wire.otp(token, "000000"), 403, "invalid_grant")
    assert told(wire) == []
    for _ in range(3):
        assert wire.otp(token, "000000").status_code == 429
    assert told(wire) == [("otp_guessing", cast.alice.id, "queued")]


def test_many_enrolments_are_told_of_once_an_hour(
    wire: Wire, cast: Cast, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "BURST", (2, 3600.0))
    making.set_policy(wire.server, cast.staff, policy())
    names = [f"new{number}@example.com" for number in range(4)]
    for name in names:
        user = making.make_user(wire.server, cast.staff, name)
        token = wire.mfa_token(name)
        wire.ok(wire.otp(token, code_of(wire.ok(wire.associate(token))["secret"])))
        if name == names[2]:
            assert told(wire) == [("enrollment_burst", user.id, "queued")]
    assert len(told(wire)) == 1


def test_a_changed_policy_is_told_of_also_where_it_ends_the_alerts(
    wire: Wire, cast: Cast, admin: Admin
) -> None:
    path = f"/connections/{cast.staff.id}/mfa-policy"
    admin.put(path, policy())
    admin.patch(path, {"mode": "when_enrolled"})
    admin.patch(path, {"alerts": {"on": []}})
    admin.patch(path, {"mode": "always"})
    assert told(wire) == [("policy_changed", None, "queued")] * 3
    admin.patch(path, {"alerts": EVERYTHING})
    admin.delete(path)
    assert len(told(wire)) == 5


def test_only_what_is_named_is_told_and_only_there(wire: Wire, cast: Cast, admin: Admin) -> None:
    glass = {"user_ids": [cast.alice.id], "max_uses_per_day": 9}
    for wanted, events, mails in (
        ({"channels": ["log_stream", "email"], "on": ["reset"]}, [], 0),
        ({"channels": ["log_stream"], "on": ["break_glass"]}, ["unwanted"], 0),
        ({"channels": ["email"], "on": ["break_glass"]}, ["unwanted"], 1),
        ({"channels": [], "on": ["break_glass"]}, ["unwanted"], 1),
    ):
        making.set_policy(wire.server, cast.staff, policy(break_glass=glass, alerts=wanted))
        wire.ok(wire.password())
        assert [mail for _, _, mail in told(wire)] == events and len(mailed(wire)) == mails


def test_mails_are_limited_and_events_say_so(wire: Wire, cast: Cast, admin: Admin) -> None:
    glass = {"user_ids": [cast.alice.id], "max_uses_per_day": 50}
    making.set_policy(wire.server, cast.staff, policy(break_glass=glass))
    for _ in range(12):
        wire.ok(wire.password())
    assert [mail for _, _, mail in told(wire)] == ["queued"] * 10 + ["limit"] * 2
    admin.post(f"/users/{cast.bob.id}/mfa-reset", {"reason": "lost phone"}, 200)
    assert told(wire)[-1] == ("reset", cast.bob.id, "queued"), "another kind is not buried under it"


@pytest.mark.parametrize(("address", "mail"), [(None, "no_address"), ("nobody", "no_address")])
def test_without_an_address_the_event_says_so(
    wire: Wire, cast: Cast, admin: Admin, address: str | None, mail: str
) -> None:
    admin.patch("/tenants/settings", {"support_email": address})
    making.set_policy(wire.server, cast.staff, policy(break_glass={"user_ids": [cast.alice.id]}))
    wire.ok(wire.password())
    assert told(wire) == [("break_glass", cast.alice.id, mail)]


def test_without_a_mail_gateway_nothing_fails(ctx: Context, wire: Wire, cast: Cast, admin: Admin) -> None:
    making.set_policy(wire.server, cast.staff, policy())
    ctx = replace(ctx, server=replace(ctx.server, settings=ctx.settings.model_copy(update={"smtp_url": ""})))
    with ctx.db.write() as conn:
        alerts.tell(conn, ctx, cast.staff.id, "reset", cast.alice.id)
    assert told(wire) == [("reset", cast.alice.id, "no_gateway")]


def test_every_alert_is_said_in_every_language() -> None:
    for language, texts in alerts.TEXTS.items():
        assert set(texts) == set(get_args(AlertKind)) and language in alerts.FACTS
