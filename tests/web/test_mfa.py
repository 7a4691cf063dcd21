"""The refusals of `/mfa/challenge`, `/mfa/associate` and `/mfa/authenticators`."""

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.store import clients
from tests.making import CAROLS_PASSWORD, MALLORY_SECRET, Cast
from tests.wire import APP, Wire, code_of, refused

BAD_BEARER = (401, "invalid_grant", "The mfa_token provided is invalid. Try getting a new token.")
NOT_ENROLLED = "User is not enrolled. You can use /mfa/associate endpoint to enroll the first authenticator."


def challenge(wire: Wire, token: str, **members: str):  # type: ignore[no-untyped-def]
    return wire.post("/mfa/challenge", **(APP | {"mfa_token": token} | members))


def carols(wire: Wire) -> str:
    return wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")


@pytest.mark.parametrize("types", ["otp", "otp oob", "", "oob otp unknown"])
def test_otp_is_offered_wherever_it_is_asked_for(wire: Wire, cast: Cast, types: str) -> None:
    assert wire.ok(challenge(wire, wire.mfa_token(), challenge_type=types)) == {"challenge_type": "otp"}


def test_a_type_that_the_person_lacks_is_told(wire: Wire, cast: Cast) -> None:
    answer = challenge(wire, wire.mfa_token(), challenge_type="oob")
    text = "The user does not support the requested challenge type (oob). Supported type: otp."
    refused(answer, 401, "unsupported_challenge_type", text)


def test_a_person_without_a_factor_is_sent_to_enrol(wire: Wire, cast: Cast) -> None:
    refused(challenge(wire, carols(wire)), 401, "unsupported_challenge_type", NOT_ENROLLED)
    refused(wire.otp(carols(wire), "123456"), 401, "unsupported_challenge_type", NOT_ENROLLED)
    answer = wire.recovery(carols(wire), "A" * 24)
    refused(answer, 403, "unsupported_challenge_type", "User does not have a recovery-code.")


def test_an_authenticator_can_be_named_if_it_is_the_own(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token()
    own = wire.ok_list(wire.get("/mfa/authenticators", token))[0]["id"]
    assert wire.ok(challenge(wire, token, authenticator_id=own)) == {"challenge_type": "otp"}
    refused(challenge(wire, token, authenticator_id="totp|dev_somebodyelses"), 403, "invalid_grant")


def test_the_token_must_be_there_known_fresh_and_the_client_s(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token = wire.mfa_token()
    refused(challenge(wire, ""), 400, "invalid_request", "Missing required parameter: mfa_token")
    refused(challenge(wire, "unknown"), 403, "invalid_grant", "Malformed mfa_token")
    mallory = {"client_id": "mallory", "client_secret": MALLORY_SECRET}
    text = "mfa_token not issued to this client"
    refused(challenge(wire, token, **mallory), 400, "invalid_request", text)
    clock.tick(600)
    refused(challenge(wire, token), 403, "expired_token", "mfa_token is expired")
    refused(wire.otp(token, code_of(cast.alice_totp)), 403, "expired_token", "mfa_token is expired")
    refused(wire.get("/mfa/authenticators", token), *BAD_BEARER)


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c"])
def test_a_bad_bearer_is_refused_alike_everywhere(wire: Wire, cast: Cast, token: str | None) -> None:
    refused(wire.get("/mfa/authenticators", token), *BAD_BEARER)
    refused(wire.associate(token or ""), *BAD_BEARER)
    refused(wire.delete("totp|dev_x", token or ""), *BAD_BEARER)


def test_types_that_cannot_be_enrolled_are_told(wire: Wire, cast: Cast) -> None:
    token = carols(wire)
    refused(wire.associate(token, "oob"), 400, "invalid_request", "authenticator_types not available: oob")
    refused(wire.associate(token, "recovery-code"), 400, "invalid_request")
    answer = wire.client.post("/mfa/associate", json={}, headers={"Authorization": f"Bearer {token}"})
    refused(answer, 400, "invalid_request", "Missing required parameter: authenticator_types")


def test_a_named_client_must_be_the_token_s(wire: Wire, cast: Cast) -> None:
    header = {"Authorization": f"Bearer {carols(wire)}"}
    types = {"authenticator_types": ["otp"]}
    wrong = wire.post_json("/mfa/associate", headers=header, client_id="mallory", **types)
    refused(wrong, 400, "invalid_request", "mfa_token not issued to this client")
    bad = wire.post_json("/mfa/associate", headers=header, client_id="app", client_secret="no", **types)
    refused(bad, 401, "access_denied", "Unauthorized")
    wire.ok(wire.post_json("/mfa/associate", headers=header, **APP, **types))


def test_enrolling_twice_shows_the_recovery_code_once(wire: Wire, cast: Cast) -> None:
    token = carols(wire)
    first, second = wire.ok(wire.associate(token)), wire.ok(wire.associate(token))
    assert "recovery_codes" in first and "recovery_codes" not in second
    later = wire.ok(wire.associate(carols(wire)))
    assert "recovery_codes" in later, "the first was never confirmed; this login is shown a new one"
    refused(wire.otp(token, code_of(later["secret"])), 403, "invalid_grant", "Invalid otp_code.")


def test_what_another_login_enrolled_is_not_confirmed_here(wire: Wire, cast: Cast) -> None:
    mine, other = carols(wire), carols(wire)
    enrolled = wire.ok(wire.associate(other))
    refused(wire.otp(mine, code_of(enrolled["secret"])), 401, "unsupported_challenge_type", NOT_ENROLLED)


def test_the_recovery_code_goes_with_the_last_factor(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token = wire.mfa_token(audience="http://127.0.0.1:8000/mfa/")
    access = wire.ok(wire.otp(token, code_of(cast.alice_totp)))["access_token"]
    [totp] = [a["id"] for a in wire.ok_list(wire.get("/mfa/authenticators", access)) if a["type"] == "otp"]
    assert wire.delete(totp, access).status_code == 204
    assert wire.ok_list(wire.get("/mfa/authenticators", access)) == []


def test_a_lost_recovery_code_is_replaced_after_another_factor(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(audience="http://127.0.0.1:8000/mfa/")
    access = wire.ok(wire.otp(token, code_of(cast.alice_totp)))["access_token"]
    new = wire.ok(wire.associate(access, "recovery-code"))["recovery_codes"][0]
    text = "MFA Authorization rejected."
    refused(wire.recovery(wire.mfa_token(), cast.alice_recovery), 403, "invalid_grant", text)
    wire.ok(wire.recovery(wire.mfa_token(), new))


def test_a_disabled_client_ends_its_open_logins(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token()
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", is_enabled=False)
    refused(wire.get("/mfa/authenticators", token), *BAD_BEARER)
    refused(wire.otp(token, code_of(cast.alice_totp)), 401, "access_denied", "Unauthorized")
