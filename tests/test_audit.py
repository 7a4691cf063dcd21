"""One event a decision, with Auth0's code, the private reason, and who was concerned."""

from app.store.events import Event
from tests.making import Cast
from tests.wire import FULL, PHONE_APP, Wire, code_of


def newest(wire: Wire, count: int) -> list[Event]:
    return list(wire.events())[-count:]


def test_every_decision_of_a_login_leaves_one_event(wire: Wire, cast: Cast) -> None:
    wire.password("bob@example.com", "wrong")
    wire.password("nobody@example.com", "wrong")
    token = wire.mfa_token(**FULL)
    wire.otp(token, "000000")
    refresh_token = wire.ok(wire.otp(token, code_of(cast.alice_totp)))["refresh_token"]
    wire.refresh(refresh_token)
    wire.refresh(refresh_token)
    wire.recovery(wire.mfa_token(), "WRONG")
    wire.token(grant_type="client_credentials", audience="x")
    wire.post("/oauth/token", grant_type="password", client_id="app", client_secret="no")
    wire.password("bob@example.com")
    found = [(event.type, event.reason) for event in wire.events()]
    assert found == [
        ("fp", "wrong_password"),
        ("fu", "unknown_user"),
        ("mfar", "factor_owed"),
        ("feotpft", "wrong_code"),
        ("seotpft", ""),
        ("sertft", ""),
        ("ferrt", "refresh_token_reused"),
        ("mfar", "factor_owed"),
        ("fercft", "wrong_code"),
        ("feccft", "unknown_audience"),
        ("fepft", "wrong_client_secret"),
        ("sepft", ""),
    ]


def test_an_event_names_realm_client_person_address_and_factor(wire: Wire, cast: Cast) -> None:
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    [event] = newest(wire, 1)
    assert (event.realm, event.client_id, event.user_id) == ("staff", "app", cast.alice.id)
    assert (event.ip, event.factor) == ("127.0.0.1", "totp")
    assert event.request_id and event.id


def test_a_malformed_request_decides_nothing(wire: Wire, cast: Cast) -> None:
    wire.token(grant_type="password")
    wire.token(grant_type="implicit")
    wire.client.post("/oauth/token", data="{", content_type="application/json")
    assert wire.events() == []


def test_the_name_that_was_typed_is_kept_where_nobody_has_it(wire: Wire, cast: Cast) -> None:
    wire.password("typo@example.com", "wrong", **PHONE_APP)
    [event] = newest(wire, 1)
    assert (event.user_name, event.user_id) == ("typo@example.com", None)
