"""Whole logins over HTTP: the sequences of the contract's section 11.2."""

import jwt
from freezegun.api import FrozenDateTimeFactory

from app.context import Server
from tests.making import API, Cast
from tests.wire import FULL, Wire, code_of, refused


def claims(token: str) -> dict[str, object]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_password_is_enough_where_nobody_is_enrolled(wire: Wire, cast: Cast) -> None:
    tokens = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    assert "." not in tokens["access_token"]  # no audience: opaque, for /userinfo
    assert tokens["expires_in"] == 86400 and tokens["token_type"] == "Bearer"
    assert tokens["refresh_token"].startswith("v1.")
    identity = claims(tokens["id_token"])
    assert identity["sub"] == cast.bob.id and identity["aud"] == "app"
    assert "nonce" not in identity and identity["amr"] == ["pwd"]
    assert wire.ok(wire.get("/userinfo", tokens["access_token"])) == {"sub": cast.bob.id}


def test_alice_proves_her_second_factor(wire: Wire, cast: Cast) -> None:
    mfa_token = wire.mfa_token(**FULL)
    challenge = wire.post(
        "/mfa/challenge", mfa_token=mfa_token, challenge_type="otp oob", **{"client_id": "app"}
    )
    refused(
        challenge, 401, "access_denied", "Unauthorized"
    )  # a confidential client proves itself here as well
    tokens = wire.ok(wire.otp(mfa_token, code_of(cast.alice_totp)))
    access = claims(tokens["access_token"])
    assert access["aud"] == [API, "http://127.0.0.1:8000/userinfo"]
    assert access["scope"] == "openid profile email offline_access read:things"
    assert access["azp"] == "app" and access["gty"] == "password"
    identity = claims(tokens["id_token"])
    assert identity["amr"] == ["pwd", "otp", "mfa"] and identity["email"] == "alice@example.com"
    assert "scope" not in tokens  # granted as asked


def test_first_login_enrols_and_confirms(wire: Wire, cast: Cast) -> None:
    mfa_token = wire.mfa_token(password="another one entirely", realm="guests", scope="openid")
    assert wire.ok_list(wire.get("/mfa/authenticators", mfa_token)) == []
    enrolled = wire.ok(wire.associate(mfa_token))
    assert len(enrolled["secret"]) == 32 and len(enrolled["recovery_codes"][0]) == 24
    listed = wire.ok_list(wire.get("/mfa/authenticators", mfa_token))
    assert [(a["type"], a["active"]) for a in listed] == [("otp", False), ("recovery-code", False)]
    tokens = wire.ok(wire.otp(mfa_token, code_of(enrolled["secret"])))
    assert claims(tokens["id_token"])["amr"] == ["pwd", "otp", "mfa"]
    again = wire.mfa_token(password="another one entirely", realm="guests")
    assert all(a["active"] for a in wire.ok_list(wire.get("/mfa/authenticators", again)))
    refused(wire.associate(again), 403, "access_denied", "User is already enrolled.")
    used = wire.ok(wire.recovery(again, enrolled["recovery_codes"][0]))
    assert used["recovery_code"] != enrolled["recovery_codes"][0]


def test_wrong_codes_do_not_burn_the_mfa_token_and_the_right_one_works_once(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    mfa_token = wire.mfa_token()
    for wrong in ("000000", "12345"):
        refused(wire.otp(mfa_token, wrong), 403, "invalid_grant", "Invalid otp_code.")
    code = code_of(cast.alice_totp)
    wire.ok(wire.otp(mfa_token, code))
    refused(wire.otp(mfa_token, code), 403, "invalid_grant", "Malformed mfa_token")
    refused(wire.otp(wire.mfa_token(), code), 403, "invalid_grant", "Invalid otp_code.")
    clock.tick(30)
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))


def test_the_previous_step_is_dead_once_a_later_one_was_used(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    earlier = code_of(cast.alice_totp)
    clock.tick(30)
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    refused(wire.otp(wire.mfa_token(), earlier), 403, "invalid_grant", "Invalid otp_code.")


def test_recovery_code_brings_the_next_one(wire: Wire, cast: Cast) -> None:
    spelled = "abcd efgh-ijkl mnop qrst uvwx"
    first = wire.ok(wire.recovery(wire.mfa_token(), spelled))["recovery_code"]
    refused(
        wire.recovery(wire.mfa_token(), cast.alice_recovery),
        403,
        "invalid_grant",
        "MFA Authorization rejected.",
    )
    assert len(first) == 24
    wire.ok(wire.recovery(wire.mfa_token(), first))


def test_own_factors_are_managed_with_a_token_for_them(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    mfa_audience = "http://127.0.0.1:8000/mfa/"
    scope = "enroll read:authenticators remove:authenticators"
    token = wire.mfa_token(audience=mfa_audience, scope=scope)
    tokens = wire.ok(wire.otp(token, code_of(cast.alice_totp)))
    access = tokens["access_token"]
    assert tokens["expires_in"] == 600 and claims(access)["scope"] == scope
    enrolled = wire.ok(wire.associate(access))
    assert "recovery_codes" not in enrolled  # she has one
    refused(
        wire.post(
            "/mfa/challenge", mfa_token=access, client_id="app", client_secret="app-secret-" + "a" * 40
        ),
        403,
        "invalid_grant",
        "Malformed mfa_token",
    )
    confirmed = wire.ok(wire.otp(access, code_of(enrolled["secret"])))
    assert confirmed["expires_in"] == 600
    listed = wire.ok_list(wire.get("/mfa/authenticators", access))
    assert sum(a["type"] == "otp" and a["active"] for a in listed) == 2
    assert wire.delete(enrolled["id"], access).status_code == 204
    assert wire.delete(enrolled["id"], access).status_code == 404


def test_the_same_address_in_two_realms_is_two_people(wire: Wire, server: Server, cast: Cast) -> None:
    refused(wire.password(realm="guests"), 403, "invalid_grant", "Wrong email or password.")
    refused(wire.password(password="another one entirely"), 403, "invalid_grant", "Wrong email or password.")
    carols = wire.mfa_token(password="another one entirely", realm="guests")
    refused(wire.otp(carols, code_of(cast.alice_totp)), 401, "unsupported_challenge_type")
    assert wire.ok_list(wire.get("/mfa/authenticators", carols)) == []


def test_a_client_cannot_opt_out(wire: Wire, cast: Cast) -> None:
    for extra in ({"mfa": "none"}, {"acr_values": ""}, {"realm": "guests", "mode": "never"}):
        words = {"password": "another one entirely"} if "realm" in extra else {}
        refused(wire.password(**(words | extra)), 403, "mfa_required")
