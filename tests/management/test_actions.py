"""Actions: written, deployed and bound over the management API, and what logins make of them."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from app.context import Server
from app.rules import runtime
from app.store import rules
from app.store.rules import Rule
from tests import making
from tests.making import API, Cast
from tests.making import reload_user as reload
from tests.management.conftest import Admin, refused
from tests.wire import FULL, Wire, bearer, code_of
from tests.wire import refused as login_refused

NAME = "https://example.com/"
TRIGGER = {"supported_triggers": [{"id": "post-login", "version": "v3"}]}


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def code(body: str) -> str:
    return f"exports.onExecutePostLogin = async (event, api) => {{ {body} }};"


def bind(admin: Admin, *names: str) -> list[dict[str, Any]]:
    refs = [{"ref": {"type": "action_name", "value": name}, "display_name": name} for name in names]
    found: list[dict[str, Any]] = admin.patch("/actions/triggers/post-login/bindings", {"bindings": refs})[
        "bindings"
    ]
    return found


def put(admin: Admin, name: str, body: str, **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = admin.post(
        "/actions/actions", {"name": name, "code": code(body), "deploy": True} | TRIGGER | members
    )
    return made


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_draft_runs_once_it_is_deployed_and_bound(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/actions/actions", {"name": "Deny", "code": code("api.access.deny('no');")} | TRIGGER)
    assert (made["status"], made["all_changes_deployed"], made["runtime"]) == ("built", False, "node22")
    refused(
        admin.ask(
            "PATCH",
            "/actions/triggers/post-login/bindings",
            {"bindings": [{"ref": {"type": "action_id", "value": made["id"]}}]},
        ),
        400,
        "action_not_deployed",
    )
    version = admin.post(f"/actions/actions/{made['id']}/deploy", None, 200)
    assert (version["number"], version["deployed"]) == (1, True)
    wire.ok(wire.password("bob@example.com"))
    (binding,) = bind(admin, "Deny")
    assert binding["action"]["all_changes_deployed"] is True
    login_refused(wire.password("bob@example.com"), 403, "access_denied", "no")
    admin.patch(f"/actions/actions/{made['id']}", {"code": code("")})
    assert admin.get(f"/actions/actions/{made['id']}")["all_changes_deployed"] is False
    login_refused(wire.password("bob@example.com"), 403, "access_denied", "no")
    admin.post(f"/actions/actions/{made['id']}/deploy", None, 200)
    wire.ok(wire.password("bob@example.com"))
    found = admin.get(f"/actions/actions/{made['id']}/versions")
    assert [each["number"] for each in found["versions"]] == [2, 1] and found["total"] == 2
    again = admin.post(f"/actions/actions/{made['id']}/versions/{version['id']}/deploy", None, 200)
    assert again["number"] == 3
    assert admin.get(f"/actions/actions/{made['id']}")["code"] == code("api.access.deny('no');")
    login_refused(wire.password("bob@example.com"), 403, "access_denied", "no")
    refused(admin.ask("DELETE", f"/actions/actions/{made['id']}"), 409, "action_bound")
    admin.delete(f"/actions/actions/{made['id']}", force="true")
    wire.ok(wire.password("bob@example.com"))
    refused(admin.ask("GET", f"/actions/actions/{made['id']}"), 404, "inexistent_action")


def test_actions_run_behind_rules_in_the_order_of_their_bindings(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    with wire.server.db.write() as conn:
        script = "function (user, context, callback) { user.note = ['rule']; callback(null, user, context); }"
        rules.add_rule(conn, Rule("rul_1", "first", script, 1))
    claim = f"api.idToken.setCustomClaim('{NAME}note', event.user.note);"
    put(admin, "One", f"event.user.note.push('lost'); {claim}")
    put(admin, "Two", f"api.accessToken.setCustomClaim('{NAME}seen', event.user.note); {claim}")
    bind(admin, "Two", "One")
    answer = wire.ok(wire.password("bob@example.com", **FULL))
    assert claims(answer["id_token"])[NAME + "note"] == ["rule", "lost"]
    assert claims(answer["access_token"])[NAME + "seen"] == ["rule"]
    told: Any = wire.events()[-1].details["rules"]
    assert told["ran"] == ["first", "Two", "One"]
    bind(admin)
    assert admin.get("/actions/triggers/post-login/bindings")["bindings"] == []


def test_an_action_knows_which_rules_ran(admin: Admin, wire: Wire, cast: Cast) -> None:
    script = "function (user, context, callback) { callback(null, user, context); }"
    rule = admin.post("/rules", {"name": "first", "script": script})
    asked = f"['{rule['id']}', 'rul_other'].map((id) => api.rules.wasExecuted(id))"
    put(admin, "Asks", f"api.idToken.setCustomClaim('{NAME}ran', {asked});")
    bind(admin, "Asks")
    assert claims(wire.ok(wire.password("bob@example.com", **FULL))["id_token"])[NAME + "ran"] == [
        True,
        False,
    ]


def test_an_action_changes_scopes_claims_metadata_and_demands_a_factor(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    made = put(
        admin,
        "All",
        f"""api.accessToken.addScope('write:things').accessToken.removeScope('email');
            api.idToken.setCustomClaim('sub', 'x').idToken.setCustomClaim('{NAME}a', {{b: [1]}});
            api.user.setAppMetadata('seen', event.stats.logins_count);
            api.user.setUserMetadata('lang', 'de');
            api.idToken.setCustomClaim('{NAME}event', [event.client.client_id, event.connection.name,
              event.transaction.protocol, event.resource_server.identifier, event.secrets.KEY,
              event.user.enrolledFactors.length, event.authentication.methods[0].name, api.redirect.canRedirect()]);""",
        secrets=[{"name": "KEY", "value": "canary-value"}],
    )
    assert made["secrets"][0].keys() == {"name", "updated_at"} and "canary" not in str(made)
    bind(admin, "All")
    answer = wire.ok(wire.password("bob@example.com", audience=API, scope="openid email read:things"))
    assert claims(answer["access_token"])["scope"].split() == ["openid", "read:things", "write:things"]
    found = claims(answer["id_token"])
    assert (found["sub"], found[NAME + "a"]) == (cast.bob.id, {"b": [1]})
    expected = ["app", "staff", "oauth2-password", API, "canary-value", 0, "pwd", False]
    assert found[NAME + "event"] == expected
    bob = reload(wire.server, cast.bob)
    assert (bob.app_metadata, bob.user_metadata) == ({"seen": 1}, {"lang": "de"})
    assert "canary" not in str([event.details for event in wire.events()])

    admin.patch(f"/actions/actions/{made['id']}", {"code": code("api.multifactor.enable('any');")})
    admin.post(f"/actions/actions/{made['id']}/deploy", None, 200)
    login_refused(wire.password("bob@example.com"), 403, "mfa_required")


def test_secrets_stay_unless_they_are_left_out(admin: Admin, wire: Wire, cast: Cast) -> None:
    body = f"api.idToken.setCustomClaim('{NAME}s', event.secrets);"
    two = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    made = put(admin, "Secrets", body, secrets=two)
    bind(admin, "Secrets")

    def seen(secrets: list[dict[str, str]] | None) -> Any:
        if secrets is not None:
            admin.patch(f"/actions/actions/{made['id']}", {"secrets": secrets})
            admin.post(f"/actions/actions/{made['id']}/deploy", None, 200)
        return claims(wire.ok(wire.password("bob@example.com", **FULL))["id_token"])[NAME + "s"]

    assert seen(None) == {"A": "1", "B": "2"}
    assert seen([{"name": "A"}, {"name": "C", "value": "3"}]) == {"A": "1", "C": "3"}
    answer = admin.ask("PATCH", f"/actions/actions/{made['id']}", {"secrets": [{"name": "B"}]})
    refused(answer, 400, "invalid_body")
    assert seen([]) == {}


def test_an_action_chooses_the_factor_that_is_asked_for(admin: Admin, wire: Wire, cast: Cast) -> None:
    """Alice has an authenticator app and a telephone; the first alone would do for the realm."""
    making.switch_on(wire.server, "sms")
    making.enroll_phone(wire.server, cast.alice)
    put(
        admin,
        "Factor",
        "api.authentication.challengeWith({type: 'phone', options: {preferredMethod: 'sms'}});",
    )
    bind(admin, "Factor")
    owed = wire.password("alice@example.com")
    assert owed.json is not None
    assert owed.json["mfa_requirements"] == {"challenge": [{"type": "phone"}, {"type": "oob"}]}
    token = owed.json["mfa_token"]
    login_refused(wire.challenge(token, challenge_type="otp"), 401, "unsupported_challenge_type")
    again = wire.otp(token, code_of(cast.alice_totp))
    login_refused(again, 403, "mfa_required")
    assert again.json is not None
    begun = wire.ok(wire.challenge(again.json["mfa_token"], challenge_type="oob"))
    done = wire.oob(again.json["mfa_token"], begun["oob_code"], binding_code=wire.newest_code())
    assert "access_token" in wire.ok(done)


def test_an_action_chooses_the_factor_that_is_enrolled(admin: Admin, wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms")
    put(admin, "Enrol", "api.authentication.enrollWithAny([{type: 'phone'}, {type: 'webauthn-roaming'}]);")
    put(admin, "Narrower", "api.authentication.enrollWith({type: 'phone'});")
    bind(admin, "Enrol", "Narrower")
    owed = wire.password("bob@example.com")
    assert owed.json is not None and owed.json["mfa_requirements"] == {"enroll": [{"type": "phone"}]}
    token = owed.json["mfa_token"]
    login_refused(wire.associate(token), 400, "invalid_request")
    phone = {"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": "+491701234568"}
    begun = wire.ok(wire.post_json("/mfa/associate", headers=bearer(token), **phone))
    done = wire.oob(token, begun["oob_code"], binding_code=wire.newest_code())
    assert "access_token" in wire.ok(done)


FAILURES = [
    ("throw new Error('broken');", "broken", "rule_threw"),
    ("await new Promise(() => {});", None, "rule_never_called_back"),
    ("for (;;) {}", None, "rule_timed_out"),
    ("api.redirect.sendUserTo('https://example.com');", None, "rule_threw"),
    ("api.authentication.challengeWith({type: 'duo'});", None, "rule_threw"),
    ("api.authentication.enrollWith({type: 'email'});", None, "rule_threw"),
    (
        "api.authentication.challengeWith({type: 'otp'});",
        "A second factor is required here that is not set up.",
        "factor_not_enrolled",
    ),
    (
        "api.authentication.challengeWith({type: 'otp'}); api.authentication.enrollWith({type: 'phone'});",
        None,
        "rule_bad_answer",
    ),
    ("api.multifactor.enable('duo');", None, "rule_bad_answer"),
    ("api.access.deny();", "The login is not allowed.", "denied_by_rule"),
]


def test_an_action_that_does_not_end_refuses_the_login(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = put(admin, "Failing", "")
    bind(admin, "Failing")
    for body, text, reason in FAILURES:
        admin.patch(f"/actions/actions/{made['id']}", {"code": code(body)})
        admin.post(f"/actions/actions/{made['id']}/deploy", None, 200)
        login_refused(wire.password("bob@example.com"), 403, "access_denied", text)
        assert wire.events()[-1].reason == reason


def test_what_cannot_run_is_not_deployed(admin: Admin) -> None:
    draft = {"name": "Draft", "code": "exports.onExecutePostLogin = async (event, api) => {"} | TRIGGER
    refused(admin.ask("POST", "/actions/actions", draft | {"deploy": True}), 400, "action_not_built")
    made = admin.post("/actions/actions", draft)
    refused(admin.ask("POST", f"/actions/actions/{made['id']}/deploy"), 400, "action_not_built")
    for other in ("exports.other = 1;", "const x = require('lodash');" + code("")):
        admin.patch(f"/actions/actions/{made['id']}", {"code": other})
        refused(admin.ask("POST", f"/actions/actions/{made['id']}/deploy"), 400, "action_not_built")
    refused(admin.ask("POST", "/actions/actions", draft), 409, "duplicate_action")
    package = {"dependencies": [{"name": "lodash", "version": "4.17.21"}]}
    answer = admin.ask("POST", "/actions/actions", draft | {"name": "X"} | package)
    refused(answer, 400, "operation_not_supported")
    answer = admin.ask("POST", "/actions/actions", {"name": "X", "supported_triggers": [{"id": "other"}]})
    refused(answer, 400, "invalid_body")
    answer = admin.ask("PATCH", "/actions/triggers/pre-user-registration/bindings", {"bindings": []})
    refused(answer, 400, "operation_not_supported")
    assert [each["name"] for each in admin.get("/actions/actions", deployed="false")["actions"]] == ["Draft"]
    assert admin.get("/actions/actions", triggerId="post-login", actionName="None")["actions"] == []
    assert [each["id"] for each in admin.get("/actions/triggers")["triggers"]] == ["post-login"]
