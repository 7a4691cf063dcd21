"""A login, and an account, that a passkey opens; and what its answers are refused for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory

from app import accounts, rehearsal
from app.accounts import factors
from app.accounts.policies import terms_of
from app.context import Context
from app.store import events, passkeys, realms, users
from app.store.realms import Realm
from tests import making
from tests.making import Cast
from tests.security_key import UP, UV, Json, SecurityKey
from tests.wire import APP, Wire, code_of, refused

GRANT = "urn:okta:params:oauth:grant-type:webauthn"
INVALID = (403, "invalid_grant", "Invalid authn_response.")
NEW = {"email": "new@example.com", "name": "New"}


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast) -> None:
    allow(wire, cast.staff)
    allow(wire, cast.guests)


def allow(wire: Wire, realm: Realm, *, passkey: bool = True) -> None:
    with wire.server.db.write() as conn:
        options = realm.options | {"authentication_methods": {"passkey": {"enabled": passkey}}}
        realms.update_realm(conn, realm.id, options=options)


def ask(wire: Wire, path: str = "challenge", **members: Any) -> Json:
    asked = {"client_id": "app", "realm": "staff"} | members
    return wire.ok(wire.client.post(f"/passkey/{path}", json=asked))


def exchange(wire: Wire, asked: Json, response: Any, **members: Any) -> Any:
    body = APP | {"grant_type": GRANT, "auth_session": asked["auth_session"], "authn_response": response}
    return wire.client.post("/oauth/token", json=body | {"scope": "openid"} | members)


def register(wire: Wire, realm: str = "staff", **key: Any) -> tuple[SecurityKey, Any]:
    made = SecurityKey(**key)
    asked = ask(wire, "register", realm=realm, user_profile=NEW)
    return made, exchange(wire, asked, made.create(asked["authn_params_public_key"]))


def used(wire: Wire, key: SecurityKey, **how: Any) -> Any:
    asked = ask(wire)
    return exchange(wire, asked, key.get(asked["authn_params_public_key"], **how))


def claims_of(answer: Any) -> Json:
    return claims_of_token(answer.json["id_token"])


def claims_of_token(token: str) -> Json:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_passkey_makes_an_account_and_opens_it_again(wire: Wire, cast: Cast) -> None:
    asked = ask(wire, "register", user_profile=NEW)["authn_params_public_key"]
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert "allowCredentials" not in ask(wire)["authn_params_public_key"]
    key, answer = register(wire)
    first = claims_of(answer)
    again = claims_of(used(wire, key))
    assert first["sub"] == again["sub"]
    assert again["amr"] == ["hwk", "user"] and "acr" not in again
    types = [event.type for event in wire.events()]
    assert types[-3:] == ["ss", "s", "s"]


def test_nobody_is_told_by_a_registration_who_is_there(wire: Wire, cast: Cast) -> None:
    there = ask(wire, "register", user_profile={"email": "bob@example.com"})
    nobody = ask(wire, "register", user_profile={"email": "nob@example.com"})
    assert there.keys() == nobody.keys()
    assert there["authn_params_public_key"].keys() == nobody["authn_params_public_key"].keys()
    key = SecurityKey()
    refused(exchange(wire, there, key.create(there["authn_params_public_key"])), *INVALID)


@pytest.mark.parametrize("satisfies", [False, True])
def test_a_second_factor_is_owed_unless_the_policy_takes_the_passkey_for_both(
    wire: Wire, cast: Cast, satisfies: bool
) -> None:
    key, _ = register(wire)
    terms = {"mode": "always", "factors": {"passkey_satisfies": satisfies}}
    making.set_policy(wire.server, cast.staff, terms)
    answer = used(wire, key)
    if satisfies:
        assert wire.ok(answer)
        refused(used(wire, key, flags=UP), 403, "mfa_required")  # held, and by whomever
    else:
        refused(answer, 403, "mfa_required")
        assert answer.json["mfa_token"]


def test_a_second_factor_after_a_passkey_has_a_code_of_its_own_in_the_log(wire: Wire, cast: Cast) -> None:
    making.set_mode(wire.server, cast.staff, "when_enrolled")
    key, answer = register(wire)
    with wire.server.db.read() as conn:
        user = users.find_user(conn, claims_of(answer)["sub"])
    assert user is not None
    secret, code = making.enroll_totp(wire.server, user), making.give_recovery_code(wire.server, user)
    device = making.enroll_phone(wire.server, user)

    def owed() -> str:
        answer = used(wire, key)
        refused(answer, 403, "mfa_required")
        assert answer.json is not None
        return str(answer.json["mfa_token"])

    refused(wire.otp(owed(), "000000"), 403, "invalid_grant")
    tokens = wire.ok(wire.otp(owed(), code_of(secret)))
    assert claims_of_token(tokens["id_token"])["amr"] == ["hwk", "user", "otp", "mfa"]
    wire.ok(wire.recovery(owed(), code))
    token = owed()
    asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=device))
    wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
    told = [event for event in wire.events() if event.type not in ("ss", "s", "gd_start_auth")]
    ways = ["feotpft", "sepkotpft", "sepkrcft", "sepkoobft"]
    assert [event.type for event in told] == [type for way in ways for type in ("mfar", way)]
    firsts = {event.details.get("first_factor") for event in told if event.type != "feotpft"}
    assert firsts == {"verified_passkey"}
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    assert wire.events()[-1].type == "seotpft", "a password's login is told as ever"


def test_a_login_by_passkey_counts_as_one_and_is_rehearsed_as_one(
    wire: Wire, cast: Cast, ctx: Context
) -> None:
    key, answer = register(wire)
    wire.ok(used(wire, key))
    user_id = claims_of(answer)["sub"]
    with wire.server.db.read() as conn:
        assert [event.type for event in events.list_logins_of(conn, user_id, 9)] == ["s", "s"]
        assert events.count_active_users(conn, ctx.now - timedelta(days=9999)) == 1
        realm = realms.find_realm(conn, cast.staff.id)
    assert realm is not None
    ctx = replace(ctx, now=making.now())
    for satisfies, word in ((True, "allow"), (False, "enroll")):
        terms = terms_of({"mode": "always", "factors": {"passkey_satisfies": satisfies}})
        told = rehearsal.rehearse(ctx, realm, terms, 1)
        assert (told["logins"], told[word]) == (2, 2), told


CHANGED: dict[str, Json] = {
    "a page of somebody else": {"client": lambda c: c | {"origin": "https://evil.example"}},
    "another challenge": {"client": lambda c: c | {"challenge": "A" * 43}},
    "another ceremony": {"client": lambda c: c | {"type": "webauthn.create"}},
    "another relying party": {"rp_id": "evil.example"},
    "nobody at the key": {"flags": 0},
    "reserved flags": {"flags": UP | UV | 2},
    "a wrong signature": {"signature": lambda s: s[:-1] + bytes([s[-1] ^ 1])},
    "no owner": {"whole": lambda w: w | {"response": w["response"] | {"userHandle": None}}},
    "another owner": {"whole": lambda w: w | {"response": w["response"] | {"userHandle": "AAAA"}}},
    "an unknown key": {"whole": lambda w: w | {"id": "AAAA", "rawId": "AAAA"}},
    "no response": {"whole": lambda w: {}},
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_answer_is_refused_in_the_same_words(wire: Wire, cast: Cast, name: str) -> None:
    key, _ = register(wire)
    refused(used(wire, key, **CHANGED[name]), *INVALID)
    assert wire.events()[-1].type == "f"
    assert wire.ok(used(wire, key))


def test_events_tell_which_passkey_it_was_for_whom_and_where(wire: Wire, cast: Cast) -> None:
    key, _ = register(wire)
    wire.ok(used(wire, key))
    made, first, again = wire.events()[-3:]
    own = made.details["passkey"]
    assert isinstance(own, dict) and own["id"].startswith("passkey|dev_")
    assert own == {"id": own["id"], "rp_id": "127.0.0.1", "origin": "http://127.0.0.1:8000"}
    assert own == first.details["passkey"] == again.details["passkey"]
    wrong = {"origin": "https://evil.example/\u00e9\n" + "x" * 500}
    refused(used(wire, key, client=lambda c: c | wrong), *INVALID)
    event = wire.events()[-1]
    told = "https://evil.example/??" + "x" * 177
    assert event.reason == "origin_not_allowed" and event.details["passkey"] == own | {"origin": told}
    refused(used(wire, key, whole=lambda w: w | {"id": "A" * 3000, "rawId": "A" * 3000}), *INVALID)
    event = wire.events()[-1]
    expected = {"key_id": "A" * 200, "rp_id": "127.0.0.1", "origin": "http://127.0.0.1:8000"}
    assert event.reason == "unknown_passkey" and event.details["passkey"] == expected
    refused(used(wire, key, whole=lambda w: {}), *INVALID)
    event = wire.events()[-1]
    assert (event.reason, event.details["passkey"]) == ("malformed_response", {"rp_id": "127.0.0.1"})


def test_an_answer_counts_once_and_in_its_time_and_place(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    key, _ = register(wire)
    asked = ask(wire)
    response = key.get(asked["authn_params_public_key"])
    refused(exchange(wire, asked, response, realm="guests"), *INVALID)
    refused(exchange(wire, asked, response, client_id="phone-app", client_secret=None), *INVALID)
    wire.ok(exchange(wire, asked, response))
    refused(exchange(wire, asked, response), *INVALID)
    key.counter = 1
    refused(used(wire, key), *INVALID)  # the counter went back
    key.counter = 50
    guest = ask(wire, realm="guests")
    refused(exchange(wire, guest, key.get(guest["authn_params_public_key"])), *INVALID)
    late = ask(wire)
    clock.tick(301)
    refused(exchange(wire, late, key.get(late["authn_params_public_key"])), *INVALID)


def test_a_realm_takes_passkeys_only_where_that_is_switched_on(wire: Wire, cast: Cast) -> None:
    key, _ = register(wire)
    asked = ask(wire)
    allow(wire, cast.staff, passkey=False)
    text = "the connection was disabled"
    refused(exchange(wire, asked, key.get(asked["authn_params_public_key"])), 400, "invalid_request", text)
    for path in ("challenge", "register"):
        answer = wire.client.post(f"/passkey/{path}", json={"client_id": "app", "realm": "staff"})
        refused(answer, 400, "invalid_request", text)


def test_a_passkey_that_was_removed_or_whose_owner_is_blocked_opens_nothing(
    wire: Wire, cast: Cast, ctx: Context
) -> None:
    key, answer = register(wire)
    user_id = claims_of(answer)["sub"]
    with wire.server.db.write() as conn:
        user = users.find_user(conn, user_id)
        assert user is not None
        accounts.set_blocked(conn, ctx, user, True)
    refused(used(wire, key), 401, "unauthorized", "user is blocked")
    with wire.server.db.write() as conn:
        accounts.set_blocked(conn, ctx, user, False)
        (known,) = passkeys.list_passkeys(conn, user_id)
        factors.remove_passkey(conn, ctx, user, known)
    refused(used(wire, key), *INVALID)
