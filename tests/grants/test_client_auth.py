"""How an application proves itself, and every way in which it does not (T26, contract 0.2)."""

import base64
import json
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote_plus

import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app import accounts
from app.context import Context, Server
from app.crypto import digest
from app.grants.client_auth import ASSERTION_TYPE, MAX_ASSERTION_CHARACTERS
from app.store import clients
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import report, size
from tests.jose import (
    GONE,
    ISSUER,
    NOW,
    add_client_key,
    assertion,
    b64,
    changed,
    claims_of,
    dumps,
    make_signer,
    private_key,
    public_jwk,
    public_pem,
    token_of,
)
from tests.live import Live, form_request, serving
from tests.making import APP_SECRET, MALLORY_SECRET, PASSWORD, Cast, now
from tests.wire import APP, Wire, refused, told

PATHS = ("/oauth/token", "/oauth/revoke", "/mfa/challenge")
ALGORITHMS = ("RS256", "RS384", "PS256")
REST = {
    "/oauth/token": {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD},
    "/oauth/revoke": {"token": "nobody's"},
    "/mfa/challenge": {"mfa_token": "nobody's"},
}


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def ask(wire: Wire, path: str, members: dict[str, Any], authorization: str | None = None) -> TestResponse:
    """A request that lacks nothing but the client."""
    headers = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return wire.client.post(path, json=REST[path] | members, environ_overrides=headers)


def proven(answer: TestResponse) -> bool:
    """The client was let in: what was asked is done, or the next thing is wrong."""
    return answer.status_code == 200 or "Malformed mfa_token" in answer.text


def not_proven(answer: TestResponse, *, by_basic: bool = False) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.json is not None and answer.json["error"] in ("access_denied", "invalid_client")
    assert set(answer.json) == {"error", "error_description", "error_id"}
    assert answer.headers.get("WWW-Authenticate", "").startswith("Basic realm=") is by_basic


# --- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_a_secret_in_the_body_or_the_header_or_a_name_alone(wire: Wire, cast: Cast, path: str) -> None:
    assert proven(ask(wire, path, APP))
    assert proven(ask(wire, path, {}, basic("app", APP_SECRET)))
    assert proven(ask(wire, path, {"client_id": "app"}, basic("app", APP_SECRET)))
    assert proven(ask(wire, path, {"client_id": "", "client_secret": None}, basic("app", APP_SECRET)))
    assert proven(ask(wire, path, {}, basic("app", APP_SECRET).replace("Basic ", "bASIC   ")))
    assert proven(ask(wire, path, {"client_id": "phone-app"}))
    assert proven(ask(wire, path, {"client_id": "phone-app", "client_secret": ""}))


@pytest.mark.parametrize("path", PATHS)
def test_unknown_and_wrong_are_one_answer(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    making.make_client(server, "gone", secret="g" * 40, realm_names=("staff",), is_enabled=False)
    making.make_client(server, "gone-phone", realm_names=("staff",), is_enabled=False)
    make_signer(server)
    names = {
        "app",
        "nobody",
        "gone",
        "gone-phone",
        "signer",
        "App",
        "app ",
        "a" * 500,
        "%",
        "\u00e4",
        "' OR 1=1",
    }
    secrets = {"", "x", APP_SECRET[:-1], APP_SECRET + "x", APP_SECRET.upper(), MALLORY_SECRET, "a" * 5000}
    secrets |= {" " + APP_SECRET, APP_SECRET + " ", APP_SECRET + "\n", "\U0001f511"}
    heard = set()
    for name, secret in product(names, secrets):
        answer = ask(wire, path, {"client_id": name, "client_secret": secret})
        not_proven(answer)
        heard.add(told(answer))
        answer = ask(wire, path, {}, basic(quote_plus(name), quote_plus(secret)))
        not_proven(answer, by_basic=True)
        heard.add(told(answer))
    not_proven(ask(wire, path, {"client_id": "gone", "client_secret": "g" * 40}))
    assert len(heard) == 1, heard


def test_the_answer_to_a_wrong_secret_has_nothing_else_in_it(wire: Wire, cast: Cast) -> None:
    heads = []
    for members in (APP | {"client_secret": "x"}, APP | {"client_id": "nobody"}, {"client_id": "app"}):
        answer = ask(wire, "/oauth/token", members)
        refused(answer, 401, "access_denied", "Unauthorized")
        heads.append([(name, value) for name, value in answer.headers if name != "X-Request-ID"])
    assert heads[0] == heads[1] == heads[2]
    refused(ask(wire, "/oauth/revoke", {"client_id": "app"}), 401, "invalid_client")
    refused(ask(wire, "/oauth/token", {}), 401, "invalid_client", "Missing client_id")


@pytest.mark.parametrize("path", PATHS)
def test_only_one_method_at_a_time(wire: Wire, signers: None, path: str) -> None:
    secret, header = {"client_secret": APP_SECRET}, basic("app", APP_SECRET)
    signed = {"client_assertion": assertion(), "client_assertion_type": ASSERTION_TYPE}
    named: dict[str, Any]
    for named in ({}, {"client_id": "app"}, {"client_id": "signer"}):
        refused(ask(wire, path, named | secret, header), 400, "invalid_request")
        refused(ask(wire, path, named | signed, header), 400, "invalid_request")
        refused(ask(wire, path, named | signed | secret), 400, "invalid_request")
        refused(ask(wire, path, named | signed | secret, header), 400, "invalid_request")
    refused(ask(wire, path, {"client_id": "phone-app"}, header), 400, "invalid_request")
    assert proven(ask(wire, path, signed)), "none of it used the assertion up"


@pytest.mark.parametrize("path", PATHS)
def test_basic_credentials_are_form_encoded(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    client_id, secret = "my app:1+%&=\u00e9", "s p:+%25&=\u00e9\U0001f511" + "x" * 30
    making.make_client(server, client_id, secret=secret, realm_names=("staff",))
    assert proven(ask(wire, path, {}, basic(quote_plus(client_id), quote_plus(secret))))
    encoded = "".join(f"%{byte:02x}" for byte in client_id.encode())
    assert proven(ask(wire, path, {"client_id": client_id}, basic(encoded, quote_plus(secret))))
    assert proven(ask(wire, path, {}, basic(quote_plus(client_id), quote_plus(secret, safe=":"))))
    not_proven(ask(wire, path, {}, basic(client_id, secret)), by_basic=True)
    not_proven(
        ask(wire, path, {}, basic(quote_plus(quote_plus(client_id)), quote_plus(secret))), by_basic=True
    )


CREDENTIALS = base64.b64encode(f"app:{APP_SECRET}".encode()).decode()
MALFORMED = [
    "",
    " ",
    "=",
    "====",
    "a",
    "!!!!",
    ":",
    "app:" + APP_SECRET,
    CREDENTIALS[:-1],
    CREDENTIALS[:-2],
    CREDENTIALS + "=",
    CREDENTIALS + "==",
    CREDENTIALS + "AAAA",
    CREDENTIALS[:8] + " " + CREDENTIALS[8:],
    CREDENTIALS[:8] + "\t" + CREDENTIALS[8:],
    CREDENTIALS[:8] + "=" + CREDENTIALS[8:],
    f'"{CREDENTIALS}"',
    f"{CREDENTIALS}, {CREDENTIALS}",
    f"{CREDENTIALS},Basic {CREDENTIALS}",
    f"Basic {CREDENTIALS}",
    f"realm=x {CREDENTIALS}",
    'username="app", password="x"',
    CREDENTIALS.swapcase(),
    CREDENTIALS[::-1],
    base64.b64encode(CREDENTIALS.encode()).decode(),
    base64.b64encode(f"app:{APP_SECRET}\xff".encode("latin-1")).decode(),
    base64.b64encode(f"app:{APP_SECRET}\0".encode()).decode(),
    base64.b64encode(f"app\0:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app%00:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app%FF:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app%ED%A0%80:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app%:{APP_SECRET}%".encode()).decode(),
    base64.b64encode(f"app%zz:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app:{APP_SECRET}\n".encode()).decode(),
    base64.b64encode(f" app:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app :{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app: {APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app::{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"\ufeffapp:{APP_SECRET}".encode()).decode(),
    base64.b64encode(f"app:{APP_SECRET}".encode("utf-16")).decode(),
    base64.b64encode(f"app{APP_SECRET}".encode()).decode(),
    base64.b64encode(f":{APP_SECRET}".encode()).decode(),
    base64.b64encode(b"app:").decode(),
    base64.b64encode(b"app").decode(),
    base64.b64encode(b":").decode(),
    base64.b64encode(b"\xff\xfe\xfd").decode(),
    base64.b64encode(b"app:" + b"a" * 20_000).decode(),
    base64.urlsafe_b64encode(b"\xfb\xff\xfe:" * 9).decode(),
    "\u00e4" * 8,
]


@pytest.mark.parametrize("path", PATHS)
def test_refuses_malformed_basic_headers(wire: Wire, cast: Cast, path: str) -> None:
    assert len(MALFORMED) >= 40 and proven(ask(wire, path, {}, "Basic " + CREDENTIALS))
    for text in MALFORMED:
        answer = ask(wire, path, {}, f"Basic {text}".encode().decode("latin-1"))
        not_proven(answer, by_basic=True)
        with_name = ask(wire, path, {"client_id": "phone-app"}, f"basic {text}".encode().decode("latin-1"))
        assert with_name.status_code in (400, 401), "a public client's name does not heal a broken header"


SCHEMES = [
    "Bearer " + "a" * 30,
    "Bearer",
    "bearer a.b.c",
    "Digest username=app",
    "Negotiate YII=",
    "DPoP a",
    "Basics x",
]
SCHEMES += [
    "Basic\t" + CREDENTIALS,
    f"Basic:{CREDENTIALS}",
    f"Basic={CREDENTIALS}",
    "",
    " ",
    "\xff\xff",
    "x" * 7000,
]
SCHEMES += [CREDENTIALS, f",Basic {CREDENTIALS}", f"Bearer a, Basic {CREDENTIALS}", f" Basic {CREDENTIALS}"]


@pytest.mark.parametrize("path", PATHS)
def test_other_schemes_are_not_about_the_client(wire: Wire, cast: Cast, path: str) -> None:
    for header in SCHEMES:
        assert proven(ask(wire, path, APP, header)), header
        refused(ask(wire, path, {}, header), 401, "invalid_client")
        not_proven(ask(wire, path, {}, header))


def test_a_secret_ends_when_it_is_replaced(wire: Wire, server: Server, cast: Cast) -> None:
    secrets = [APP_SECRET]
    for _ in range(2):
        with server.db.write() as conn:
            client = clients.find_client(conn, "app")
            assert client is not None
            secrets.append(accounts.rotate_secret(conn, Context(server, now(), ip=""), client))
        alive = [proven(ask(wire, "/oauth/token", {"client_id": "app", "client_secret": s})) for s in secrets]
        assert alive == [False] * (len(secrets) - 1) + [True]


def test_of_the_two_secrets_that_earlier_versions_kept_the_newest_counts(
    wire: Wire, server: Server, cast: Cast
) -> None:
    with server.db.write() as conn:
        clients.update_client(conn, "app", secret_digests=[digest("newest"), digest(APP_SECRET)])
    for secret, is_alive in (("newest", True), (APP_SECRET, False)):
        assert proven(ask(wire, "/oauth/token", {"client_id": "app", "client_secret": secret})) == is_alive


def test_a_disabled_client_is_refused_from_the_next_request_on(
    wire: Wire, server: Server, cast: Cast
) -> None:
    assert proven(ask(wire, "/oauth/token", APP))
    with server.db.write() as conn:
        clients.update_client(conn, "app", is_enabled=False)
        clients.update_client(conn, "phone-app", is_enabled=False)
    for path in PATHS:
        not_proven(ask(wire, path, APP))
        not_proven(ask(wire, path, {"client_id": "phone-app"}))


def test_a_secret_does_not_make_a_public_client_confidential(wire: Wire, server: Server, cast: Cast) -> None:
    making.grant_scopes(server, "phone-app", making.API, "read:things")
    with server.db.write() as conn:
        clients.update_client(conn, "phone-app", secret_digests=list(cast.app.secret_digests))
    members: dict[str, Any] = {
        "grant_type": "client_credentials",
        "audience": making.API,
        "client_id": "phone-app",
    }
    for secret in ("", "x", APP_SECRET):
        answer = wire.post("/oauth/token", client_secret=secret, **members)
        refused(answer, 403, "unauthorized_client")


# --- assertions ----------------------------------------------------------------------------------------------------


def send(wire: Wire, text: object, path: str = "/oauth/token", **members: Any) -> TestResponse:
    return ask(wire, path, {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE} | members)


def bad(answer: TestResponse) -> None:
    refused(answer, 401, "invalid_client")
    assert answer.json is not None
    assert answer.json["error_description"] in (
        "Failed to verify client assertion",
        "Client authentication failed",
    )
    assert "WWW-Authenticate" not in answer.headers


@pytest.fixture
def signers(server: Server, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    for client_id in ("signer", "other-signer"):
        make_signer(server, client_id)


@pytest.mark.parametrize("path", PATHS)
def test_an_assertion_proves_a_client(wire: Wire, signers: None, path: str) -> None:
    assert proven(send(wire, assertion(), path))
    assert proven(send(wire, assertion(), path, client_id="signer"))
    assert proven(send(wire, assertion(), path, client_id="", client_secret=None))
    form = REST[path] | {"client_assertion": assertion(), "client_assertion_type": ASSERTION_TYPE}
    assert proven(wire.client.post(path, data=form))
    bad(send(wire, assertion(), path, client_id="other-signer"))
    bad(send(wire, assertion(), path, client_id="app"))
    for kind in (GONE, "", None, "jwt-bearer", ASSERTION_TYPE.upper(), ASSERTION_TYPE + " "):
        members = changed({"client_assertion": assertion(), "client_assertion_type": kind})
        refused(ask(wire, path, members), 400, "invalid_request")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_verifies_its_own_algorithm_only(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory, alg: str
) -> None:
    make_signer(server, alg=alg)
    for other in (*ALGORITHMS, "RS512", "PS384", "PS512"):
        answer = send(wire, assertion(alg=other))
        assert proven(answer) is (other == alg), (other, answer.text)
        mismatch = token_of({"alg": alg}, claims_of(), private_key("signer"), other)
        assert proven(send(wire, mismatch)) is (other == alg)


AUDIENCES = [ISSUER, ISSUER[:-1], "https://127.0.0.1:8000/", ISSUER + "oauth/token"]


def test_every_audience_that_sdks_write_is_us(wire: Wire, signers: None) -> None:
    lists: list[Any] = [[ISSUER], ["https://x.example/", ISSUER], [ISSUER, 1, None]]
    for path, audience in product(PATHS, AUDIENCES + lists):
        answer = send(wire, assertion(aud=audience), path)
        assert proven(answer), (path, audience, answer.text)


STRANGE: list[Any] = [
    GONE,
    None,
    "",
    0,
    1,
    True,
    [],
    {},
    ["signer"],
    {"signer": 1},
    "other-signer",
    "signer ",
    "Signer",
]
MOMENTS: list[Any] = ["", str(NOW), True, [], {}, None, -1, float("nan"), float("inf")]
CLAIMS: dict[str, list[Any]] = {
    "iss": [*STRANGE, "app", "nobody", ISSUER, "signer\0"],
    "sub": [*STRANGE, "app", "nobody", ISSUER, "signer\0", "\ud800", "signer\udc00", "a" * 1000],
    "aud": [GONE, None, "", 0, True, [], {}, [[]], {"aud": ISSUER}, [[ISSUER]], ["x"], "*", "/", "signer"]
    + [
        ISSUER + "x",
        "x" + ISSUER,
        ISSUER.upper(),
        ISSUER + "userinfo",
        ISSUER + "mfa/",
        f"{ISSUER} x",
        f"{ISSUER}\0",
    ]
    + ["http://127.0.0.1:8000.evil.example/", "http://127.0.0.1:80000/", "http://evil.example/?" + ISSUER],
    "exp": [*MOMENTS, GONE, 0, str(NOW + 60), NOW - 11, NOW - 10**6, 1e300, 10**30],
    "iat": [*MOMENTS, NOW + 11, NOW + 10**6],
    "nbf": [*MOMENTS, NOW + 11, NOW + 10**6],
    "jti": [GONE, None, "", 0, 1, True, [], {}, ["a"], "a" * 65, "a" * 1000]
    + ["a\0", "a\nb", "\ud800", "\u202e", "\x1b[31m"],
}


@pytest.mark.parametrize("name", CLAIMS)
def test_refuses_wrong_claims_under_a_right_signature(wire: Wire, signers: None, name: str) -> None:
    for path, value in product(PATHS, CLAIMS[name]):
        bad(send(wire, assertion(key="signer", **{name: value}), path))
        bad(send(wire, assertion(key="signer", **{name: value}), path, client_id="signer"))
    assert proven(send(wire, assertion()))


def test_clocks_may_differ_by_ten_seconds(wire: Wire, signers: None, clock: FrozenDateTimeFactory) -> None:
    for member in ("iat", "nbf"):
        assert proven(send(wire, assertion(**{member: NOW + 10})))
        assert proven(send(wire, assertion(**{member: NOW - 600})))
        bad(send(wire, assertion(**{member: NOW + 11})))
    late = [assertion(exp=NOW + 60) for _ in range(2)]
    clock.tick(59)
    assert proven(send(wire, late[0]))
    clock.tick(12)
    bad(send(wire, late[1]))


def unsigned(header: object, claims: object, signature: str = "") -> str:
    return f"{b64(dumps(header))}.{b64(dumps(claims))}.{signature}"


def forgeries() -> Iterator[str]:
    real, pem = private_key("signer"), public_pem("signer").encode()
    alg: Any
    for alg in ("none", "None", "NONE", "", None, [], ["RS256"], {}, 1, True, "rs256", "RS256 "):
        yield unsigned({"alg": alg}, claims_of())
        yield unsigned({"alg": alg}, claims_of(), "AAAA")
        yield token_of({"alg": alg}, claims_of(), real, "RS256")
    yield token_of({}, claims_of(), real, "RS256")
    for alg, secret in product(
        ("HS256", "HS384", "HS512"), (pem, pem.strip(), b"", b"signer", APP_SECRET.encode())
    ):
        yield token_of({"alg": alg}, claims_of(), secret, alg)
        yield token_of({"alg": "RS256"}, claims_of(), secret, alg)
    yield assertion(key="other-signer")
    yield assertion("other-signer", key="signer")
    yield token_of({"alg": "ES256"}, claims_of(), private_key("ES256"), "ES256")
    yield unsigned({"alg": "ES256"}, claims_of(), b64(bytes(64)))
    stranger = private_key("stranger")
    for name, value in (
        ("jwk", public_jwk("stranger", "RS256")),
        ("jku", "http://127.0.0.1:1/"),
        ("kid", "signer"),
        ("x5c", ["a"]),
    ):
        yield token_of({"alg": "RS256", name: value}, claims_of(), stranger, "RS256")
    for crit in (["exp"], ["x"], ["b64"], [], "x", None):
        yield token_of({"alg": "RS256", "crit": crit, "x": 1}, claims_of(), real, "RS256")
    yield token_of({"alg": "RS256", "b64": False, "crit": ["b64"]}, claims_of(), real, "RS256")


def test_refuses_forged_assertions(wire: Wire, signers: None) -> None:
    found = list(forgeries())
    assert len(found) > 60
    for text in found:
        bad(send(wire, text))
        bad(send(wire, text, client_id="signer"))
    assert proven(send(wire, assertion()))


def malformed() -> Iterator[str]:
    head, body, sign = assertion().split(".")
    yield from (
        "a",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        " ",
        "\u00e4.\u00e4.\u00e4",
        "undefined",
        "null",
        "{}",
    )
    yield from (
        f"{head}.{body}",
        f"{head}.{body}.",
        f".{body}.{sign}",
        f"{head}..{sign}",
        f"{head}.{body}.{sign}.{sign}",
    )
    yield from (
        f"{head}.{body}.{sign}=",
        f"{head}.{body}.{sign}\n",
        f" {head}.{body}.{sign}",
        f"{head}.{body} .{sign}",
    )
    yield from (
        f"{head}.{body}.{sign[:-4]}",
        f"{head}.{body}.{sign[::-1]}",
        f"{head}.!{body}.{sign}",
        f"\u00e4{head}.{body}.{sign}",
    )
    texts = [
        "",
        "1",
        "null",
        "[]",
        '"signer"',
        "{",
        "{}{}",
        "[" * 700 + "]" * 700,
        '{"a":' * 150 + "1" + "}" * 150,
        "\ufeff{}",
    ]
    texts += [
        '{"sub":"signer"',
        '{"sub":"\\ud800"}',
        '{"sub":"a\\u0000"}',
        '{"sub":1e999}',
        '{"sub":' + "1" * 900 + "}",
        "\0",
    ]
    for text in texts:
        yield token_of({"alg": "RS256"}, text.encode(), private_key("signer"), "RS256")
        yield token_of(text.encode(), claims_of(), private_key("signer"), "RS256")
    yield token_of(
        {"alg": "RS256"}, json.dumps(claims_of()).encode() + b"\xff", private_key("signer"), "RS256"
    )


def test_refuses_malformed_assertions(wire: Wire, signers: None) -> None:
    for path, text in product(PATHS, malformed()):
        answer = send(wire, text, path)
        assert answer.status_code in (400, 401), (text, answer.text)
        assert not proven(answer)
        bad(answer)


def of_length(wanted: int) -> str:
    """An assertion of exactly that many characters."""
    for pad, kid in product(range(2000), range(4)):
        header, padded = {"alg": "RS256", "kid": "k" * kid}, claims_of(pad="x" * pad)
        if len(b64(dumps(header))) + len(b64(dumps(padded))) + 344 == wanted:
            return token_of(header, padded, private_key("signer"), "RS256")
    raise AssertionError(wanted)


def test_an_assertion_has_at_most_2048_characters(wire: Wire, signers: None) -> None:
    assert MAX_ASSERTION_CHARACTERS == 2048
    longest, longer = of_length(2048), of_length(2049)
    assert (len(longest), len(longer)) == (2048, 2049)
    assert proven(send(wire, longest))
    bad(send(wire, longer))
    bad(send(wire, of_length(2049 + 1000)))


def test_an_assertion_serves_once(wire: Wire, signers: None, clock: FrozenDateTimeFactory) -> None:
    for first, second in product(PATHS, PATHS):
        text = assertion()
        assert proven(send(wire, text, first))
        bad(send(wire, text, second))
    same = claims_of(jti="j" * 64, exp=NOW + 300)
    by = [assertion(**same), assertion(**(same | {"aud": ISSUER[:-1], "exp": NOW + 200}))]
    assert proven(send(wire, by[0]))
    bad(send(wire, by[1]))  # another text, but the same jti
    others = assertion("other-signer", jti="j" * 64)
    assert proven(send(wire, others)), "a jti is its client's own"
    clock.tick(250)
    bad(send(wire, by[0]))


def test_a_refused_assertion_uses_nothing_up(wire: Wire, signers: None) -> None:
    jti = "once-only"
    for changes in ({"aud": "x"}, {"exp": NOW - 60}, {"iss": "app"}, {"key": "other-signer"}):
        bad(send(wire, assertion(jti=jti, **({"key": "signer"} | changes))))
    bad(send(wire, assertion(jti=jti), client_id="app"))
    assert proven(send(wire, assertion(jti=jti)))


def test_each_of_several_keys_serves(wire: Wire, server: Server, signers: None) -> None:
    add_client_key(server, "signer", "PS256", "second")
    assert proven(send(wire, assertion()))
    assert proven(send(wire, assertion(alg="PS256", key="second")))
    bad(send(wire, assertion(alg="RS256", key="second")))
    bad(send(wire, assertion(alg="PS256")))


def test_keys_do_not_serve_a_client_of_another_method(wire: Wire, server: Server, signers: None) -> None:
    for client_id in ("app", "phone-app"):
        add_client_key(server, client_id, "RS256", "signer")
        bad(send(wire, assertion(client_id, key="signer")))
    with server.db.write() as conn:
        clients.update_client(conn, "signer", is_enabled=False)
    bad(send(wire, assertion()))


def test_a_signing_client_has_no_secret(wire: Wire, server: Server, signers: None, cast: Cast) -> None:
    with server.db.write() as conn:
        clients.update_client(conn, "signer", secret_digests=list(cast.app.secret_digests))
    for path in PATHS:
        not_proven(ask(wire, path, {"client_id": "signer", "client_secret": APP_SECRET}))
        not_proven(ask(wire, path, {}, basic("signer", APP_SECRET)), by_basic=True)
        not_proven(ask(wire, path, {"client_id": "signer"}))


@pytest.fixture(params=KINDS)
def live(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    with serving(templates, request.param, tmp_path_factory.mktemp("live"), workers=4) as found:
        yield found


@pytest.mark.races
def test_of_sixteen_uses_at_once_one_succeeds(live: Live) -> None:
    making.make_cast(live.server)
    make_signer(live.server)
    rounds, now = size(10, 200), int(making.now().timestamp())
    for _ in range(rounds):
        text = assertion(aud=live.base + "/", exp=now + 1800)
        members = {"token": "x", "client_assertion": text, "client_assertion_type": ASSERTION_TYPE}
        answers = live.at_once([form_request(live, "/oauth/revoke", members)] * 16)
        assert sorted(answer.status for answer in answers) == [200] + [401] * 15
    report("an assertion serves once", tried=f"{rounds} rounds x 16, 4 workers", held="one success a round")
