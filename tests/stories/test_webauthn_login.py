"""A login whose second factor is a security key or what is built into the device, and what else its answers may be."""

import json
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory
from webauthn.helpers import bytes_to_base64url

from app import accounts
from app.context import Context
from app.errors import UnsupportedChallengeType
from app.factors import FACTORS
from app.factors.factor import Answer, Challenging, Demands, Enrolling
from app.store import authenticators, clients
from app.store.authenticators import Authenticator
from tests import making
from tests.making import CAROLS_PASSWORD, Cast
from tests.phone import TRANSACTION
from tests.security_key import BE, BS, UP, UV, Json, SecurityKey
from tests.wire import APP, MFA_WEBAUTHN, Wire, bearer, code_of, refused

GUEST = {"realm": "guests", "password": CAROLS_PASSWORD}
BOB = "bob@example.com"
INVALID = (403, "invalid_grant", "Invalid authn_response.")


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "webauthn-roaming", "webauthn-platform")


def enrol(wire: Wire, token: str, types: str = "webauthn-roaming", **members: object) -> Json:
    body = {"authenticator_types": [types]} | members
    return wire.ok(wire.client.post("/mfa/associate", json=body, headers=bearer(token)))


def asked(wire: Wire, token: str, **members: str) -> Json:
    return wire.ok(wire.challenge(token, **({"challenge_type": "webauthn"} | members)))


def used(wire: Wire, key: SecurityKey, username: str = BOB, **members: str) -> Any:
    """A login with the password and that key."""
    token = wire.mfa_token(username, scope="openid")
    return wire.webauthn(token, key.get(asked(wire, token)["authn_params_public_key"]), **members)


def row_of(wire: Wire, key: SecurityKey) -> Authenticator:
    with wire.server.db.read() as conn:
        found = authenticators.find_by_credential(conn, bytes_to_base64url(key.id))
    assert found is not None
    return found


def claims_of(token: str) -> Json:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def put(wire: Wire, name: str, content: Json) -> None:
    with wire.server.db.write() as conn:
        accounts.put_document(conn, Context(wire.server, making.now(), ip=""), name, content)


@pytest.mark.parametrize(
    ("types", "attachment", "verification"),
    [("webauthn-roaming", "cross-platform", "preferred"), ("webauthn-platform", "platform", "required")],
)
def test_a_key_is_enrolled_in_the_first_login(
    wire: Wire, cast: Cast, types: str, attachment: str, verification: str
) -> None:
    refusal = wire.password(**GUEST)
    assert refusal.json is not None
    assert {"type": types} in refusal.json["mfa_requirements"]["enroll"]
    token = refusal.json["mfa_token"]
    shown = enrol(wire, token, types, name="The blue one")
    options = shown["authn_params_public_key"]
    assert shown == {
        "authenticator_type": types,
        "id": shown["id"],
        "authn_params_public_key": options,
        "auth_session": shown["auth_session"],
        "recovery_codes": shown["recovery_codes"],
    }
    assert shown["id"].startswith(f"{types}|dev_")
    assert options["rp"] == {"id": "127.0.0.1", "name": "Belay"}
    assert options["user"]["name"] == "alice@example.com" and cast.carol.id not in str(options["user"])
    assert options["authenticatorSelection"]["authenticatorAttachment"] == attachment
    assert options["authenticatorSelection"]["userVerification"] == verification
    assert [p["alg"] for p in options["pubKeyCredParams"]] == [-8, -7, -257]
    key = SecurityKey(attachment=attachment)
    tokens = wire.webauthn(token, key.create(options), auth_session=shown["auth_session"])
    assert "access_token" in wire.ok(tokens)
    event = wire.events()[-1]
    assert (event.type, event.factor, event.details["enrolled"]) == ("sewebauthnft", types, shown["id"])
    again = wire.mfa_token(**GUEST)
    (listed,) = [a for a in wire.ok_list(wire.get("/mfa/authenticators", again)) if a["id"] == shown["id"]]
    assert listed == {
        "id": shown["id"],
        "authenticator_type": types,
        "active": True,
        "name": "The blue one",
        "type": types,
    }
    wire.ok(wire.webauthn(again, key.get(asked(wire, again)["authn_params_public_key"])))


def test_webauthn_means_a_key_that_is_carried(wire: Wire, cast: Cast) -> None:
    assert enrol(wire, wire.mfa_token(**GUEST), "webauthn")["authenticator_type"] == "webauthn-roaming"


def test_an_enrolment_is_confirmed_once_and_only_in_its_login(wire: Wire, cast: Cast) -> None:
    token, other = wire.mfa_token(**GUEST), wire.mfa_token(**GUEST)
    response = SecurityKey().create(enrol(wire, token)["authn_params_public_key"])
    text = "The authn_response doesn't match the mfa_token"
    refused(wire.webauthn(other, response), 403, "invalid_grant", text)
    wire.ok(wire.webauthn(token, response))
    refused(wire.webauthn(token, response), 403, "invalid_grant", "Malformed mfa_token")
    refused(
        wire.webauthn(wire.mfa_token(**GUEST), response), 403, "invalid_grant", "Malformed authn_response"
    )


def test_a_forgotten_challenge_to_register_can_be_had_again(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(**GUEST)
    shown = enrol(wire, token)
    again = wire.ok(wire.challenge(token, challenge_type="webauthn", authenticator_id=shown["id"]))
    assert again["authn_params_public_key"]["challenge"] != shown["authn_params_public_key"]["challenge"]
    wire.ok(wire.webauthn(token, SecurityKey().create(again["authn_params_public_key"])))


def test_the_key_completes_the_login_and_the_token_says_how(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.bob)
    token = wire.mfa_token(BOB, scope="openid")
    challenge = asked(wire, token)
    options = challenge["authn_params_public_key"]
    assert challenge == {
        "challenge_type": "webauthn",
        "authn_params_public_key": options,
        "public_key": options,
    }
    assert options == {
        "challenge": options["challenge"],
        "timeout": 60000,
        "rpId": "127.0.0.1",
        "allowCredentials": [{"id": bytes_to_base64url(key.id), "transports": ["usb"], "type": "public-key"}],
        "userVerification": "preferred",
    }
    tokens = wire.ok(wire.webauthn(token, key.get(options)))
    claims = claims_of(tokens["id_token"])
    assert claims["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert str(claims["acr"]).endswith("multi-factor")
    assert row_of(wire, key).counter == 1, "the count is kept"


@pytest.mark.parametrize(
    ("flags", "amr"),
    [
        (UP, ["pwd", "hwk", "mfa"]),
        (UP | UV | BE | BS, ["pwd", "swk", "user", "mfa"]),
    ],
)
def test_a_synced_key_is_one_in_software(wire: Wire, cast: Cast, flags: int, amr: list[str]) -> None:
    key = making.enroll_security_key(wire.server, cast.bob, flags=flags, counter=0)
    for _ in range(2):  # its counter stays 0
        assert claims_of(wire.ok(used(wire, key))["id_token"])["amr"] == amr
    assert row_of(wire, key).counter == 0


def test_whether_a_key_is_backed_up_may_change_and_is_kept(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.bob, flags=UP | UV | BE)
    key.flags |= BS
    wire.ok(used(wire, key))
    assert row_of(wire, key).details["is_backed_up"] is True


def test_one_challenge_is_answered_by_any_key_of_both_kinds(wire: Wire, cast: Cast) -> None:
    keys = [
        making.enroll_security_key(wire.server, cast.bob, attachment=a)
        for a in ("platform", "cross-platform")
    ]
    keys.append(making.enroll_security_key(wire.server, cast.bob))
    for key in keys:
        token = wire.mfa_token(BOB)
        options = asked(wire, token)["authn_params_public_key"]
        assert {c["id"] for c in options["allowCredentials"]} == {bytes_to_base64url(k.id) for k in keys}
        wire.ok(wire.webauthn(token, key.get(options)))
        assert wire.events()[-1].factor == row_of(wire, key).kind


def test_each_kind_is_held_to_its_own_demand(wire: Wire, cast: Cast) -> None:
    carried = making.enroll_security_key(wire.server, cast.bob, flags=UP)
    built_in = making.enroll_security_key(wire.server, cast.bob, attachment="platform", flags=UP)
    wire.ok(used(wire, carried))
    refused(used(wire, built_in), *INVALID)
    assert wire.events()[-1].reason == "bad_assertion"


def test_an_answer_counts_once_and_its_challenge_for_five_minutes(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    key = making.enroll_security_key(wire.server, cast.bob)
    token, other = wire.mfa_token(BOB), wire.mfa_token(BOB)
    late = asked(wire, other)["authn_params_public_key"]
    answer = key.get(asked(wire, token)["authn_params_public_key"])
    wire.ok(wire.webauthn(token, answer))
    refused(wire.webauthn(token, answer), 403, "invalid_grant", "Malformed mfa_token")
    refused(wire.webauthn(other, answer), 403, "invalid_grant", "Malformed authn_response")
    clock.tick(300)
    refused(wire.webauthn(other, key.get(late)), 403, "expired_token", "authn_response is expired")


def test_a_wrong_answer_burns_nothing_and_locks_nobody_out(wire: Wire, cast: Cast) -> None:
    """Nobody guesses a signature: a thief of the password must not be able to lock the key's owner out with them."""
    key = making.enroll_security_key(wire.server, cast.bob)
    token = wire.mfa_token(BOB)
    options = asked(wire, token)["authn_params_public_key"]
    for _ in range(60):
        refused(wire.webauthn(token, key.get(options, signature=lambda raw: raw[::-1])), *INVALID)
    wire.ok(wire.webauthn(token, key.get(options)))


def test_the_person_may_change_to_another_factor_and_back(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.alice)
    token = wire.mfa_token()
    assert asked(wire, token, challenge_type="otp")["challenge_type"] == "otp"
    options = asked(wire, token, challenge_type="otp webauthn")["authn_params_public_key"]
    other = wire.mfa_token()
    wire.ok(wire.otp(other, code_of(cast.alice_totp)))
    wire.ok(wire.webauthn(token, key.get(options)))
    refused(wire.challenge(wire.mfa_token(), challenge_type="oob"), 401, "unsupported_challenge_type")


def test_a_client_that_names_no_type_is_not_asked_for_keys(wire: Wire, cast: Cast) -> None:
    """Older SDKs know two types; what they cannot answer is not put to them."""
    making.enroll_security_key(wire.server, cast.bob)
    answer = wire.post_json("/mfa/challenge", **APP, mfa_token=wire.mfa_token(BOB))
    text = "The user does not support the requested challenge type (otp oob). Supported type: webauthn."
    refused(answer, 401, "unsupported_challenge_type", text)


def test_okta_s_flat_members_are_taken_in_both_ceremonies(wire: Wire, cast: Cast) -> None:
    """Form-encoded, in plain base64, and without the credential's name: each of the person's keys is tried."""

    def plain(text: str) -> str:
        return text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)

    keys = [SecurityKey(), SecurityKey()]
    token = wire.mfa_token(**GUEST)
    made = keys[0].create(enrol(wire, token)["authn_params_public_key"])["response"]
    sent = APP | {"grant_type": MFA_WEBAUTHN, "mfa_token": token}
    flat = {"clientData": plain(made["clientDataJSON"]), "attestation": plain(made["attestationObject"])}
    wire.ok(wire.post("/oauth/token", **(sent | flat)))
    making.enroll_security_key(wire.server, cast.carol)
    token = wire.mfa_token(**GUEST)
    said = keys[0].get(asked(wire, token)["public_key"])["response"]
    flat = {
        "clientData": plain(said["clientDataJSON"]),
        "authenticatorData": plain(said["authenticatorData"]),
        "signature": plain(said["signature"]),
    }
    wire.ok(wire.post("/oauth/token", **(sent | flat | {"mfa_token": token})))


ANDROID = "android:apk-key-hash:7d1043473d55bfa90e8530d35801d4e381bc69f0"


def test_the_application_s_own_origins_are_allowed_and_no_others(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.bob)
    settings = {
        "web_origins": ["https://app.example.com", ANDROID],
        "allowed_origins": ["https://reads.example.com"],
    }
    origins = settings["web_origins"] + settings["allowed_origins"]
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", settings=settings)
        clients.set_origins(conn, "app", origins)
        clients.set_origins(conn, "mallory", ["https://mallory.example.com"])
    for key.origin in ("https://app.example.com", ANDROID, "http://127.0.0.1:8000"):
        wire.ok(used(wire, key))
    for key.origin in (
        "https://reads.example.com",
        "https://mallory.example.com",
        "https://app.example.com:444",
    ):
        refused(used(wire, key), *INVALID)
        event = wire.events()[-1]
        assert (event.reason, event.details["origin"]) == ("origin_not_allowed", key.origin)


def test_an_origin_that_the_command_line_listed_is_allowed(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.bob, origin="https://till.example.com")
    with wire.server.db.write() as conn:
        clients.set_origins(conn, "app", ["https://till.example.com"])
    wire.ok(used(wire, key))


def test_related_origins_are_published(wire: Wire, cast: Cast) -> None:
    """Browsers ask the relying party which other sites may use its keys (WebAuthn 5.11)."""
    with wire.server.db.write() as conn:
        clients.set_origins(conn, "app", ["https://b.example.com", ANDROID, "http://localhost:3000"])
        clients.set_origins(conn, "mallory", ["https://a.example.com", "https://b.example.com"])
    found = wire.ok(wire.get("/.well-known/webauthn"))
    assert found == {"origins": ["https://a.example.com", "https://b.example.com"]}


def test_the_tenant_names_the_relying_party_and_demands_verification(wire: Wire, cast: Cast) -> None:
    old = making.enroll_security_key(wire.server, cast.carol)
    put(
        wire,
        "guardian/factors/webauthn-roaming/settings",
        {
            "userVerification": "required",
            "overrideRelyingParty": True,
            "relyingPartyIdentifier": "example.com",
        },
    )
    token = wire.mfa_token(**GUEST, audience="http://127.0.0.1:8000/mfa/", scope="enroll")
    options = asked(wire, token)["authn_params_public_key"]
    assert (options["rpId"], options["userVerification"]) == ("127.0.0.1", "required"), (
        "of the key's own making"
    )
    access = wire.ok(wire.webauthn(token, old.get(options)))["access_token"]
    shown = enrol(wire, access)["authn_params_public_key"]
    assert shown["rp"]["id"] == "example.com" and shown["excludeCredentials"] == []
    lazy, new = SecurityKey(flags=UP), SecurityKey()
    refused(wire.webauthn(access, lazy.create(shown)), *INVALID)
    wire.ok(wire.webauthn(access, new.create(shown)))
    token = wire.mfa_token(**GUEST)
    asked_of = asked(wire, token)["authn_params_public_key"]
    assert asked_of["rpId"] == "example.com" and len(asked_of["allowCredentials"]) == 1


def test_a_second_key_is_enrolled_beside_the_first_and_the_first_is_excluded(wire: Wire, cast: Cast) -> None:
    first = making.enroll_security_key(wire.server, cast.bob)
    mine = {
        "audience": "http://127.0.0.1:8000/mfa/",
        "scope": "enroll read:authenticators remove:authenticators",
    }
    token = wire.mfa_token(BOB, **mine)
    refused(wire.associate(token, "webauthn-roaming"), 403, "access_denied", "User is already enrolled.")
    options = asked(wire, token)["authn_params_public_key"]
    access = wire.ok(wire.webauthn(token, first.get(options)))["access_token"]
    shown = enrol(wire, access)
    assert "recovery_codes" in shown
    excluded = shown["authn_params_public_key"]["excludeCredentials"]
    assert [c["id"] for c in excluded] == [bytes_to_base64url(first.id)]
    second = SecurityKey()
    wire.ok(wire.webauthn(access, second.create(shown["authn_params_public_key"])))
    assert wire.delete(row_of(wire, first).id, access).status_code == 204
    wire.ok(used(wire, second))
    token = wire.mfa_token(BOB)
    refused(wire.webauthn(token, first.get(asked(wire, token)["authn_params_public_key"])), *INVALID)


def test_a_factor_that_is_off_is_not_enrolled_and_still_serves(wire: Wire, cast: Cast) -> None:
    key = making.enroll_security_key(wire.server, cast.bob)
    put(wire, "guardian/factors", {"otp": True})
    text = "authenticator_types not available: webauthn-roaming"
    refused(wire.associate(wire.mfa_token(**GUEST), "webauthn-roaming"), 400, "invalid_request", text)
    wire.ok(used(wire, key))


def test_a_realm_may_refuse_synced_keys_and_an_attachment(ctx: Context, cast: Cast) -> None:
    """Keys that it refuses are not asked; one that is registered all the same is not taken."""
    factor = FACTORS["webauthn-roaming"]
    assert factor.challenge is not None
    strict = Demands(user_verification="required", attachment="cross-platform", synced="refuse")
    synced = making.enroll_security_key(ctx.server, cast.bob, flags=UP | UV | BE)
    making.enroll_security_key(ctx.server, cast.bob, attachment="platform")
    with ctx.db.read() as conn:
        owned = tuple(authenticators.list_authenticators(conn, cast.bob.id))
        with pytest.raises(UnsupportedChallengeType):
            factor.challenge(ctx, conn, Challenging(cast.bob, owned, TRANSACTION, None, "Belay", strict))
        new = factor.enroll(ctx, Enrolling(cast.bob, TRANSACTION, "Belay")).authenticator
        begun = factor.challenge(ctx, conn, Challenging(cast.bob, (new,), TRANSACTION, None, "Belay", strict))
        platform = (
            FACTORS["webauthn-platform"].enroll(ctx, Enrolling(cast.bob, TRANSACTION, "Belay")).authenticator
        )
        with pytest.raises(UnsupportedChallengeType):
            factor.challenge(
                ctx, conn, Challenging(cast.bob, (platform,), TRANSACTION, None, "Belay", strict)
            )
    options: Any = begun.shown["authn_params_public_key"]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    response = json.dumps(SecurityKey(flags=synced.flags).create(options))
    assert factor.verify(ctx, new, Answer({"authn_response": response}, begun.challenge)) == "synced_key"
