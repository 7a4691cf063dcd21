"""The way back for somebody who lost a second factor."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from app.accounts import jobs, resetting
from app.context import Context
from app.store import authenticators, users
from app.store import jobs as rows
from app.store.users import User
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


def reset_many(admin: Admin, **body: object) -> dict[str, object]:
    asked = admin.post("/jobs/mfa-reset", {"reason": "a stolen laptop"} | body, 202)
    assert (asked["status"], asked["type"]) == ("pending", "mfa_reset")
    while jobs.work_off(admin.wire.server):
        pass
    done = admin.get(f"/jobs/{asked['id']}")
    assert (done["status"], done["percentage_done"]) == ("completed", 100), done
    summary: dict[str, object] = done["summary"]
    return summary


def test_a_job_resets_a_connection_and_tells_everybody_who_lost_a_factor(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    making.enroll_totp(wire.server, cast.carol)
    dora = making.make_user(wire.server, cast.staff, "dora@example.com")
    making.enroll_phone(wire.server, dora)
    tokens, bobs = wire.login(cast.alice_totp, **FULL), wire.ok(wire.password("bob@example.com", **FULL))
    before = len(wire.messages())
    assert reset_many(admin, connection_id=cast.staff.id) == {"reset": 2, "unchanged": 1}
    told(wire.refresh(tokens["refresh_token"]), 403, "invalid_grant")
    wire.ok(wire.refresh(bobs["refresh_token"]))  # who has no factor is left alone
    assert making.reload_user(wire.server, cast.bob).mfa_counts is None
    mails = wire.messages()[before:]
    assert sorted(m.destination for m in mails) == ["alice@example.com", "dora@example.com"]
    assert all("removed" in m.subject for m in mails)
    with wire.server.db.read() as conn:
        assert not authenticators.list_authenticators(conn, cast.alice.id)
        assert authenticators.list_authenticators(conn, cast.carol.id)  # the same address in another realm
    for user in (cast.alice, dora):
        found = [e for e in wire.events() if e.user_id == user.id and e.user_agent == "belay jobs"]
        assert [e.reason for e in found] == ["factors_reset", "mfa_reset", "mfa_reset"]
        assert {e.client_id for e in found} == {"admin"} and {e.realm for e in found} == {"staff"}
        assert found[-1].details["change"]["after"]["reason"] == "a stolen laptop"  # type: ignore[index]
    assert reset_many(admin, connection_id=cast.staff.id) == {"reset": 0, "unchanged": 3}


def test_a_job_resets_those_listed_or_found_and_the_factors_named(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    making.enroll_phone(wire.server, cast.alice)
    tokens = wire.login(cast.alice_totp, **FULL)
    listed = {"user_ids": [cast.alice.id, cast.bob.id], "factors": ["sms"], "invalidate_sessions": False}
    assert reset_many(admin, **listed) == {"reset": 1, "unchanged": 1}
    with wire.server.db.read() as conn:
        kinds = [a.kind for a in authenticators.list_authenticators(conn, cast.alice.id)]
    assert sorted(kinds) == ["recovery_code", "totp"]
    wire.ok(wire.refresh(tokens["refresh_token"]))
    assert reset_many(admin, q="mfa.factors:otp AND email:alice*", factors=["otp"])["reset"] == 1
    with wire.server.db.read() as conn:  # the recovery code went with the last factor
        assert not authenticators.list_authenticators(conn, cast.alice.id)


def test_a_process_that_dies_leaves_nobody_told_twice(admin: Admin, wire: Wire, cast: Cast) -> None:
    people = [making.make_user(wire.server, cast.staff, f"p{n}@example.com") for n in range(5)]
    for user in people:
        making.enroll_totp(wire.server, user)
    asked = admin.post("/jobs/mfa-reset", {"reason": "x", "user_ids": [u.id for u in people]}, 202)
    with wire.server.db.write() as conn:
        rows.claim(conn, asked["id"], "dies", making.now())
        job = rows.find_job(conn, asked["id"])
    assert job is not None
    wanted = resetting.wanted_of(job.options, None)

    class Dies(Exception):
        pass

    done: list[str] = []

    def note(conn: Connection, user: User, was_reset: bool) -> None:
        if len(done) == 2:
            raise Dies  # in the middle of the third
        done.append(user.id)
        options = job.options | {"after": user.id}
        values = {"position": len(done), "updated": len(done), "options": options}
        assert rows.advance(conn, job.id, "dies", long_ago, **values)

    long_ago = making.now() - timedelta(minutes=5)
    ctx = Context(wire.server, making.now(), ip="")
    with pytest.raises(Dies):
        list(resetting.reset_all(wire.server, wanted, by="x", new_context=lambda facts: ctx, note=note))
    while jobs.work_off(wire.server):
        pass
    assert admin.get(f"/jobs/{asked['id']}")["summary"] == {"reset": 5, "unchanged": 0}
    assert sorted(m.destination for m in wire.messages()) == [f"p{n}@example.com" for n in range(5)]


def test_a_job_of_resets_says_what_is_wrong_with_it(admin: Admin, wire: Wire, cast: Cast) -> None:
    alone: dict[str, object] = {"reason": "x"}
    for wrong in (
        alone,
        {"connection_id": cast.staff.id},
        alone | {"connection_id": cast.staff.id, "q": "email:a*"},
        alone | {"user_ids": []},
        alone | {"q": "nonsense:1"},
        alone | {"connection_id": cast.staff.id, "factors": ["telepathy"]},
    ):
        refused(admin.ask("POST", "/jobs/mfa-reset", wrong), 400, "invalid_body")
    unknown = admin.ask("POST", "/jobs/mfa-reset", alone | {"connection_id": "con_x"})
    refused(unknown, 400, "inexistent_connection")
    nobody = alone | {"user_ids": [cast.bob.id, "auth0|nobody"]}
    refused(admin.ask("POST", "/jobs/mfa-reset", nobody), 404, "inexistent_user")
    narrow = Admin(wire, token_for(wire, "delete:guardian_enrollments", client_id="narrow"))
    refused(narrow.ask("POST", "/jobs/mfa-reset", alone | {"q": "email:a*"}), 403, "insufficient_scope")
    asked = narrow.post("/jobs/mfa-reset", alone | {"user_ids": [cast.bob.id]}, 202)
    assert narrow.get(f"/jobs/{asked['id']}")["type"] == "mfa_reset"
    people = Admin(wire, token_for(wire, "read:users", client_id="people"))
    refused(people.ask("GET", f"/jobs/{asked['id']}"), 403, "insufficient_scope")
