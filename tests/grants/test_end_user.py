"""A back end that names its end user: the bare header exactly as Auth0 has it, and the signed one."""

import json
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app.grants.end_user import HEADER, REFUSED, request_hash
from app.store import clients
from tests.conftest import NOON
from tests.jose import add_client_key, private_key, token_of
from tests.making import APP_SECRET, PASSWORD, Cast
from tests.wire import PHONE_APP, Wire, refused

USER = "203.0.113.7"
PEER = "127.0.0.1"
BODY = json.dumps(
    {
        "grant_type": "password",
        "client_id": "app",
        "client_secret": APP_SECRET,
        "username": "bob@example.com",
        "password": PASSWORD,
    }
).encode()
NUMBER = iter(range(10**6))


def seen(wire: Wire) -> str:
    return wire.events()[-1].ip


def trust(wire: Wire) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", trusts_forwarded_ip=True)


# --- auth0-forwarded-for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (USER, USER),
        (f" {USER} ", USER),
        (f"::ffff:{USER}", USER),
        ("2001:DB8::0:7", "2001:db8::7"),
        ("", PEER),
        (f"{USER}, 6.6.6.6", PEER),
        (f"{USER}:80", PEER),
        ("fe80::1%1", PEER),
        ("unknown", PEER),
        ("0x7f.1", PEER),
    ],
)
def test_one_literal_address_from_a_trusted_confidential_client(
    wire: Wire, cast: Cast, value: str, address: str
) -> None:
    headers = {"auth0-forwarded-for": value}
    wire.ok(wire.password("bob@example.com", headers=headers))
    assert seen(wire) == PEER, "not without the setting"
    trust(wire)
    wire.ok(wire.password("bob@example.com", headers=headers))
    event = wire.events()[-1]
    assert event.ip == address
    assert event.details.get("client_ip") == (PEER if address != PEER else None)


def test_a_public_client_names_nobody(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "phone-app", trusts_forwarded_ip=True)
    members = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | PHONE_APP
    wire.ok(wire.post("/oauth/token", headers={"auth0-forwarded-for": USER}, **members))
    assert seen(wire) == PEER


# --- Belay-End-User ------------------------------------------------------------------------------------------------


@pytest.fixture
def keyed(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> Wire:
    add_client_key(wire.server, "app", "RS256", "known")
    return wire


def claims(wire: Wire, **changed: Any) -> dict[str, Any]:
    now = int(NOON.timestamp())
    made = {
        "iss": "app",
        "aud": wire.server.settings.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": f"number {next(NUMBER)}",
        "ip": USER,
        "ua": "Till/7",
        "did": "till-12",
        "rqh": request_hash(BODY),
    } | changed
    return {name: value for name, value in made.items() if value is not None}


def send(wire: Wire, token: str, body: bytes = BODY, headers: dict[str, str] | None = None) -> TestResponse:
    return wire.client.post(
        "/oauth/token",
        data=body,
        headers={HEADER: token, "Content-Type": "application/json"} | (headers or {}),
    )


def signed(made: dict[str, Any], key: str = "known", alg: str = "RS256") -> str:
    return token_of({"alg": alg}, made, private_key(key), alg)


def test_what_is_signed_is_believed_before_any_other_header(keyed: Wire) -> None:
    trust(keyed)
    keyed.ok(send(keyed, signed(claims(keyed)), headers={"auth0-forwarded-for": "198.51.100.1"}))
    event = keyed.events()[-1]
    assert (event.ip, event.user_agent) == (USER, "Till/7")
    assert event.details["device_id"] == "till-12" and event.details["client_ip"] == PEER
    keyed.ok(send(keyed, signed(claims(keyed, ua=None, did=None, ip="2001:DB8::1"))))
    assert seen(keyed) == "2001:db8::1"


def test_a_header_serves_one_request_and_one_body(keyed: Wire, clock: FrozenDateTimeFactory) -> None:
    token = signed(claims(keyed))
    keyed.ok(send(keyed, token))
    refused(send(keyed, token), 400, "invalid_request", REFUSED)
    assert keyed.events()[-1].reason == "end_user_replayed"
    token = signed(claims(keyed))
    refused(send(keyed, token, BODY + b" "), 400, "invalid_request", REFUSED)
    clock.tick(71)
    refused(send(keyed, token), 400, "invalid_request", REFUSED)


NOW = int(NOON.timestamp())
BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": "mallory"}, "issuer"),
    ({"iss": None}, "issuer"),
    ({"aud": "https://elsewhere.example.com/"}, "audience"),
    ({"aud": [1, {}]}, "audience"),
    ({"exp": NOW + 61}, "lifetime"),
    ({"exp": None}, "lifetime"),
    ({"iat": None}, "lifetime"),
    ({"iat": "now"}, "lifetime"),
    ({"iat": NOW - 100, "exp": NOW - 50}, "expired"),
    ({"iat": NOW + 20, "exp": NOW + 60}, "expired"),
    ({"jti": None}, "jti"),
    ({"jti": ""}, "jti"),
    ({"jti": "x" * 65}, "jti"),
    ({"rqh": None}, "other_request"),
    ({"rqh": request_hash(b"")}, "other_request"),
    ({"ip": None}, "claims"),
    ({"ip": ["203.0.113.7"]}, "claims"),
    ({"ip": "nowhere"}, "ip"),
    ({"ip": "203.0.113.7, 6.6.6.6"}, "ip"),
    ({"ua": "a\nb"}, "claims"),
    ({"did": 7}, "claims"),
]


def test_one_that_does_not_hold_is_refused_and_counts_nothing(keyed: Wire) -> None:
    made = [(signed(claims(keyed, **changed)), reason) for changed, reason in BAD_CLAIMS]
    made += [
        (signed(claims(keyed), key="foreign"), "signature"),
        (signed(claims(keyed))[:-4] + "AAAA", "signature"),
        (token_of({"alg": "none"}, claims(keyed), b"", "none"), "signature"),
        ("rubbish", "signature"),
        ("a" * 5000, "too_long"),
    ]
    for token, reason in made:
        refused(send(keyed, token), 400, "invalid_request", REFUSED)
        event = keyed.events()[-1]
        assert (event.type, event.reason, event.ip) == ("fepft", f"end_user_{reason}", PEER)
    assert [event.reason for event in keyed.events() if event.type == "fp"] == []


def test_a_client_without_a_key_signs_nothing(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    refused(send(wire, signed(claims(wire))), 400, "invalid_request", REFUSED)
    assert wire.events()[-1].reason == "end_user_no_key"


def test_an_end_users_header_is_no_client_assertion(keyed: Wire) -> None:
    answer = keyed.post(
        "/oauth/token",
        grant_type="client_credentials",
        client_assertion=signed(claims(keyed)),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert answer.status_code == 401
