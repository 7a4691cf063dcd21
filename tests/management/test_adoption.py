"""How far the second factor has come, and what a policy would have meant."""

from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from app.accounts import jobs
from app.rehearsal import work
from app.store import users
from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import Wire, code_of


def rehearsed(admin: Admin, cast: Cast, policy: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = admin.post("/jobs/mfa-rehearsal", {"connection_id": cast.staff.id, "policy": policy} | more, 202)
    assert asked["status"] == "pending"
    while jobs.work_off(admin.wire.server, {"mfa_rehearsal": work}):
        pass
    done = admin.get(f"/jobs/{asked['id']}")
    assert (done["status"], done["type"]) == ("completed", "mfa_rehearsal"), done
    found: dict[str, Any] = done["result"]
    return found


def test_each_factor_is_counted_by_its_name_and_how_long_it_took(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    making.enroll_phone(wire.server, cast.alice)
    key = making.enroll_security_key(wire.server, cast.alice)
    for seconds in (4, 9, 30):  # the code by message, the app's, the key's
        token = wire.mfa_token()
        members = {"challenge_type": "webauthn" if seconds == 30 else "oob"}
        asked = {} if seconds == 9 else wire.ok(wire.challenge(token, **members))
        clock.tick(timedelta(seconds=seconds))
        if seconds == 4:
            wire.oob(token, asked["oob_code"], binding_code="000000")
            wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
        elif seconds == 9:
            wire.ok(wire.otp(token, code_of(cast.alice_totp)))
        else:
            wire.webauthn(token, key.get(asked["public_key"], signature=lambda signed: signed[:-1]))
            wire.ok(wire.webauthn(token, key.get(asked["public_key"])))
        clock.tick(timedelta(seconds=60))
    told = admin.get("/stats/mfa", connection_id=cast.staff.id)
    [today] = told["days"]
    assert today["challenges"] == {
        "issued": 3,
        "passed": {"otp": 1, "phone": 1, "webauthn-roaming": 1},
        "failed": {"phone": 1, "webauthn-roaming": 1},
        "abandoned": 0,
    }
    assert today["median_seconds_to_pass"] == 9


def test_figures_of_people_and_days(admin: Admin, wire: Wire, cast: Cast) -> None:
    old = making.make_user(wire.server, cast.staff, "old@example.com")
    making.make_user(wire.server, cast.staff, "exempt@example.com")
    exempt = making.make_user(wire.server, cast.staff, "service@example.com")
    with wire.server.db.write() as conn:
        long_ago = datetime.now(UTC) - timedelta(days=40)
        users.update_user(conn, old.id, created_at=long_ago, last_login=long_ago)
        users.update_user(conn, cast.bob.id, created_at=datetime.now(UTC))
    grace = {"type": "days", "days": 5, "starts": "user_created"}
    terms = {
        "mode": "always",
        "enrollment": {"grace": grace, "self_service": "closed"},
        "exemptions": [{"type": "user", "value": exempt.id, "reason": "a robot"}],
    }
    making.set_policy(wire.server, cast.staff, terms)
    wire.login(cast.alice_totp)
    wire.ok(wire.recovery(wire.mfa_token(), cast.alice_recovery))
    wire.otp(wire.mfa_token(), "000000")
    admin.delete(f"/users/{cast.carol.id}/authenticators")

    told = admin.get("/stats/mfa", connection_id=cast.staff.id)
    assert told["now"] == {
        "users_total": 5,
        "users_active_30d": 1,
        "users_enrolled": 1,
        "users_enrolled_allowed": 1,
        "pending_enrollment": 0,
        "in_grace": 2,
        "grace_expiring_7d": 2,
        "exempt": 1,
        "blocked_unenrolled": 1,
        "by_factor": {"otp": 1, "recovery-code": 1},
    }
    [today] = told["days"]
    assert today["challenges"] == {
        "issued": 3,
        "passed": {"otp": 1, "recovery-code": 1},
        "failed": {"otp": 1},
        "abandoned": 1,
    }
    assert (today["recovery_code_uses"], today["resets"], today["break_glass_uses"]) == (1, 0, 0)
    refused(admin.ask("GET", "/stats/mfa"), 400, "invalid_query_string")
    refused(admin.ask("GET", "/stats/mfa", connection_id="con_x"), 404, "inexistent_connection")


def test_a_policy_is_tried_on_the_logins_of_the_last_days(admin: Admin, wire: Wire, cast: Cast) -> None:
    for client in ({}, {"client_id": "phone-app", "client_secret": ""}):
        wire.ok(wire.password("bob@example.com", **client))
    token = wire.mfa_token()
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
    wire.password("bob@example.com", "wrong")
    making.make_user(wire.server, cast.guests, "other@example.com")

    same = rehearsed(admin, cast, {})
    assert (same["logins"], same["allow"], same["challenge"], same["locked_out"]) == (3, 2, 1, 0)
    closed = rehearsed(admin, cast, {"mode": "always", "enrollment": {"self_service": "ticket_only"}}, days=1)
    assert (closed["challenge"], closed["locked_out"], closed["users_locked_out"]) == (1, 2, 1)
    assert closed["locked_out_users"] == [{"user_id": cast.bob.id, "reason": "enrollment_by_ticket_only"}]
    by_client = {row["client_id"]: row for row in closed["by_application"]}
    assert by_client["phone-app"]["locked_out"] == 1 and by_client["app"]["challenge"] == 1
    assert closed["challenged_users"] == [cast.alice.id] and closed["messages"] == 0
    making.enroll_phone(wire.server, cast.bob)
    costly = rehearsed(admin, cast, {"mode": "always"})
    assert costly["messages"] == 2 and [row["messages"] for row in costly["by_application"]] == [1, 1]
    admin.delete(f"/users/{cast.bob.id}/authenticators")
    assert rehearsed(admin, cast, {"mode": "always", "enforcement": "report_only"})["enroll"] == 2
    networks = {"trusted": ["127.0.0.0/8"], "policy": "skip_mfa"}
    assert rehearsed(admin, cast, {"scope": {"networks": networks}})["allow"] == 3
    # Nothing was changed by it.
    assert admin.get(f"/connections/{cast.staff.id}/mfa-policy")["version"] == 1
    wire.ok(wire.password("bob@example.com"))


def test_a_rehearsal_is_for_those_who_may_read_policies(admin: Admin, wire: Wire, cast: Cast) -> None:
    body: dict[str, Any] = {"connection_id": cast.staff.id, "policy": {"mode": "always"}}
    for wrong in (
        {"policy": body},
        body | {"days": 91},
        body | {"policy": {"mode": "x"}},
        body | {"more": 1},
    ):
        refused(admin.ask("POST", "/jobs/mfa-rehearsal", wrong), 400, "invalid_body")
    asked = admin.post("/jobs/mfa-rehearsal", body, 202)
    export = admin.post("/jobs/users-exports", {"connection_id": cast.staff.id}, 200)
    reader = Admin(wire, token_for(wire, "read:mfa_policies", client_id="reader"))
    assert reader.ask("GET", f"/jobs/{asked['id']}").status_code == 200
    refused(reader.ask("GET", f"/jobs/{export['id']}"), 403, "insufficient_scope")
    people = Admin(wire, token_for(wire, "read:users", client_id="people"))
    refused(people.ask("GET", f"/jobs/{asked['id']}"), 403, "insufficient_scope")
