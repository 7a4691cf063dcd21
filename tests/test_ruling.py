"""What rules do to a login: over HTTP, on both databases."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from app import ruling
from app.context import Server
from app.crypto import owner_of
from app.rules import runtime
from app.store import rules, users
from app.store.rules import Rule, SealedConfig
from tests import making
from tests.making import API, CAROLS_PASSWORD, Cast
from tests.wire import FULL, Wire, code_of, refused

NAME = "https://example.com/"


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def put(server: Server, body: str, *, name: str = "", is_enabled: bool = True) -> str:
    """A rule of that body, behind those that are there."""
    with server.db.write() as conn:
        position = rules.last_position(conn) + 1
        script = f"function (user, context, callback) {{ {body} }}"
        name = name or f"rule-{position}"
        rules.add_rule(conn, Rule(f"rul_{position}", name, script, position, is_enabled))
    return f"rul_{position}"


def change(server: Server, rule_id: str, body: str) -> None:
    with server.db.write() as conn:
        rules.update_rule(conn, rule_id, script=f"function (user, context, callback) {{ {body} }}")


def take_away(server: Server, rule_id: str) -> None:
    with server.db.write() as conn:
        rules.remove_rule(conn, rule_id)


def put_config(server: Server, key: str, value: str) -> None:
    sealed = server.keyring.seal(value.encode(), owner_of("rules_configs", key))
    with server.db.write() as conn:
        rules.put_config(conn, SealedConfig(key, sealed))


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


PASS = "callback(null, user, context);"


def test_rules_run_in_order_and_each_sees_what_the_one_before_left(wire: Wire, cast: Cast) -> None:
    put(wire.server, f"user.seen = ['first']; {PASS}")
    put(wire.server, f"throw new Error('never run'); {PASS}", is_enabled=False)
    put(wire.server, f"user.seen.push('second'); context.idToken['{NAME}seen'] = user.seen; {PASS}")
    answer = wire.ok(wire.password("bob@example.com", **FULL))
    assert claims(answer["id_token"])[NAME + "seen"] == ["first", "second"]


def test_namespaced_claims_reach_both_tokens_and_others_are_left_out(wire: Wire, cast: Cast) -> None:
    put(
        wire.server,
        f"""
        context.idToken['{NAME}plan'] = 'gold';
        context.idToken.sub = 'auth0|somebody';
        context.idToken.plan = 'gold';
        context.idToken['https://x.auth0.com/plan'] = 'gold';
        context.accessToken['{NAME}level'] = {{deep: [1, null, 'é']}};
        context.accessToken.aud = 'https://other.example.com';
        context.accessToken.amr = ['mfa'];
        {PASS}""",
    )
    answer = wire.ok(wire.password("bob@example.com", **FULL))
    id_claims, access_claims = claims(answer["id_token"]), claims(answer["access_token"])
    assert id_claims[NAME + "plan"] == "gold"
    assert id_claims["sub"] == cast.bob.id and "plan" not in id_claims
    assert "https://x.auth0.com/plan" not in id_claims
    assert access_claims[NAME + "level"] == {"deep": [1, None, "é"]}
    assert API in access_claims["aud"] and "amr" not in access_claims
    told: Any = wire.events()[-1].details["rules"]
    assert set(told["ignored_claims"]) == {"sub", "plan", "https://x.auth0.com/plan", "aud", "amr"}


def test_a_rule_sees_the_person_and_the_login(wire: Wire, cast: Cast) -> None:
    put_config(wire.server, "KEY", "value-é")
    put(
        wire.server,
        f"""
        context.idToken['{NAME}seen'] = {{
          user_id: user.user_id, email: user.email, verified: user.email_verified, mfa: user.multifactor,
          identity: user.identities[0], client: context.clientID, connection: context.connection,
          protocol: context.protocol, count: context.stats.loginsCount, ip: context.request.ip,
          agent: context.request.userAgent, scope: context.request.body.scope, key: configuration.KEY,
          methods: context.authentication.methods.map(function (m) {{ return m.name; }}),
          roles: context.authorization.roles, password: context.request.body.password,
          all: JSON.stringify([user, context]).includes('{making.PASSWORD}'),
        }};
        {PASS}""",
    )
    answer = wire.ok(wire.password("bob@example.com", headers={"User-Agent": "Till/1"}, **FULL))
    seen = claims(answer["id_token"])[NAME + "seen"]
    assert (seen["user_id"], seen["email"], seen["verified"]) == (cast.bob.id, "bob@example.com", True)
    assert (seen["client"], seen["connection"], seen["protocol"]) == ("app", "staff", "oauth2-password")
    assert (seen["count"], seen["ip"], seen["agent"], seen["key"]) == (1, "127.0.0.1", "Till/1", "value-é")
    assert seen["identity"]["connection"] == "staff"
    assert (seen["methods"], seen["roles"], seen["scope"]) == (["pwd"], [], FULL["scope"])
    assert "mfa" not in seen and "password" not in seen and seen["all"] is False


REFUSALS = [
    (
        "callback(new UnauthorizedError('Not on Sundays'));",
        401,
        "unauthorized",
        "Not on Sundays",
        "denied_by_rule",
    ),
    ("throw new UnauthorizedError('No');", 401, "unauthorized", "No", "rule_threw"),
    ("callback(new Error('Not you'));", 403, "access_denied", "Not you", "denied_by_rule"),
    ("callback('Just a text');", 403, "access_denied", "Just a text", "denied_by_rule"),
    ("callback(new Error());", 403, "access_denied", "The login is not allowed.", "denied_by_rule"),
    ("user.missing.member = 1;", 403, "access_denied", None, "rule_threw"),
    (
        f"context.redirect = {{url: 'https://example.com/'}}; {PASS}",
        403,
        "interaction_required",
        ruling.REDIRECTS,
        "redirect_by_rule",
    ),
]


def test_a_rule_refuses(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, PASS)
    put(wire.server, PASS)
    for body, status, error, text, reason in REFUSALS:
        change(wire.server, rule, body)
        refused(wire.password("bob@example.com"), status, error, text)
        assert (wire.events()[-1].type, wire.events()[-1].reason) == ("f", reason)
    assert making.reload_user(wire.server, cast.bob).logins_count == 0


def test_a_rule_that_does_not_end_refuses_and_the_event_says_why(wire: Wire, cast: Cast) -> None:
    put(wire.server, PASS, name="fine")
    rule = put(wire.server, PASS, name="broken")
    for body, why in (
        ("return;", "never_called_back"),
        ("if (", "not_compiled"),
        ("for (;;) {}", "timed_out"),
        ("var a = []; for (;;) a.push(new ArrayBuffer(1 << 20));", "out_of_memory"),
    ):
        change(wire.server, rule, body)
        refused(wire.password("bob@example.com"), 403, "access_denied", ruling.CANNOT_RUN)
        event = wire.events()[-1]
        told: Any = event.details["rules"]
        assert (event.type, event.reason) == ("f", f"rule_{why}")
        assert (told["rule"], told["why"], told["ran"]) == ("broken", why, ["fine", "broken"])
    put(wire.server, "callback(new Error('never reached'));", is_enabled=False)
    change(wire.server, rule, PASS)
    wire.ok(wire.password("bob@example.com"))


def test_a_refusal_by_rule_counts_no_wrong_password(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, "callback(new Error('no'));")
    for _ in range(11):
        refused(wire.password("bob@example.com"), 403, "access_denied", "no")
    take_away(wire.server, rule)
    wire.ok(wire.password("bob@example.com"))


def test_a_wrong_password_runs_no_rule(wire: Wire, cast: Cast) -> None:
    put(wire.server, "callback(new Error('seen'));")
    refused(wire.password("bob@example.com", "wrong"), 403, "invalid_grant")
    refused(wire.password("nobody@example.com"), 403, "invalid_grant")
    assert all("rules" not in event.details for event in wire.events())


def test_somebody_blocked_runs_no_rule(wire: Wire, cast: Cast) -> None:
    put(wire.server, "callback(new Error('seen'));")
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.bob.id, is_blocked=True)
    refused(wire.password("bob@example.com"), 401, "unauthorized", "user is blocked")


def test_a_rule_demands_a_factor_where_the_policy_does_not(wire: Wire, cast: Cast) -> None:
    put(wire.server, f"context.multifactor = {{provider: 'any', allowRememberBrowser: false}}; {PASS}")
    answer = wire.password("bob@example.com")
    refused(answer, 403, "mfa_required")
    assert answer.json is not None and answer.json["mfa_requirements"] == {"enroll": [{"type": "otp"}]}
    token = answer.json["mfa_token"]
    secret = wire.ok(wire.associate(token))["secret"]
    assert "access_token" in wire.ok(wire.otp(token, code_of(secret)))


def test_the_old_names_of_a_demand_hold_and_what_cannot_be_met_refuses(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, PASS)
    for provider in ("guardian", "google-authenticator"):
        change(wire.server, rule, f"context.multifactor = {{provider: '{provider}'}}; {PASS}")
        refused(wire.password("bob@example.com"), 403, "mfa_required")
    for wanted in ("{provider: 'duo'}", "{}", "true", "'any'", "{provider: ['any']}", "0"):
        change(wire.server, rule, f"context.multifactor = {wanted}; {PASS}")
        refused(wire.password("bob@example.com"), 403, "access_denied", ruling.CANNOT_RUN)
    change(wire.server, rule, f"context.multifactor = null; {PASS}")
    wire.ok(wire.password("bob@example.com"))


def test_a_rule_waives_the_factor(wire: Wire, cast: Cast) -> None:
    members = {"username": "alice@example.com", "password": CAROLS_PASSWORD, "realm": "guests"}
    rule = put(wire.server, f"context.multifactor = {{provider: 'none'}}; {PASS}")
    wire.ok(wire.password(**members))
    take_away(wire.server, rule)
    refused(wire.password(**members), 403, "mfa_required")


def test_no_waiver_opens_the_own_factors(wire: Wire, cast: Cast) -> None:
    put(wire.server, f"context.multifactor = {{provider: 'none'}}; {PASS}")
    audience = f"{wire.server.settings.issuer}mfa/"
    refused(wire.password(audience=audience), 403, "mfa_required")


def test_rules_run_again_with_the_second_factor_and_see_both_methods(wire: Wire, cast: Cast) -> None:
    put(
        wire.server,
        f"""
        const names = context.authentication.methods.map((m) => m.name);
        context.idToken['{NAME}methods'] = names;
        context.idToken['{NAME}enrolled'] = Boolean(user.multifactor && user.multifactor.length);
        auth0.users.updateAppMetadata(user.user_id, {{count: (user.app_metadata.count || 0) + 1}})
          .then(() => callback(null, user, context));""",
    )
    token = wire.mfa_token(**FULL)
    assert making.reload_user(wire.server, cast.alice).app_metadata == {}
    answer = wire.ok(wire.otp(token, code_of(cast.alice_totp)))
    assert claims(answer["id_token"])[NAME + "methods"] == ["pwd", "mfa"]
    assert claims(answer["id_token"])[NAME + "enrolled"] is True
    assert making.reload_user(wire.server, cast.alice).app_metadata == {"count": 1}


def test_a_rule_that_refuses_the_second_step_spends_a_guess_and_no_token(wire: Wire, cast: Cast) -> None:
    """Else its "no" would tell right codes from wrong ones without end."""
    rule = put(
        wire.server,
        f"if (context.authentication.methods.length > 1) return callback(new Error('no')); {PASS}",
    )
    token = wire.mfa_token()
    for _ in range(9):
        refused(wire.otp(token, code_of(cast.alice_totp)), 403, "access_denied", "no")
    take_away(wire.server, rule)
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))


def test_scopes_are_replaced_in_the_access_token_only(wire: Wire, cast: Cast) -> None:
    put(wire.server, f"context.accessToken.scope = ['write:things', 'custom', 'offline_access']; {PASS}")
    answer = wire.ok(wire.password("bob@example.com", audience=API, scope="openid read:things"))
    assert claims(answer["access_token"])["scope"] == "write:things custom"
    assert answer["scope"] == "write:things custom"
    assert "id_token" in answer and "refresh_token" not in answer


def test_no_rule_gives_a_scope_that_roles_must_give(wire: Wire, cast: Cast) -> None:
    making.make_api(wire.server, "https://strict.example.com", enforces_policies=True)
    put(wire.server, f"context.accessToken.scope = ['openid', 'read:things', 'other']; {PASS}")
    members = {"audience": "https://strict.example.com", "scope": "openid read:things"}
    answer = wire.ok(wire.password("bob@example.com", **members))
    assert claims(answer["access_token"])["scope"] == "openid"


def test_metadata_are_merged_with_the_first_level(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        users.update_user(
            conn, cast.bob.id, user_metadata={"a": 1, "b": {"c": 2}}, app_metadata={"keep": True}
        )
    put(
        wire.server,
        """auth0.users.updateUserMetadata(user.user_id, {a: null, b: {d: 3}}).then(function () {
             auth0.users.updateAppMetadata(user.user_id, {x: [1]}, function (err) { callback(err, user, context); });
           }).catch(callback);""",
    )
    wire.ok(wire.password("bob@example.com"))
    bob = making.reload_user(wire.server, cast.bob)
    assert bob.user_metadata == {"b": {"d": 3}}
    assert bob.app_metadata == {"keep": True, "x": [1]}
    told: Any = wire.events()[-1].details["rules"]
    assert told["changes"] == ["user_metadata.a", "user_metadata.b", "app_metadata.x"]


def test_metadata_that_cannot_be_written_refuse_the_login(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, PASS)
    for call in (
        "updateAppMetadata('auth0|somebody', {a: 1})",
        "updateAppMetadata(user.user_id, {blocked: false})",
        "updateUserMetadata(user.user_id, {a: 'x'.repeat(20000)})",
        "updateUserMetadata(user.user_id, {a: 'nul\\u0000'})",
        "updateUserMetadata(user.user_id, {a: '\\ud800'})",
        "updateUserMetadata(user.user_id, [1])",
    ):
        change(wire.server, rule, f"auth0.users.{call}.then(() => callback(null, user, context));")
        refused(wire.password("bob@example.com"), 403, "access_denied", ruling.CANNOT_RUN)
    bob = making.reload_user(wire.server, cast.bob)
    assert (bob.user_metadata, bob.app_metadata) == ({}, {})


def test_rules_run_at_refresh_and_know_it(wire: Wire, cast: Cast) -> None:
    first = wire.ok(wire.password("bob@example.com", **FULL))
    put(
        wire.server,
        f"""
        if (context.protocol !== 'oauth2-refresh-token') return callback(new Error('no'));
        context.accessToken['{NAME}protocol'] = context.protocol;
        auth0.users.updateAppMetadata(user.user_id, {{refreshed: context.stats.loginsCount}})
          .then(() => callback(null, user, context));""",
    )
    second = wire.ok(wire.refresh(first["refresh_token"]))
    assert claims(second["access_token"])[NAME + "protocol"] == "oauth2-refresh-token"
    assert making.reload_user(wire.server, cast.bob).app_metadata == {"refreshed": 1}


def test_a_rule_refuses_a_refresh_and_the_token_stays(wire: Wire, cast: Cast) -> None:
    first = wire.ok(wire.password("bob@example.com", **FULL))
    rule = put(wire.server, "callback(new UnauthorizedError('Not now'));")
    refused(wire.refresh(first["refresh_token"]), 401, "unauthorized", "Not now")
    assert wire.events()[-1].type == "fertft"
    take_away(wire.server, rule)
    wire.ok(wire.refresh(first["refresh_token"]))


def test_a_rule_demands_a_factor_at_refresh_of_a_login_without_one(wire: Wire, cast: Cast) -> None:
    first = wire.ok(wire.password("bob@example.com", **FULL))
    put(wire.server, f"context.multifactor = {{provider: 'any'}}; {PASS}")
    refused(wire.refresh(first["refresh_token"]), 403, "mfa_required")


def test_the_scope_of_a_refresh_is_not_what_a_rule_once_left(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, f"context.accessToken.scope = ['read:things']; {PASS}")
    first = wire.ok(wire.password("bob@example.com", **FULL))
    take_away(wire.server, rule)
    second = wire.ok(wire.refresh(first["refresh_token"]))
    assert claims(second["access_token"])["scope"].split() == FULL["scope"].split()


def test_a_changed_rule_holds_for_the_next_login(wire: Wire, cast: Cast) -> None:
    rule = put(wire.server, f"context.idToken['{NAME}v'] = configuration.V || 'none'; {PASS}")
    answer = wire.ok(wire.password("bob@example.com", **FULL))
    assert claims(answer["id_token"])[NAME + "v"] == "none"
    put_config(wire.server, "V", "one")
    answer = wire.ok(wire.password("bob@example.com", **FULL))
    assert claims(answer["id_token"])[NAME + "v"] == "one"
    change(wire.server, rule, "callback('closed');")
    refused(wire.password("bob@example.com", **FULL), 403, "access_denied", "closed")


def test_a_configuration_that_does_not_open_refuses_the_login(wire: Wire, cast: Cast) -> None:
    put(wire.server, PASS)
    with wire.server.db.write() as conn:
        rules.put_config(conn, SealedConfig("KEY", wire.server.keyring.seal(b"v", "rules_configs/OTHER")))
    refused(wire.password("bob@example.com"), 503, "temporarily_unavailable")
    assert wire.events()[-1].reason == "secret_unreadable"


def test_without_rules_no_process_is_started(wire: Wire, cast: Cast) -> None:
    put(wire.server, PASS, is_enabled=False)
    wire.ok(wire.password("bob@example.com"))
    assert "rules" not in wire.server.running
