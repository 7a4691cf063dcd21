"""Push messages through look-alikes of APNs (HTTP/2) and FCM, an ntfy server and a webhook, over real sockets."""

import base64
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate

from app import accounts, http_out
from app.channels import CHANNELS, apns, fcm
from app.channels.channel import DeliveryFailed, Message
from app.channels.push import PROVIDERS, SELECTED
from app.context import Context
from tests import device
from tests.apple import Apple, apple
from tests.conftest import NOON
from tests.gateways import Gateway, http_gateway

PUSH = CHANNELS["push"]
PAYLOAD: dict[str, object] = {
    "dai": "dev_1",
    "txtkn": "cha_1.x",
    "c": "nonce",
    "d": "2026-11-23T12:00:00.000Z",
    "sh": "login.example.com",
    "s": {"b": {"n": "Chrome", "v": "86.0"}, "os": {"n": "Mac OS X", "v": "10.15"}},
    "l": {"n": "192.0.2.1"},
}


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[trustme.CA]:
    found = trustme.CA()
    found.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    http_out.trusted_authorities.cache_clear()
    yield found
    http_out.trusted_authorities.cache_clear()


@pytest.fixture
def apples(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apple]:
    with apple(authority) as found:
        monkeypatch.setattr(apns, "SANDBOX", found.url)
        yield found
        while apns._lines:
            apns._lines.popitem()[1].end()


@pytest.fixture
def google(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with http_gateway() as found:
        found.server.socket = context.wrap_socket(found.server.socket, server_side=True)
        monkeypatch.setattr(fcm, "HOST", f"https://{host_of(found)}")
        yield found


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with http_gateway() as found:
        yield found


@pytest.fixture
def near(ctx: Context) -> Context:
    """Where the services stand on this machine."""
    return set_up(ctx, outgoing_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), push_url="")


def set_up(ctx: Context, **settings: object) -> Context:
    found = ctx.settings.model_copy(update=settings)
    return replace(ctx, server=replace(ctx.server, settings=found))


def host_of(gateway: Gateway) -> str:
    return gateway.host.replace("127.0.0.1", "localhost")


def write(ctx: Context, provider: str, content: dict[str, Any], **secrets: str) -> None:
    with ctx.db.write() as conn:
        accounts.put_document(conn, ctx, f"{PROVIDERS}/{provider}", content, secrets)
    ctx.facts.configuration = None


def message(destination: str) -> Message:
    return Message("msg_1", destination, "Do you log in at Caf\u00e9?", "Caf\u00e9", payload=PAYLOAD)


# --- APNs ---------------------------------------------------------------------------------------------------------


def p8() -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_apple_gets_it_over_http2_with_a_token_that_we_sign(near: Context, apples: Apple) -> None:
    key, text = p8()
    content = {"bundle_id": "com.example.guardian", "sandbox": True, "key_id": "KEY1", "team_id": "TEAM1"}
    write(near, "apns", content, p8=text)
    with near.db.read() as conn:
        assert PUSH.is_ready(near, conn)
    for _ in range(2):
        PUSH.deliver(near, message("APNS:" + "ab" * 32))
    received, again = apples.received
    assert received.path == "/3/device/" + "ab" * 32 and received.headers[":method"] == "POST"
    assert received.headers["apns-topic"] == "com.example.guardian"
    assert received.headers["apns-push-type"] == "alert" and received.headers["apns-priority"] == "10"
    assert received.headers["apns-expiration"] == str(int(NOON.timestamp()) + 300)
    assert received.json["aps"]["alert"] == {"title": "Caf\u00e9", "body": "Do you log in at Caf\u00e9?"}
    assert received.json["mfa"] == PAYLOAD == device.read_apns(received.json)
    scheme, _, token = received.headers["authorization"].partition(" ")
    claims = jwt.decode(token, key.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert scheme == "bearer" and claims == {"iss": "TEAM1", "iat": int(NOON.timestamp())}
    assert jwt.get_unverified_header(token)["kid"] == "KEY1"
    assert again.headers["authorization"] == received.headers["authorization"], (
        "Apple refuses new ones too often"
    )


def test_apple_may_know_us_by_a_certificate(near: Context, apples: Apple, authority: trustme.CA) -> None:
    ours = authority.issue_cert("push@example.com", common_name="com.example.guardian")
    key = load_pem_private_key(ours.private_key_pem.bytes(), None)
    certificate = load_pem_x509_certificate(ours.cert_chain_pems[0].bytes())
    p12 = pkcs12.serialize_key_and_certificates(b"", key, certificate, None, NoEncryption())  # type: ignore[arg-type]
    write(near, "apns", {"sandbox": True}, p12=base64.b64encode(p12).decode())
    PUSH.deliver(near, message("APNS:" + "ab" * 32))
    assert apples.certificates == ["com.example.guardian"]
    assert "authorization" not in apples.received[0].headers


def failure_of(ctx: Context, destination: str) -> tuple[str, bool]:
    """What is said of a message that was not taken, and whether it is tried again."""
    with pytest.raises(DeliveryFailed) as failure:
        PUSH.deliver(ctx, message(destination))
    return str(failure.value), failure.value.may_repeat


def test_what_apple_refuses(near: Context, apples: Apple) -> None:
    write(near, "apns", {"sandbox": True, "key_id": "K", "team_id": "T"}, p8=p8()[1])
    for refusal, problem, may_repeat in (
        ((400, "BadDeviceToken"), "apns_BadDeviceToken", False),
        ((410, "Unregistered"), "apns_Unregistered", False),
        ((403, "no word: x"), "status_403", False),
        ((429, "TooManyRequests"), "status_429", True),
        ((503, "Shutdown"), "status_503", True),
    ):
        apples.refusals = [refusal]
        assert failure_of(near, "APNS:x") == (problem, may_repeat)


def written(ctx: Context, **secrets: str) -> None:
    write(ctx, "apns", {"sandbox": True, "key_id": "K", "team_id": "T"}, **(secrets or {"p8": p8()[1]}))


def test_messages_to_apple_share_a_connection_one_after_the_other_and_at_once(
    near: Context, apples: Apple
) -> None:
    written(near)
    for _ in range(3):
        PUSH.deliver(near, message("APNS:x"))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: PUSH.deliver(near, message(f"APNS:{number}")), range(12)))
    assert len(apples.received) == 15 and apples.connections == 1


@pytest.mark.parametrize("farewell", ["goaway", "end"])
def test_a_connection_that_apple_ends_is_opened_anew_and_nothing_is_lost(
    near: Context, apples: Apple, farewell: str
) -> None:
    written(near)
    for ended in (1, 2, 3):
        apples.farewell = farewell
        PUSH.deliver(near, message("APNS:x"))
        until = time.monotonic() + 10
        while apples.ended < ended:
            assert time.monotonic() < until
            time.sleep(0.01)
        PUSH.deliver(near, message("APNS:y"))
        assert apples.connections == ended + 1
    assert [r.path[-1] for r in apples.received] == ["x", "y"] * 3


def test_apps_of_two_owners_do_not_share_a_connection(
    near: Context, apples: Apple, authority: trustme.CA
) -> None:
    for owner in ("com.example.one", "com.example.two"):
        ours = authority.issue_cert("push@example.com", common_name=owner)
        key = load_pem_private_key(ours.private_key_pem.bytes(), None)
        certificate = load_pem_x509_certificate(ours.cert_chain_pems[0].bytes())
        p12 = pkcs12.serialize_key_and_certificates(b"", key, certificate, None, NoEncryption())  # type: ignore[arg-type]
        written(near, p12=base64.b64encode(p12).decode())
        for _ in range(2):
            PUSH.deliver(near, message("APNS:x"))
    assert apples.certificates == ["com.example.one", "com.example.two"] and apples.connections == 2


def test_a_token_that_is_too_old_for_apple_is_made_anew_and_the_message_sent_once_more(
    near: Context, apples: Apple
) -> None:
    written(near)
    PUSH.deliver(near, message("APNS:x"))
    later = replace(near, now=NOON + timedelta(minutes=30))
    apples.refusals = [(403, "ExpiredProviderToken")]
    PUSH.deliver(later, message("APNS:x"))
    first, refused, taken = [r.headers["authorization"] for r in apples.received]
    assert first == refused != taken and apples.connections == 1
    # Apple refuses whoever makes new ones all the time: a token that is new and still too old is a failure.
    apples.refusals = [(403, "ExpiredProviderToken")] * 2
    assert failure_of(later, "APNS:x") == ("apns_ExpiredProviderToken", False)
    assert len({r.headers["authorization"] for r in apples.received}) == 2


def test_credentials_that_are_none_say_so(near: Context, apples: Apple) -> None:
    for secrets in ({"p8": "nonsense"}, {"p12": "nonsense"}, {"p12": ""}, {"other": "x"}):
        write(near, "apns", {"sandbox": True}, **secrets)
        problem, may_repeat = failure_of(near, "APNS:x")
        assert "credentials" in problem and not may_repeat
    assert apples.received == []


# --- FCM ----------------------------------------------------------------------------------------------------------


def account(gateway: Gateway, project: str = "my-app") -> str:
    private = device.key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    found = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "k1",
        "private_key": private,
        "client_email": "push@my-app.iam.gserviceaccount.com",
        "token_uri": f"https://{host_of(gateway)}/token",
    }
    return json.dumps(found)


def grants(handler: BaseHTTPRequestHandler, token: str = "ya29.1") -> None:
    body = json.dumps({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_google_gives_a_token_for_an_assertion_and_takes_a_map_of_texts(
    near: Context, google: Gateway
) -> None:
    write(near, "fcmv1", {}, server_credentials=account(google))
    google.answers = [grants, 200, 200]
    for _ in range(2):
        PUSH.deliver(near, message("GCM:fcm:token:1"))
    asked, first, second = google.received
    assert asked.path == "/token"
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        asked.form["assertion"],
        device.key().public_key(),
        algorithms=["RS256"],
        audience=f"https://{host_of(google)}/token",
        options={"verify_iat": False, "verify_exp": False},
    )
    assert claims["iss"] == "push@my-app.iam.gserviceaccount.com" and claims["exp"] - claims["iat"] == 3600
    assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    assert first.path == second.path == "/v1/projects/my-app/messages:send"
    assert first.headers["Authorization"] == "Bearer ya29.1"
    sent = first.json["message"]
    assert sent["token"] == "fcm:token:1" and sent["android"] == {"priority": "HIGH", "ttl": "300s"}
    assert "notification" not in sent, "the app shows it itself"
    assert device.read_fcm(sent["data"]) == PAYLOAD


def test_a_token_that_google_took_back_is_renewed_once(near: Context, google: Gateway) -> None:
    write(near, "fcmv1", {}, server_credentials=account(google))
    google.answers = [grants, 401, lambda handler: grants(handler, "ya29.2"), 200]
    PUSH.deliver(near, message("GCM:x"))
    assert [r.headers.get("Authorization") for r in google.received] == [
        None,
        "Bearer ya29.1",
        None,
        "Bearer ya29.2",
    ]


def test_what_google_refuses(near: Context, google: Gateway) -> None:
    cases: list[tuple[list[Any], str, bool]] = [
        ([grants, 404], "fcm_unregistered", False),
        ([grants, 400], "status_400", False),
        ([grants, 503], "status_503", True),
        ([grants, 401, grants, 401], "status_401", False),
        ([400], "status_400", False),
        ([503], "status_503", True),
        ([200], "fcm_no_token", True),
    ]
    for number, (answers, problem, may_repeat) in enumerate(cases):
        write(near, "fcmv1", {}, server_credentials=account(google, f"app-{number}"))
        google.answers = list(answers)
        assert failure_of(near, "GCM:x") == (problem, may_repeat)


def test_an_account_that_is_none_says_so(near: Context, google: Gateway) -> None:
    for text in ("", "x", "[]", "{}", '{"project_id": "p", "client_email": "e", "private_key": "k"}'):
        write(near, "fcmv1", {}, server_credentials=text)
        assert failure_of(near, "GCM:x") == ("bad_credentials", False)
    assert google.received == []


# --- the gateway of the environment -------------------------------------------------------------------------------


def test_a_webhook_is_told_whom_what_and_how(ctx: Context, gateway: Gateway) -> None:
    near = set_up(ctx, push_url=f"webhook+http://user:pass@{gateway.host}/in?key=1")
    PUSH.deliver(near, message("GCM:fcm:1"))
    PUSH.deliver(near, message(""))
    received, silent = gateway.received
    assert received.path == "/in?key=1" and received.headers["Authorization"].startswith("Basic ")
    assert received.json == {
        "enrollment_id": "dev_1",
        "push_credentials": {"service": "GCM", "token": "fcm:1"},
        "payload": PAYLOAD,
        "message_id": "msg_1",
    }
    assert silent.json["push_credentials"] is None


def test_ntfy_gets_the_payload_under_the_phone_s_topic(ctx: Context, gateway: Gateway) -> None:
    near = set_up(ctx, push_url=f"ntfy+http://:tk_secret@{gateway.host}/sub")
    for destination, topic in (("NTFY:my-topic_1", "my-topic_1"), ("GCM:fcm:1", "dev_1"), ("", "dev_1")):
        PUSH.deliver(near, message(destination))
        received = gateway.received[-1]
        assert received.path == f"/sub/{topic}" and received.json == PAYLOAD
        assert received.headers["Authorization"] == "Basic " + base64.b64encode(b":tk_secret").decode()
        assert received.headers["Title"] == "=?UTF-8?B?Q2Fmw6k=?="


def test_a_phone_s_service_decides_and_what_an_administrator_wrote_comes_first(
    near: Context, apples: Apple, gateway: Gateway
) -> None:
    near = set_up(near, push_url=f"webhook+http://{gateway.host}/")
    write(near, "apns", {"sandbox": True, "key_id": "K", "team_id": "T"}, p8=p8()[1])
    PUSH.deliver(near, message("APNS:x"))
    PUSH.deliver(near, message("GCM:x"))
    assert (len(apples.received), len(gateway.received)) == (1, 1)
    with near.db.write() as conn:
        accounts.put_document(conn, near, SELECTED, {"provider": "sns"})
    near.facts.configuration = None
    PUSH.deliver(near, message("APNS:x"))
    assert (len(apples.received), len(gateway.received)) == (1, 2)
