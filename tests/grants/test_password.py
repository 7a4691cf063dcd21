"""The password grants: realms, audiences, scopes, and the texts that SDKs compare with."""

import jwt
import pytest

from app import accounts
from app.context import Context, open_server
from app.store import clients, realms, tenant
from tests import making
from tests.making import API, PASSWORD, Cast
from tests.wire import PASSWORD_REALM, Wire, refused, told

WRONG = (403, "invalid_grant", "Wrong email or password.")


def bob(wire: Wire, **members: str):  # type: ignore[no-untyped-def]
    return wire.password("bob@example.com", **members)


def test_wrong_password_and_unknown_user_are_one_answer(wire: Wire, cast: Cast) -> None:
    answers = [bob(wire, password="wrong"), wire.password("nobody@example.com"), wire.password("a b\x01c")]
    for answer in answers:
        refused(answer, *WRONG)
    assert len({told(answer) for answer in answers}) == 1


@pytest.mark.parametrize(
    "name", ["alice@example.com", "ALICE@Example.COM", "alice", "+491701234567", " Alice "]
)
def test_any_identifier_in_any_spelling_is_the_same_person(wire: Wire, cast: Cast, name: str) -> None:
    wire.mfa_token(name)


def test_the_realm_grant_wants_a_realm_and_the_plain_one_takes_it(wire: Wire, cast: Cast) -> None:
    answer = wire.password(grant_type=PASSWORD_REALM)
    refused(answer, 400, "invalid_request", "Missing required parameter: realm")
    wire.mfa_token(grant_type=PASSWORD_REALM, realm="staff")
    wire.mfa_token(realm="staff")
    refused(wire.password(realm="nowhere"), 400, "invalid_request", "Unknown realm nowhere.")


def test_a_realm_that_is_not_for_the_client_or_disabled_lets_nobody_in(wire: Wire, cast: Cast) -> None:
    making.make_realm(wire.server, "private")
    text = "the connection was disabled"
    refused(wire.password(realm="private"), 400, "invalid_request", text)
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, is_enabled=False)
    refused(wire.password(), 400, "invalid_request", text)


def test_without_a_default_directory_the_plain_grant_says_so(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        tenant.update_tenant(conn, default_directory=None)
    text = "Authorization server not configured with default connection."
    refused(wire.password(), 400, "invalid_request", text)


def test_unknown_audience_is_refused_and_the_default_one_is_used(wire: Wire, cast: Cast) -> None:
    text = "Service not found: https://nowhere.example"
    refused(bob(wire, audience="https://nowhere.example"), 403, "access_denied", text)
    with wire.server.db.write() as conn:
        tenant.update_tenant(conn, default_audience=API)
    claims = jwt.decode(wire.ok(bob(wire))["access_token"], options={"verify_signature": False})
    assert claims["aud"] == [API, "http://127.0.0.1:8000/userinfo"]


SCOPES = [
    (None, "openid profile email address phone read:things write:things"),
    ("", "openid profile email address phone read:things write:things"),
    ("openid", "openid profile email address phone"),
    ("read:things", None),
    ("read:things read:things unknown", "read:things"),
    ("openid read:things offline_access", None),
    (["openid", "read:things"], None),
]


@pytest.mark.parametrize(("asked", "told"), SCOPES)
def test_scope_is_told_where_it_differs_from_what_was_asked(
    wire: Wire, cast: Cast, asked: str | list[str] | None, told: str | None
) -> None:
    members = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD, "audience": API}
    answer = wire.post_json("/oauth/token", client_id="phone-app", scope=asked, **members)
    assert wire.ok(answer).get("scope") == told


def test_a_scope_that_cannot_be_one_is_refused(wire: Wire, cast: Cast) -> None:
    text = "Scope must be an array or a string"
    refused(bob(wire, scope='with"quote'), 400, "invalid_scope", text)
    members = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD}
    for scope in (5, {"a": 1}, ["openid", 5], True):
        answer = wire.post_json("/oauth/token", client_id="phone-app", scope=scope, **members)
        refused(answer, 400, "invalid_scope", text)


def test_offline_access_needs_the_api_and_the_client_to_allow_it(wire: Wire, cast: Cast) -> None:
    making.make_api(wire.server, "https://strict.example", allow_offline_access=False)
    tokens = wire.ok(bob(wire, audience="https://strict.example", scope="openid offline_access"))
    assert "refresh_token" not in tokens and tokens["scope"] == "openid"
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", grant_types=["password"])
    assert "refresh_token" not in wire.ok(bob(wire, scope="openid offline_access"))


def test_a_blocked_person_hears_it_only_with_the_right_password(wire: Wire, cast: Cast, ctx: Context) -> None:
    with wire.server.db.write() as conn:
        accounts.set_blocked(conn, ctx, cast.bob, True)
    refused(bob(wire, password="wrong"), *WRONG)
    refused(bob(wire), 401, "unauthorized", "user is blocked")


def test_a_third_party_client_does_not_get_passwords(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", is_first_party=False)
    refused(bob(wire), 403, "unauthorized_client")


def test_a_hash_of_lower_cost_is_made_anew_at_login(wire: Wire, cast: Cast) -> None:
    before = making.reload_user(wire.server, cast.bob).password_hash
    costlier = wire.server.settings.model_copy(update={"hash_time": 2})
    richer = Wire(open_server(costlier))
    try:
        richer.ok(bob(richer))
        after = making.reload_user(wire.server, cast.bob).password_hash
        assert before != after and ",t=2," in str(after)
        richer.ok(bob(richer))
    finally:
        richer.server.db.dispose()


def test_rfc9068_tokens_say_what_they_are(wire: Wire, cast: Cast) -> None:
    making.make_api(wire.server, "https://strict.example", token_dialect="rfc9068_profile")
    token = wire.ok(bob(wire, audience="https://strict.example", scope="read:things"))["access_token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["client_id"] == "app" and claims["amr"] == ["pwd"] and "jti" in claims
    assert "azp" not in claims and "gty" not in claims


@pytest.mark.parametrize("alg", ["RS512", "PS256", "ES256"])
def test_an_api_may_want_another_algorithm(wire: Wire, cast: Cast, alg: str) -> None:
    before = {key["alg"] for key in wire.ok(wire.get("/.well-known/jwks.json"))["keys"]}
    assert before == {"RS256"}
    making.make_api(wire.server, "https://other.example", signing_alg=alg)
    token = wire.ok(bob(wire, audience="https://other.example", scope="openid read:things"))["access_token"]
    keys = jwt.PyJWKSet.from_dict(wire.ok(wire.get("/.well-known/jwks.json")))
    kid = jwt.get_unverified_header(token)["kid"]
    assert jwt.decode(token, keys[kid], algorithms=[alg], audience="https://other.example")
