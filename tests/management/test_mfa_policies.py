"""`/connections/{id}/mfa-policy`: what an administrator writes, and what tools see of it."""

from typing import Any

import pytest

from app.policy_mirror import LONGEST, document_of, line_of
from app.policy_terms import FACTOR_NAMES, Terms
from app.store.base import count
from app.store.events import events
from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire


def path_of(cast: Cast) -> str:
    return f"/connections/{cast.staff.id}/mfa-policy"


def test_a_policy_is_shown_replaced_merged_and_taken_back(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/connections", {"name": "partners", "strategy": "auth0"})
    path = f"/connections/{made['id']}/mfa-policy"
    fresh = admin.get(path)
    assert (fresh["mode"], fresh["effective_mode"], fresh["version"]) == ("when_enrolled", "when_enrolled", 0)
    assert fresh["factors"]["allowed"] == list(FACTOR_NAMES) and "updated_by" not in fresh

    put = admin.put(path, {"mode": "always", "enrollment": {"grace": {"type": "days", "days": 3}}})
    assert (put["mode"], put["version"], put["updated_by"]) == ("always", 1, "admin")
    assert put["enrollment"]["grace"]["days"] == 3 and put["enrollment"]["self_service"] == "at_login"
    assert admin.get(path) == put

    patched = admin.patch(path, {"factors": {"allowed": ["sms", "otp"]}})
    assert patched["factors"]["allowed"] == ["phone", "otp"] and patched["mode"] == "always"
    assert patched["enrollment"] == put["enrollment"] and patched["version"] == 2
    # The first level merges, what is below is replaced.
    again = admin.patch(path, {"enrollment": {"self_service": "closed"}})
    assert again["enrollment"]["grace"]["type"] == "none"
    # An answer can be sent back as it is.
    assert admin.put(path, again)["factors"] == again["factors"]

    listed = admin.get("/guardian/policies/connections")["policies"]
    assert {p["connection_id"]: p["mode"] for p in listed}[made["id"]] == "always"
    admin.delete(path)
    assert admin.get(path) == fresh
    admin.delete(path)
    changes = [e.details["change"] for e in wire.events() if e.type == "sapi" and "mfa_policy" in e.reason]
    assert [c.get("before", {}).get("mode") for c in changes] == [None, None, None, None, "always"]  # type: ignore[attr-defined]
    assert changes[1]["after"]["factors"]["allowed"] == ["phone", "otp"]  # type: ignore[index]
    assert [e.reason for e in wire.events() if e.type == "gd_tenant_update"] == ["mfa_policy"] * 5


def test_blind_mode_takes_one_time_passwords_alone(admin: Admin, cast: Cast) -> None:
    terms = {"mode": "always", "blind": True, "factors": {"allowed": ["otp", "recovery-code"]}}
    assert admin.put(path_of(cast), terms)["blind"] is True
    admin.delete(path_of(cast))
    admin.put("/guardian/factors/otp", {"enabled": False})
    refused(admin.ask("PUT", path_of(cast), terms), 400, "invalid_body")


def test_of_two_who_change_the_same_version_one_hears_that_it_changed(admin: Admin, cast: Cast) -> None:
    path, api = path_of(cast), f"/api/v2{path_of(cast)}"

    def change(method: str, tag: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {admin.token}", "If-Match": tag}
        return admin.wire.client.open(api, method=method, json=body or None, headers=headers)

    tag = admin.ask("GET", path).headers["ETag"]
    assert tag == '"1"'
    assert change("PATCH", tag, mode="always").status_code == 200
    for method in ("PATCH", "PUT", "DELETE"):
        refused(
            change(method, tag, mode="never"), 412, "precondition_failed", "The policy has version 2 by now."
        )
    assert change("PUT", '"7", W/"2"', mode="always").status_code == 200
    assert change("DELETE", "*").status_code == 204
    refused(change("PUT", "*", mode="never"), 412, "precondition_failed")
    assert admin.get(path)["version"] == 0


REFUSED: list[dict[str, Any]] = [
    {"mode": "sometimes"},
    {"mode": None},
    {"modes": "always"},
    {"factors": {"allowed": ["otp", "carrier-pigeon"]}},
    {"factors": {"min_enrolled": 0}},
    {"factors": {"min_enrolled": True}},
    {"mode": "always", "factors": {"allowed": ["webauthn-platform"]}},
    {"mode": "always", "factors": {"allowed": []}},
    {"scope": {"networks": {"trusted": ["10.0.0.0/33"]}}},
    {"scope": {"networks": {"trusted": ["everywhere"]}}},
    {"enrollment": {"grace": {"type": "until"}}},
    {"enrollment": {"grace": {"type": "until", "until": "tomorrow"}}},
    {"enrollment": {"proof": "verified_email"}},
    {"blind": True},  # with factors whose challenges tell of their owner
    {"blind": True, "factors": {"allowed": ["recovery-code"]}},
    {"blind": True, "factors": {"allowed": ["otp"]}, "mode": "never"},
    {"blind": True, "factors": {"allowed": ["otp"]}, "enforcement": "report_only"},
    {"exemptions": [{"type": "user", "value": "auth0|1"}]},
    {"exemptions": [{"type": "network", "value": "here", "reason": "x"}]},
    {"exemptions": [{"type": "planet", "value": "x", "reason": "x"}]},
    {"break_glass": {"user_ids": ["auth0|nobody"]}},
    {"break_glass": {"user_ids": ["a", "b", "c"]}},
    {"refresh": {"max_mfa_age_seconds": 1}},
    {"budgets": {"countries": ["Germany"]}},
    {"remember": {"allowed": True}},  # there is nothing that could be remembered
]


def test_what_cannot_be_a_policy_is_refused(admin: Admin, cast: Cast) -> None:
    for body in (*REFUSED, {"break_glass": {"user_ids": [cast.carol.id]}}):
        for method in ("PUT", "PATCH"):
            refused(admin.ask(method, path_of(cast), body), 400, "invalid_body")
    bob = cast.bob.id
    both = {
        "break_glass": {"user_ids": [bob]},
        "exemptions": [{"type": "user", "value": bob, "reason": "because"}],
    }
    refused(admin.ask("PUT", path_of(cast), both), 400, "invalid_body")
    assert admin.get(path_of(cast))["version"] == 1
    # What would lock everybody out may be tried out.
    admin.put(path_of(cast), {"mode": "always", "enforcement": "report_only", "factors": {"allowed": []}})


def test_exemptions_come_and_go_one_by_one(admin: Admin, cast: Cast) -> None:
    path = f"{path_of(cast)}/exemptions"
    body = {
        "type": "user",
        "value": cast.bob.id,
        "reason": "lost the phone",
        "expires_at": "2030-01-01T00:00:00Z",
    }
    made = admin.post(path, body)
    assert made["id"].startswith("exm_") and made["created_by"] == "admin" and made["created_at"]
    assert admin.get(path) == [made]
    # Whoever sends the list back changes neither who made it nor when.
    kept = admin.patch(path_of(cast), {"exemptions": [{**made, "created_by": "mallory"}]})
    assert kept["exemptions"] == [made]
    refused(admin.ask("DELETE", f"{path}/exm_nothing"), 404, "inexistent_exemption")
    admin.delete(f"{path}/{made['id']}")
    assert admin.get(path) == []
    refused(admin.ask("POST", path, {"type": "user", "value": "x"}), 400, "invalid_body")


def test_tools_see_and_write_the_policy_as_a_line_of_metadata(admin: Admin, cast: Cast) -> None:
    path, policy = f"/connections/{cast.staff.id}", path_of(cast)
    # A connection whose metadata never named it stays without.
    admin.put(policy, {"mode": "always"})
    assert "metadata" not in admin.get(path)
    line = "mode=always; grace=days:14;factors=sms,otp"
    assert (
        admin.patch(path, {"metadata": {"mfa_policy": line, "team": "blue"}})["metadata"]["mfa_policy"]
        == line
    )
    found = admin.get(policy)
    assert found["factors"]["allowed"] == ["phone", "otp"] and found["enrollment"]["grace"]["days"] == 14
    # Written again it changes nothing; a tool that applies every hour makes no versions.
    admin.patch(path, {"metadata": {"mfa_policy": line}})
    assert admin.get(policy)["version"] == found["version"]
    # What the line has no words for stays; what it does not say is as by default.
    admin.post(f"{policy}/exemptions", {"type": "role", "value": "rol_x", "reason": "a"})
    assert admin.get(path)["metadata"]["mfa_policy"] == line
    admin.patch(path, {"metadata": {"mfa_policy": "mode=when_enrolled;min=2"}})
    found = admin.get(policy)
    assert found["enrollment"]["grace"]["type"] == "none" and len(found["exemptions"]) == 1
    # The other way round the line follows the policy.
    admin.patch(policy, {"mode": "never"})
    assert admin.get(path)["metadata"] == {"mfa_policy": "mode=never;min=2", "team": "blue"}
    admin.put(policy, LONG)
    line = admin.get(path)["metadata"]["mfa_policy"]
    assert line == "too long, see the connection's mfa-policy"
    for wrong in (
        line,"mode", "mode=", "mode=often", "mood=always", "mode=never;mode=always", "mode=always;min=two",
                  "grace=days:x", "grace=weeks:2"):  # fmt: skip
        refused(admin.ask("PATCH", path, {"metadata": {"mfa_policy": wrong}}), 400, "invalid_body")
    assert admin.patch(path, {"metadata": {"mfa_policy": None}})["metadata"] == {"team": "blue"}
    assert admin.get(policy)["version"] == 0

    admin.patch(path, {"metadata": {"mfa_policy": "mode=always"}})
    admin.patch(policy, {"locked": True})
    for weaker in ("mode=never", None):
        refused(admin.ask("PATCH", path, {"metadata": {"mfa_policy": weaker}}), 400, "invalid_body")
    assert admin.get(policy)["mode"] == "always"
    made = admin.post(
        "/connections", {"name": "new", "strategy": "auth0", "metadata": {"mfa_policy": "mode=always"}}
    )
    assert admin.get(f"/connections/{made['id']}/mfa-policy")["mode"] == "always"


LONG = {
    "mode": "when_enrolled", "enforcement": "report_only", "assurance": "nist",
    "factors": {"allowed": list(reversed(FACTOR_NAMES))[1:], "min_enrolled": 5, "phishing_resistant_only": True,
                "recovery_code": "disabled"},
    "enrollment": {"self_service": "ticket_only", "proof": "access_pass", "on_expired": "block",
                   "grace": {"type": "until", "until": "2030-01-01T00:00:00Z", "starts": "first_login"}},
    "refresh": {"max_mfa_age_seconds": 157_788_000}, "adaptive": {"require_at_or_below": "medium"},
}  # fmt: skip


@pytest.mark.parametrize("document", [{}, LONG], ids=["shortest", "longest"])
def test_a_line_says_again_what_it_was_made_of(document: dict[str, Any]) -> None:
    terms = Terms.model_validate(document)
    line = line_of(terms)
    assert Terms.model_validate(document_of(line, Terms().model_dump(mode="json"))) == terms
    if document:
        assert len(line) > LONGEST  # and so is not shown in part
    else:
        assert line == "mode=inherit"


def test_a_decision_is_explained_and_leaves_nothing_behind(admin: Admin, wire: Wire, cast: Cast) -> None:
    path = path_of(cast)
    admin.put(path, {"mode": "always", "enrollment": {"grace": {"type": "skips", "skips": 2}}})
    with wire.server.db.read() as conn:
        before = count(conn, events.select(), up_to=10_000)
    alice = admin.post(f"{path}/evaluate", {"user_id": cast.alice.id}, 200)
    assert (alice["decision"], alice["reasons"]) == ("challenge", ["mode_always", "enrolled"])
    assert [f["name"] for f in alice["factors"]] == ["otp", "recovery-code"]
    for _ in range(3):
        bob = admin.post(f"{path}/evaluate", {"user_id": cast.bob.id, "client_id": "app"}, 200)
        assert (bob["decision"], bob["reasons"]) == ("allow", ["mode_always", "in_grace"])
        assert bob["grace_skips_left"] == 2 and bob["effective_policy"]["mode"] == "always"
    with wire.server.db.read() as conn:
        assert count(conn, events.select(), up_to=10_000) == before
    admin.patch(path, {"scope": {"networks": {"trusted": ["192.0.2.0/24"], "policy": "skip_mfa"}}})
    inside = admin.post(f"{path}/evaluate", {"user_id": cast.alice.id, "ip": "192.0.2.9"}, 200)
    assert inside["reasons"] == ["trusted_network"]
    admin.patch(path, {"enforcement": "report_only", "scope": {}})
    told = admin.post(f"{path}/evaluate", {"user_id": cast.alice.id, "at": "2030-01-01T00:00:00Z"}, 200)
    assert (told["decision"], told["would_be"], told["reasons"][0]) == ("allow", "challenge", "report_only")
    refused(admin.ask("POST", f"{path}/evaluate", {"user_id": cast.carol.id}), 400, "invalid_body")
    refused(admin.ask("POST", f"{path}/evaluate", {"user_id": "auth0|nobody"}), 404, "inexistent_user")
    stranger = making.make_client(wire.server, "stranger")
    told = admin.post(f"{path}/evaluate", {"user_id": cast.bob.id, "client_id": stranger.id}, 200)
    assert (told["decision"], told["reasons"]) == ("deny", ["realm_not_for_client"])
