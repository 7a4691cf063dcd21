"""At DEBUG, with a known secret in every place where one can be sent: none in the log, an event, the database or a
refusal; and whatever a stranger writes, one request is one line (T38).
"""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from sqlalchemy import select, text

from app.channels.outbox import opened
from app.context import Context
from app.grants.client_auth import ASSERTION_TYPE
from app.store import attempts, outbox
from app.store.base import metadata, value_of
from app.store.events import events
from tests import making
from tests.databases import KINDS, Templates
from tests.device import Phone
from tests.jose import assertion, make_signer
from tests.live import BELAY, Answer, Live, raw_request, serving
from tests.making import API, CAROLS_PASSWORD, PASSWORD, Cast
from tests.security_key import SecurityKey
from tests.wire import APP, MFA_OOB, MFA_OTP, MFA_RECOVERY, MFA_WEBAUTHN, code_of

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
AGENT = "agent-that-is-logged"


@pytest.fixture(scope="module", params=KINDS)
def live(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("logged")
    nobody = {"BELAY_PUSH_URL": "webhook+http://127.0.0.1:9/"}
    with serving(templates, request.param, folder, workers=2, BELAY_LOG_LEVEL="debug", **nobody) as found:
        yield found


@pytest.fixture(scope="module")
def cast(live: Live) -> Cast:
    found = making.make_cast(live.server)
    make_signer(live.server)
    return found


def canary(name: str) -> str:
    """A secret that nobody else has, with characters that each encoding writes differently."""
    return f'{name}+/"\\&{secrets.token_hex(8)}'


def spellings(secret: str) -> set[str]:
    """A secret as a log could hold it."""
    raw = secret.encode()
    found = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        raw.hex(),
        secret[::-1],
        repr(secret)[1:-1],
    }
    found |= {
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        secret.swapcase(),
        quote(quote(secret)),
    }
    for shift in range(
        3
    ):  # what base64 makes of it does not depend on what surrounds it, but for where it begins
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            body = encode(b"\0" * shift + raw).decode().rstrip("=")
            found.add(body[4 if shift else 0 : len(body) // 4 * 4])
    return {spelling for spelling in found if len(spelling) >= 6}


@dataclass
class Sender:
    """Sends requests, remembering every secret that went out or came back, and every refusal."""

    live: Live
    secrets: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def knows(self, name: str, secret: str) -> str:
        self.secrets[f"{name} {len(self.secrets)}"] = secret
        return secret

    def canary(self, name: str) -> str:
        return self.knows(name, canary(name))

    def send(
        self, path: str, body: str = "", media_type: str = FORM, method: str = "POST", **headers: str
    ) -> Answer:
        fixed = {"Content-Type": media_type, "User-Agent": AGENT}
        sent = fixed | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.live.send(raw_request(method, path, self.live.host, body.encode(), sent))
        self.ids.append(answer.headers["x-request-id"])
        if answer.status >= 400:
            self.refusals.append(answer.text + json.dumps(answer.headers))
        return answer

    def post(self, path: str, members: dict[str, Any], **headers: str) -> Answer:
        """As form and, when it was refused, as JSON too."""
        answer = self.send(path, urlencode(members), **headers)
        return answer if answer.status == 200 else self.send(path, json.dumps(members), JSON, **headers)

    def token(self, **members: str) -> dict[str, Any]:
        answer = self.post("/oauth/token", APP | members)
        assert answer.status in (200, 403), answer.text
        for name in ("access_token", "id_token", "refresh_token", "mfa_token", "recovery_code"):
            if name in answer.json:
                self.knows(name, answer.json[name])
        return dict(answer.json)


def everything_right(sender: Sender, cast: Cast) -> None:
    """Logins, enrolment, refresh, management: with secrets that are real ones."""
    for name, secret in (
        ("password", PASSWORD),
        ("password", CAROLS_PASSWORD),
        ("secret", APP["client_secret"]),
    ):
        sender.knows(name, secret)
    mine = {
        "audience": sender.live.base + "/mfa/",
        "scope": "enroll read:authenticators remove:authenticators",
    }
    carol = {
        "grant_type": "password",
        "username": "alice@example.com",
        "password": CAROLS_PASSWORD,
        "realm": "guests",
    }
    sealed = sender.token(**carol, **mine)["mfa_token"]
    answer = sender.send(
        "/mfa/associate", '{"authenticator_types":["otp"]}', JSON, Authorization=f"Bearer {sealed}"
    )
    secret = sender.knows("totp secret", answer.json["secret"])
    code = sender.knows("recovery code", answer.json["recovery_codes"][0])
    sender.post("/mfa/challenge", APP | {"mfa_token": sealed, "challenge_type": "otp"})
    right = sender.knows("otp", code_of(secret))
    token = sender.token(grant_type=MFA_OTP, mfa_token=sealed, otp=right)["access_token"]
    for method, path in (("GET", "/mfa/authenticators"), ("DELETE", "/mfa/authenticators/totp%7Cdev_x")):
        sender.send(path, method=method, Authorization=f"Bearer {token}")
    full = {"audience": API, "scope": "openid profile email offline_access"}
    sealed = sender.token(**carol, **full)["mfa_token"]
    tokens = sender.token(grant_type=MFA_RECOVERY, mfa_token=sealed, recovery_code=code)
    sender.send("/userinfo", method="GET", Authorization=f"Bearer {tokens['access_token']}")
    first = tokens["refresh_token"]
    second = sender.token(grant_type="refresh_token", refresh_token=first)["refresh_token"]
    sender.post("/oauth/revoke", APP | {"token": second})
    sender.token(grant_type="refresh_token", refresh_token=first)
    proof = sender.knows(
        "assertion", assertion(aud=sender.live.base + "/", exp=int(making.now().timestamp()) + 900)
    )
    signed = {"client_assertion": proof, "client_assertion_type": ASSERTION_TYPE}
    assert sender.post("/oauth/revoke", signed | {"token": second}).status == 200
    basic = sender.knows("basic", base64.b64encode(f"app:{APP['client_secret']}".encode()).decode())
    assert sender.post("/oauth/revoke", {"token": first}, Authorization=f"Basic {basic}").status == 200


def a_phone(sender: Sender, cast: Cast) -> None:
    """An enrolment, a no and a yes by push, and the phone's own entry."""
    making.switch_on(sender.live.server, "push-notification")
    phone = Phone(credentials={"service": "GCM", "token": sender.canary("push token")})
    owner = making.make_user(sender.live.server, cast.staff, "phone@example.com")
    login = {"grant_type": "password", "username": owner.email or "", "password": PASSWORD}
    mine = {"audience": sender.live.base + "/mfa/", "scope": "enroll"}
    token = sender.token(**login, **mine)["access_token"]
    body = '{"authenticator_types":["oob"],"oob_channels":["auth0"]}'
    shown = sender.send("/mfa/associate", body, JSON, Authorization=f"Bearer {token}").json
    sender.knows("oob_code", shown["oob_code"])
    ticket, said = phone.scan(shown["barcode_uri"])
    sender.knows("ticket", ticket.split('"')[1])
    base = "/appliance-mfa/api"
    sender.send(f"{base}/enroll", json.dumps({}), JSON, Authorization=ticket)
    enrolled = sender.send(f"{base}/enroll", json.dumps(said), JSON, Authorization=ticket)
    phone.take(enrolled.json)
    own = sender.knows("phone token", phone.token)
    sender.token(grant_type=MFA_OOB, mfa_token=token, oob_code=shown["oob_code"])
    path = f"{base}/device-accounts/{phone.id}"
    sender.send(path, json.dumps(said), JSON, method="PATCH", Authorization=f"Bearer {own}")
    for credential in (sender.canary("phone token"), sender.knows("signed", phone.own_token(at=0))):
        sender.send(path, "{}", JSON, method="PATCH", Authorization=f"Bearer {credential}")
    for accepted in (False, True):
        sealed = sender.token(**login)["mfa_token"]
        begun = sender.post("/mfa/challenge", APP | {"mfa_token": sealed}).json
        oob_code = sender.knows("oob_code", begun["oob_code"])
        payload = newest_push(sender.live)
        sender.knows("txtkn", str(payload["txtkn"]))
        sender.knows("challenge", str(payload["c"]))
        looks = phone.proof(payload, at=time.time())
        sender.knows("proof", looks["MFA-DPoP"])
        consent = f"/rich-consents/{payload['txlnkid']}"
        for proof in (looks["MFA-DPoP"], sender.canary("proof")):
            sender.send(consent, method="GET", Authorization=looks["Authorization"], MFA_DPoP=proof)
        for response in (
            sender.canary("answer"),
            phone.answer_to(payload, at=time.time(), auth0_guardian_accepted=accepted),
        ):
            sender.knows("answer", response)
            answer = json.dumps({"challenge_response": response})
            bearer = f"Bearer {payload['txtkn']}"
            sender.send(f"{base}/resolve-transaction", answer, JSON, Authorization=bearer)
        poll = {"grant_type": MFA_OOB, "mfa_token": sealed, "oob_code": oob_code}
        status = sender.post("/oauth/token", APP | poll).status
        assert status == (200 if accepted else 400)


def newest_push(live: Live) -> Mapping[str, object]:
    """What a phone is sent; read from the outbox, because nobody listens where it goes."""
    ctx = Context(live.server, making.now(), ip="")
    newest = select(outbox.messages).where(outbox.messages.c.channel == "push")
    with live.server.db.read() as conn:
        row = conn.execute(newest.order_by(outbox.messages.c.created_at.desc())).first()
    return opened(ctx, value_of(outbox.Queued, row)).payload


def a_security_key(sender: Sender, cast: Cast) -> None:
    """Enrolled and used; what passes by is good for one login, and none of it is kept."""
    live = sender.live
    making.switch_on(live.server, "webauthn-roaming")
    user = making.make_user(live.server, cast.guests, "key@example.com")
    login = {"grant_type": "password", "username": user.email or "", "password": PASSWORD, "realm": "guests"}
    key = SecurityKey(origin=live.base)

    def complete(token: str, response: dict[str, Any], **members: str) -> None:
        for name in ("clientDataJSON", "attestationObject", "signature"):
            if name in response["response"]:
                sender.knows(name, response["response"][name])
        sent = APP | {"grant_type": MFA_WEBAUTHN, "mfa_token": token, "authn_response": response} | members
        answer = sender.send("/oauth/token", json.dumps(sent), JSON)
        assert answer.status == 200, answer.text
        sender.knows("access_token", answer.json["access_token"])

    token = sender.token(**login)["mfa_token"]
    types = '{"authenticator_types":["webauthn-roaming"]}'
    shown = sender.send("/mfa/associate", types, JSON, Authorization=f"Bearer {token}").json
    session = sender.knows("auth_session", shown["auth_session"])
    sender.knows("recovery code", shown["recovery_codes"][0])
    options = shown["authn_params_public_key"]
    sender.knows("challenge", options["challenge"])
    complete(token, key.create(options), auth_session=session)
    token = sender.token(**login)["mfa_token"]
    asked = sender.post("/mfa/challenge", APP | {"mfa_token": token, "challenge_type": "webauthn"}).json
    sender.knows("challenge", asked["public_key"]["challenge"])
    complete(token, key.get(asked["public_key"]))


def everything_wrong(sender: Sender, cast: Cast) -> None:
    """One canary in each place that takes a credential, in each way in which that can be wrong."""
    bob = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | APP
    for name in ("password", "client_secret", "client_assertion", "client_assertion_type"):
        sender.post("/oauth/token", bob | {name: sender.canary(name)})
        sender.send("/oauth/token", json.dumps(bob | {name: [sender.canary(name)]}), JSON)
        sender.send("/oauth/token", json.dumps(bob | {name: {sender.canary(name): 1}}), JSON)
        sender.send("/oauth/token", urlencode(bob | {name: sender.canary(name) + "\0"}))
        twice = urlencode([(name, sender.canary(name)), (name, sender.canary(name)), *bob.items()])
        sender.send("/oauth/token", twice)
        sender.send("/oauth/token", urlencode({name: sender.canary(name)}), "text/plain")
        sender.send("/oauth/token", f'{{"{name}":"{sender.canary(name)}', JSON)
        sender.send("/oauth/token", urlencode({name: sender.canary(name) + "a" * 20_000}))
        sender.send(
            "/oauth/token?" + urlencode({name: sender.canary(f"{name} in the address")}), urlencode(bob)
        )
    for grant_type, members in {
        MFA_OTP: ("mfa_token", "otp"),
        MFA_RECOVERY: ("mfa_token", "recovery_code"),
        MFA_WEBAUTHN: (
            "mfa_token",
            "auth_session",
            "clientData",
            "authenticatorData",
            "signature",
            "attestation",
        ),
        "refresh_token": ("refresh_token",),
    }.items():
        sender.post("/oauth/token", APP | {"grant_type": grant_type} | {n: sender.canary(n) for n in members})
    sealed = sender.token(grant_type="password", username="alice@example.com", password=PASSWORD)["mfa_token"]
    sender.token(grant_type=MFA_OTP, mfa_token=sealed, otp=sender.canary("otp"))
    sender.token(grant_type=MFA_RECOVERY, mfa_token=sealed, recovery_code=sender.canary("recovery"))
    for path, name in (("/oauth/revoke", "token"), ("/mfa/challenge", "mfa_token")):
        sender.post(path, APP | {name: sender.canary(name)})
        sender.post(
            path, {"client_id": "app", "client_secret": sender.canary("secret"), name: sender.canary(name)}
        )
    for scheme in ("Bearer", "Basic", "DPoP", "Digest", ""):
        for method, path in (
            ("GET", "/userinfo"),
            ("GET", "/mfa/authenticators"),
            ("POST", "/mfa/associate"),
        ):
            sender.send(path, method=method, Authorization=f"{scheme} {sender.canary(scheme)}")
        sender.send("/oauth/token", urlencode(bob), Authorization=f"{scheme} {sender.canary(scheme)}")
    pair = sender.knows("basic", base64.b64encode(f"app:{sender.canary('basic')}".encode()).decode())
    sender.send("/oauth/token", urlencode({"grant_type": "password"}), Authorization=f"Basic {pair}")
    jwt = sender.knows("jwt", f"{sender.live.host}.{secrets.token_hex(20)}.{secrets.token_hex(20)}")
    sender.send("/userinfo", method="GET", Authorization=f"Bearer {jwt}")
    for name in ("access_token", "password", "token", "mfa_token"):
        for path in ("/userinfo", "/nowhere", "/mfa/authenticators", "/oauth/revoke"):
            sender.send(f"{path}?{urlencode({name: sender.canary(f'{name} in the address')})}", method="GET")
    sender.send(
        "/oauth/token", urlencode(bob), Cookie=sender.canary("cookie"), X_Api_Key=sender.canary("key")
    )


def in_the_database(live: Live, *names: str) -> str:
    """Every value of those tables, or of all, as it is and as JSON."""
    rows = []
    with live.server.db.read() as conn:
        for name, table in metadata.tables.items():
            if not names or name in names:
                rows += [value for row in conn.execute(select(table)) for value in row]
    return "\n".join(f"{row}\n{json.dumps(row, default=str)}" for row in rows)


def lines_of(live: Live, begin: int) -> list[str]:
    """What was logged behind that many bytes; cut at nothing but line feeds."""
    return [line for line in live.log.read_bytes()[begin:].decode("utf-8").split("\n") if line]


def requests_in(live: Live, begin: int) -> list[str]:
    """The ids of the requests that were logged behind that many bytes."""
    lines = [json.loads(line) for line in lines_of(live, begin) if line.startswith("{")]
    return [line["request_id"] for line in lines if line["event"] == "request"]


def assert_absent(secrets_: dict[str, str], places: dict[str, str]) -> None:
    found = list[tuple[str, ...]]()
    for name, secret in secrets_.items():
        for where, content in places.items():
            if secret.isdigit():  # so short that it could stand inside of another number
                found += [(name, where)] if re.search(rf"(?<!\d){secret}(?!\d)", content) else []
            else:
                found += [(name, where, spelling) for spelling in spellings(secret) if spelling in content]
    assert not found, found


def test_no_secret_is_written_anywhere(live: Live, cast: Cast) -> None:
    sender = Sender(live)
    everything_right(sender, cast)
    a_phone(sender, cast)
    a_security_key(sender, cast)
    refused_before = len(sender.refusals)
    everything_wrong(sender, cast)
    assert len(sender.secrets) > 100 and len(sender.refusals) - refused_before > 60
    log = live.log.read_text()
    assert set(requests_in(live, 0)) >= set(sender.ids), "the log is the right one"
    recorded = in_the_database(live, "events")
    assert AGENT in recorded and "wrong_password" in recorded, "the events are the right ones"
    assert_absent(sender.secrets, {"log": log, "events": recorded, "database": in_the_database(live)})
    issued = {secret for name, secret in sender.secrets.items() if name.startswith("mfa_token")}
    sent = {name: secret for name, secret in sender.secrets.items() if secret not in issued}
    assert_absent(sent, {"refusals": "\n".join(sender.refusals)})


def test_an_accident_writes_no_secret_either(live: Live, cast: Cast) -> None:
    """Tables are taken away under the running server: its errors come from the middle of everything."""
    sender = Sender(live)
    sender.knows("password", PASSWORD)
    bob = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | APP
    statuses = set()
    for table in (
        "users",
        "clients",
        "password_attempts",
        "opaque_tokens",
        "transactions",
        "refresh_families",
    ):
        with live.server.db.write() as conn:
            conn.execute(text(f"ALTER TABLE {table} RENAME TO away"))
        try:
            for changes in (
                {},
                {"password": sender.canary("password")},
                {"client_secret": sender.canary("secret")},
            ):
                statuses.add(sender.post("/oauth/token", bob | changes).status)
            for grant_type, name in ((MFA_OTP, "mfa_token"), ("refresh_token", "refresh_token")):
                shape = sender.knows(name, "v1." + secrets.token_urlsafe(48))
                members = {"grant_type": grant_type, name: shape, "otp": sender.canary("otp")}
                statuses.add(sender.post("/oauth/token", APP | members).status)
            bearer = sender.knows("bearer", secrets.token_urlsafe(32))
            statuses.add(sender.send("/userinfo", method="GET", Authorization=f"Bearer {bearer}").status)
        finally:
            with live.server.db.write() as conn:
                conn.execute(text(f"ALTER TABLE away RENAME TO {table}"))
    assert statuses & {500, 503}, statuses
    with live.server.db.write() as conn:
        attempts.remove_password_attempts(conn, cast.bob.id)  # what accidents left undecided is waited for
    log = live.log.read_text()
    assert_absent(sender.secrets, {"log": log, "refusals": "\n".join(sender.refusals)})
    assert "Traceback" not in log and sender.post("/oauth/token", bob).status == 200


def test_what_encodings_would_hide_is_found() -> None:
    """The control: the search finds a secret in whatever way it was written."""
    secret = canary("secret")
    written = [
        secret,
        quote(secret),
        quote_plus(secret),
        urlencode({"a": secret}),
        json.dumps({"a": secret}),
        repr(secret),
    ]
    written += [
        base64.b64encode(f"{before}{secret}{behind}".encode()).decode()
        for before in ("", "a", "ab", "abc")
        for behind in ("", "x")
    ]
    written += [
        base64.urlsafe_b64encode(f"app:{secret}".encode()).decode(),
        secret.encode().hex(),
        quote(quote(secret)),
    ]
    for content in written:
        with pytest.raises(AssertionError):
            assert_absent({"secret": secret}, {"log": f"before {content} behind"})
    assert_absent({"secret": secret, "otp": "123456"}, {"log": canary("secret") + " 0.1234567"})
    with pytest.raises(AssertionError):
        assert_absent({"otp": "123456"}, {"log": "code=123456,"})


# --- one request, one line -----------------------------------------------------------------------------------------

CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
INJECTIONS = [
    "\r\n",
    "\n",
    "\r",
    "\x1b[2J\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    "\b\b\b",
    CONTROLS[1:],
]
FAKE = '{"event": "request", "outcome": "ok"}'


def control_characters(content: str) -> set[str]:
    return {c for c in content if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\n"}


def test_one_request_is_one_line_whatever_it_holds(live: Live, cast: Cast) -> None:
    begin, ids = live.log.stat().st_size, []
    for injected in INJECTIONS:
        bad = f"a{injected}{FAKE}"
        answer = live.post("/oauth/token", grant_type="password", username=bad, password="x" * 9, **APP)
        ids.append(answer.headers["x-request-id"])
        for name in ("client_id", "grant_type", "realm", "audience", "scope"):
            members = {"grant_type": "password", "username": "x", "password": "x"} | APP | {name: bad}
            ids.append(live.post("/oauth/token", **members).headers["x-request-id"])
        for path in (f"/{quote(bad)}", f"/mfa/authenticators/{quote(bad)}", f"/userinfo?{quote(bad)}"):
            ids.append(live.get(path).headers["x-request-id"])
    assert requests_in(live, begin) == ids
    # What the server does by itself, such as sending what an earlier test asked for, has lines of its own.
    others = [line for line in lines_of(live, begin) if not any(found in line for found in ids)]
    assert not any(FAKE in line for line in others), others
    assert len(lines_of(live, begin)) - len(others) == len(ids), "one line a request"
    assert control_characters(live.log.read_bytes()[begin:].decode("utf-8")) == set()


def test_headers_cannot_write_into_the_log(live: Live, cast: Cast) -> None:
    """Below HTTP: header values with bytes that no client library would send."""
    begin, ids = live.log.stat().st_size, []
    names = (
        "User-Agent",
        "X-Request-ID",
        "X-Forwarded-For",
        "auth0-forwarded-for",
        "Origin",
        "Auth0-Client",
        "Referer",
    )
    for name in names:
        for injected in [*INJECTIONS, "a" * 65, "../x", 'a","outcome":"ok', "\xe4", " "]:
            value = f"a{injected}b{FAKE}"
            request = raw_request("GET", "/userinfo", live.host, b"", {"X-Marker": "1"})
            request = request.replace(b"X-Marker: 1", name.encode() + b": " + value.encode("utf-8"))
            answer = live.send(request)
            assert answer.status < 500
            if "x-request-id" in answer.headers:  # else it was not HTTP, and nobody of ours has seen it
                ids.append(answer.headers["x-request-id"])
    assert len(ids) > 2 * len(names) and all(re.fullmatch("[A-Za-z0-9._-]{1,64}", found) for found in ids)
    assert requests_in(live, begin) == ids
    assert control_characters("\n".join(lines_of(live, begin))) == set()


def test_a_request_id_that_is_one_is_kept(live: Live) -> None:
    kept = live.send(raw_request("GET", "/userinfo", live.host, b"", {"X-Request-ID": "abc-1_2.3"}))
    assert kept.headers["x-request-id"] == "abc-1_2.3"
    assert requests_in(live, 0).count("abc-1_2.3") == 1


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["text", "json"])
def test_listed_events_do_not_steer_the_terminal(live: Live, cast: Cast, option: list[str]) -> None:
    for injected in INJECTIONS:
        name = f"{injected}{FAKE}"
        live.post("/oauth/token", grant_type="password", username=name, password="x" * 9, **APP)
    with live.server.db.read() as conn:
        names = {row.user_name for row in conn.execute(select(events.c.user_name))}
    assert f"\x9b31m{FAKE}" in names, "the event tells what was typed"
    settings = live.server.settings
    env = {
        "BELAY_INSTANCE": str(settings.instance),
        "BELAY_DATABASE_URL": settings.database_url,
        "BELAY_INSECURE_TEST": "1",
    }
    env |= {"BELAY_HASH_MEMORY_KIB": "8", "BELAY_HASH_TIME": "1"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    listed = subprocess.run(
        [BELAY, "logs", "list", *option], env=clean | env, capture_output=True, check=True
    )
    assert control_characters(listed.stdout.decode("utf-8")) <= {"\t"}
    assert b"fu" in listed.stdout


def test_a_terminal_is_not_steered_by_the_log() -> None:
    """`belay serve` in a terminal writes for people; its lines are as harmless there."""
    program = (
        "import sys, structlog; from app import logs; logs.configure('debug'); "
        "log = structlog.stdlib.get_logger('belay.access'); "
        "[log.info('request', path='/' + part, client_id=None) for part in sys.argv[1:]]"
    )
    parts = [part.replace("\0", "") for part in INJECTIONS]
    master, terminal = os.openpty()
    with subprocess.Popen([sys.executable, "-c", program, *parts], stdout=terminal) as process:
        os.close(terminal)
        heard = b""
        try:
            while chunk := os.read(master, 65536):
                heard += chunk
        except OSError:  # how Linux says that nobody holds the other end any more
            pass
        os.close(master)
        assert process.wait(30) == 0
    lines = heard.decode("utf-8").replace("\r\n", "\n").split("\n")
    assert len(lines) == len(parts) + 1, lines
    coloured = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(lines))
    assert control_characters(coloured) == set() and b"\x1b[31m" not in heard
