"""The way back for somebody who lost a second factor."""

import pytest

from app.store import authenticators, users
from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import FULL, Wire, code_of
from tests.wire import refused as told


def test_one_call_removes_every_factor_ends_all_access_and_makes_a_pass(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always", "enrollment": {"proof": "access_pass"}})
    tokens = wire.login(cast.alice_totp, **FULL)
    open_login = wire.mfa_token()
    done = admin.post(
        f"/users/{cast.alice.id}/mfa-reset", {"reason": "lost phone", "access_pass_seconds": 600}, 200
    )
    assert sorted(done["removed"]) == ["recovery_code", "totp"] and done["ended_refresh_tokens"] == 1
    told(wire.refresh(tokens["refresh_token"]), 403, "invalid_grant")
    told(wire.otp(open_login, code_of(cast.alice_totp)), 403, "invalid_grant")
    told(wire.get("/userinfo", tokens["access_token"]), 401, "invalid_token")
    with wire.server.db.read() as conn:
        assert authenticators.list_authenticators(conn, cast.alice.id) == []

    asked = wire.password()
    assert asked.json is not None and asked.json["error"] == "mfa_required"
    headers = {"Authorization": f"Bearer {asked.json['mfa_token']}"}
    members = {"authenticator_types": ["otp"], "access_pass": done["access_pass"]}
    enrolled = wire.ok(wire.post_json("/mfa/associate", headers=headers, **members))
    wire.ok(wire.otp(asked.json["mfa_token"], code_of(enrolled["secret"])))
    counts = making.reload_user(wire.server, cast.alice).mfa_counts
    assert counts is not None and counts.factors_reset_at is None

    left = [
        (e.type, e.reason) for e in wire.events() if e.client_id == "admin" and e.user_id == cast.alice.id
    ]
    assert left == [
        ("gd_unenroll", "factors_reset"),
        ("srrt", "mfa_reset"),
        ("sapi", "mfa_reset"),
        ("sapi", "access_pass_created"),
    ]
    assert done["access_pass"] not in str([e.details for e in wire.events()])


def test_a_password_alone_enrols_anew_for_a_day_after_a_reset(admin: Admin, wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    admin.delete(f"/users/{cast.alice.id}/authenticators")
    wire.mfa_token()
    later = making.reload_user(wire.server, cast.alice).mfa_counts
    assert later is not None and later.factors_reset_at is not None
    long_ago = later.model_copy(update={"factors_reset_at": cast.alice.created_at.replace(year=2020)})
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.alice.id, mfa_counts=long_ago)
    told(wire.password(), 403, "access_denied")
    admin.post(f"/users/{cast.alice.id}/access-passes", {"reason": "on the telephone"})
    wire.mfa_token()
    admin.delete(f"/users/{cast.alice.id}/access-passes")
    told(wire.password(), 403, "access_denied")


def test_a_pass_is_shown_once_and_bounded(admin: Admin, cast: Cast) -> None:
    path = f"/users/{cast.bob.id}/access-passes"
    made = admin.post(path, {"reason": "new phone", "lifetime_seconds": 60})
    assert len(made["access_pass"]) == 24 and made["id"].startswith("pas_")
    assert admin.post(path, {"reason": "new phone"})["access_pass"] != made["access_pass"]
    seconds = ({"reason": "x", "lifetime_seconds": number} for number in (59, 604801))
    for wrong in ({}, {"reason": ""}, *seconds):
        refused(admin.ask("POST", path, wrong), 400, "invalid_body")
    refused(admin.ask("POST", "/users/auth0|nobody/access-passes", {"reason": "x"}), 404, "inexistent_user")


@pytest.mark.parametrize("scope", ["read:users", "delete:guardian_enrollments"])
def test_a_pass_needs_the_right_to_make_one(wire: Wire, cast: Cast, scope: str) -> None:
    narrow = Admin(wire, token_for(wire, scope, client_id="narrow"))
    refused(
        narrow.ask("POST", f"/users/{cast.bob.id}/access-passes", {"reason": "x"}), 403, "insufficient_scope"
    )
    body = {"reason": "x", "access_pass_seconds": 60}
    refused(narrow.ask("POST", f"/users/{cast.bob.id}/mfa-reset", body), 403, "insufficient_scope")
