"""Anything at all, sent to any endpoint: a documented refusal in OAuth's shape, and nothing half-written (T34, T36)."""

import json
import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import quote_plus

import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.context import Server
from app.errors import Refusal, wire_code
from app.grants import GRANTS
from app.grants.client_auth import PARAMS as CLIENT_PARAMS
from app.grants.grant import Grant
from app.store import realms
from app.store.base import metadata
from app.web.body import MAX_BYTES, MAX_MEMBERS
from app.web.oauth import SECRETS
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import report, size
from tests.live import Live, raw_request, serving
from tests.making import API, APP_SECRET, PASSWORD, Cast, grant_scopes
from tests.wire import APP, Wire, bearer, code_of, refused, told

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TEXT = "a b+ä%"

POSTS = {
    "/oauth/token": ("grant_type",),
    "/oauth/revoke": ("token",),
    "/mfa/challenge": ("mfa_token", "challenge_type", "authenticator_id"),
    "/mfa/associate": ("authenticator_types",),
}
FIELDS = {path: [*names, *CLIENT_PARAMS] for path, names in POSTS.items()}
FIELDS["/oauth/token"] += sorted({param.name for grant in GRANTS.values() for param in grant.params})
CODES = {wire_code(kind) for kind in Refusal.__subclasses__()} - {"server_error", "temporarily_unavailable"}


def documented(answer: TestResponse) -> str:
    """The answer is a refusal as documented; its code."""
    assert 400 <= answer.status_code < 500, (answer.status, answer.text)
    assert answer.content_type.partition(";")[0] == JSON, answer.headers
    body = json.loads(answer.data)
    assert body["error"] in CODES, body
    assert re.fullmatch("[ -~]+", body["error_description"]), body
    return str(body["error"])


def malformed(answer: TestResponse, error: str = "invalid_request") -> None:
    assert documented(answer) == error, answer.text
    assert answer.status_code in (400, 413), answer.status


BOBS = {
    "grant_type": "password",
    "username": "bob@example.com",
    "password": PASSWORD,
    "client_id": "phone-app",
}


@pytest.mark.parametrize("path", POSTS)
def test_a_secret_in_the_address_is_refused_even_where_it_is_right(wire: Wire, cast: Cast, path: str) -> None:
    assert {"password", "otp", "mfa_token", "refresh_token", "client_secret", "token"} <= SECRETS
    text = "Credentials belong in the body, not in the address."
    for name in SECRETS:
        for query in (f"{name}={PASSWORD}", f"{name.replace('o', '%6F')}=x", f"a=b&{name}"):
            refused(wire.post(f"{path}?{query}", **BOBS), 400, "invalid_request", text)


def test_other_words_in_the_address_are_not_read(wire: Wire, cast: Cast) -> None:
    wire.ok(wire.post("/oauth/token?realm=nowhere&grant_type=x&utm_source=y", **BOBS))


_COUNTED = [
    table for name, table in metadata.tables.items() if name not in ("events", "password_attempts", "buckets")
]
_COUNTS = select(*(select(func.count()).select_from(t).scalar_subquery().label(t.name) for t in _COUNTED))


def row_counts(server: Server) -> dict[str, int]:
    with server.db.read() as conn:
        return dict(conn.execute(_COUNTS).one()._mapping)


@contextmanager
def nothing_written(server: Server) -> Iterator[None]:
    before = row_counts(server)
    yield
    assert row_counts(server) == before


# A passkey's answer is an object, which no form can carry: tests/stories/test_passkey_login.py.
every_textual_grant = pytest.mark.parametrize(
    "grant",
    [grant for grant in GRANTS.values() if not any(p.is_object and p.is_required for p in grant.params)],
    ids=lambda grant: grant.grant_type,
)


def good_requests(server: Server, wire: Wire, cast: Cast) -> dict[str, dict[str, Any]]:
    """For each grant a request that succeeds; a new grant must be added here before anything passes."""
    grant_scopes(server, "app", API, "read:things")
    asked = {"scope": "read:things", "audience": API}
    bob = wire.ok(wire.password("bob@example.com", **(asked | {"scope": "read:things offline_access"})))
    known = asked | {
        "username": "bob@example.com",
        "password": PASSWORD,
        "realm": "staff",
        "mfa_token": wire.mfa_token(),
        "otp": code_of(cast.alice_totp),
        "recovery_code": cast.alice_recovery,
        "refresh_token": bob["refresh_token"],
    }
    known |= _answers(server, wire, cast, str(known["mfa_token"]))
    return {
        name: {"grant_type": name}
        | APP
        | {param.name: known[param.name] for param in grant.params if param.name in known}
        for name, grant in GRANTS.items()
    }


# What an answer consists of, though no single one of these is required of all.
PARTS = {"binding_code", "clientData", "authenticatorData", "signature"}


def _answers(server: Server, wire: Wire, cast: Cast, mfa_token: str) -> dict[str, str]:
    """Alice's telephone and security key answer, too, in the one login."""
    making.switch_on(server, "sms", "webauthn-roaming")
    making.enroll_phone(server, cast.alice)
    key = making.enroll_security_key(server, cast.alice)
    oob_code = wire.ok(wire.challenge(mfa_token, challenge_type="oob"))["oob_code"]
    response = key.get(wire.ok(wire.challenge(mfa_token, challenge_type="webauthn"))["public_key"])[
        "response"
    ]
    return {
        "oob_code": oob_code,
        "binding_code": wire.newest_code(),
        "clientData": response["clientDataJSON"],
        "authenticatorData": response["authenticatorData"],
        "signature": response["signature"],
    }


# --- media types and bodies ----------------------------------------------------------------------------------------

MEDIA_TYPES = [
    None,
    "",
    "text/plain",
    "text/html; charset=utf-8",
    "application/xml",
    "application/octet-stream",
    "application/jsonp",
    "application/problem+json",
    "multipart/form-data",
    "multipart/form-data; boundary=b",
    "application",
    "/",
    ";",
    "*/*",
    "charset=utf-8",
    "application/json/json",
    "application/json, application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded; charset=iso-8859-1",
    'application/x-www-form-urlencoded; charset="utf-16"',
]


@pytest.mark.parametrize("path", POSTS)
def test_refuses_every_other_media_type(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    login: dict[str, Any] = APP | {
        "grant_type": "password",
        "username": "bob@example.com",
        "password": PASSWORD,
    }
    form = "&".join(f"{name}={quote_plus(value)}" for name, value in login.items())
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in login.items()
    )
    with nothing_written(server):
        for media_type, body in product(MEDIA_TYPES, (form, json.dumps(login), parts + "--b--\r\n", "")):
            malformed(wire.client.post(path, data=body.encode(), content_type=media_type))
        many = parts * 10_000
        malformed(wire.client.post(path, data=many, content_type="multipart/form-data; boundary=b"))


BODIES = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nul",
    b"null",
    b"true",
    b"0",
    b"1e999",
    b'"grant_type=password"',
    b"[]",
    b'[{"grant_type":"password"}]',
    b'[["grant_type","password"]]',
    b"{'grant_type':'password'}",
    b'{"grant_type":}',
    b'{"grant_type":"password",}',
    b'{"grant_type":"password"}{}',
    b'{"grant_type":"password"} x',
    b'{"grant_type":NaN}',
    b'{"grant_type":-Infinity}',
    b'{"grant_type":"pass\nword"}',
    b'{"grant_type":"\\x41"}',
    b'{"grant_type":"\\ud800"}',
    b'{"grant_type":"\\u0000"}',
    b'{"grant_type":"\xff"}',
    b'{"grant_type":"\xed\xa0\x80"}',
    b'{"grant_type":' + b"1" * 10_000 + b"}",
    b'\xef\xbb\xbf{"grant_type":"password"}',
    '{"grant_type":"password"}'.encode("utf-16"),
    '{"grant_type":"password"}'.encode("utf-32-le"),
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b'{"":{"__proto__":{"a":1,"a":2}}}',
]


@pytest.mark.parametrize("path", POSTS)
def test_refuses_what_is_not_one_json_object(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    with nothing_written(server):
        for body in BODIES:
            malformed(wire.client.post(path, data=body, content_type=JSON))


DEPTHS = (1, 20, 21, 100, 200, 300, 400, 490, 600, 800, 900, 1000, 5000)


def test_deep_nesting_is_no_accident(wire: Wire, server: Server, cast: Cast) -> None:
    with nothing_written(server):
        for depth, name in product(DEPTHS, ("x", "client_id")):
            arrays, objects = "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth
            for nested in (arrays, objects, '[{"":' * depth + "0" + "}]" * depth):
                body = f'{{"grant_type":"password","{name}":{nested}}}'
                for path in POSTS:
                    documented(wire.client.post(path, data=body, content_type=JSON))
                if name == "client_id":
                    malformed(wire.client.post("/oauth/token", data=body, content_type=JSON))


@pytest.mark.parametrize("path", POSTS)
def test_a_body_ends_at_its_limit(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    fits = b"client_id=app&x=" + b"a" * (MAX_BYTES - 16)
    with nothing_written(server):
        assert wire.client.post(path, data=fits, content_type=FORM).status_code < 413
        for media_type in (FORM, JSON, "text/plain"):
            answer = wire.client.post(path, data=fits + b"a", content_type=media_type)
            assert (answer.status_code, documented(answer)) == (413, "invalid_request")


@pytest.mark.parametrize("path", POSTS)
def test_a_field_of_a_mebibyte_is_too_large(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    text = "a" * 2**20
    with nothing_written(server):
        for name in FIELDS[path]:
            bodies = [(f"{name}={text}", FORM), (f'{{"{name}":"{text}"}}', JSON), (f'{{"{text}":1}}', JSON)]
            for body, media_type in bodies:
                answer = wire.client.post(path, data=body, content_type=media_type)
                assert (answer.status_code, documented(answer)) == (413, "invalid_request")


@pytest.mark.parametrize("path", POSTS)
def test_a_body_has_a_limited_number_of_members(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    fields = [f"f{number}=" for number in range(60)]
    with nothing_written(server):
        for number in (60, MAX_MEMBERS + 1):
            answer = wire.client.post(path, data="&".join(fields[:number]), content_type=FORM)
            malformed(answer)
            assert "form" in answer.text, answer.text
            malformed(wire.client.post(path, json=dict.fromkeys(fields[:number], "x")))
        allowed = wire.client.post(path, data="&".join(fields[:MAX_MEMBERS]), content_type=FORM)
        assert "form" not in allowed.text, allowed.text
        as_json = wire.client.post(path, json=dict.fromkeys(fields[:MAX_MEMBERS], "x"))
        assert told(as_json) == told(allowed)


# --- values where strings belong -----------------------------------------------------------------------------------

NOT_TEXT: list[object] = [0, -1, 1.5, True, False, [], {}, [1], [None], [["a"]], {"a": "b"}, [{}]]


@every_textual_grant
def test_every_parameter_of_every_grant_is_text(wire: Wire, server: Server, cast: Cast, grant: Grant) -> None:
    """One wrong type in a request that is right otherwise; afterwards the right one still succeeds."""
    good = good_requests(server, wire, cast)[grant.grant_type]
    lists = {param.name for param in grant.params if param.is_list}
    with nothing_written(server):
        for name in (*good, "client_assertion", "client_assertion_type"):
            for value in NOT_TEXT:
                if name in lists and value == []:  # an empty list is no word at all, as an empty text is
                    continue
                error = "invalid_scope" if name == "scope" else "invalid_request"
                malformed(wire.post_json("/oauth/token", **(good | {name: value})), error)
            if name not in lists:
                malformed(wire.post_json("/oauth/token", **(good | {name: [good.get(name, "x")]})))
    wire.ok(wire.post_json("/oauth/token", **good))


@pytest.mark.parametrize("path", POSTS)
def test_every_field_of_every_endpoint_is_text(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    rest = APP | {"grant_type": "password", "mfa_token": "x", "token": "x", "authenticator_types": "otp"}
    token = bearer(wire.mfa_token())
    if path == "/mfa/associate":
        del rest["client_secret"]
    with nothing_written(server):
        for name, value in product(FIELDS[path], NOT_TEXT):
            answer = wire.post_json(path, headers=token, **(rest | {name: value}))
            if value == [] and name in ("scope", "challenge_type", "authenticator_types"):
                documented(answer)
            else:
                malformed(answer)


@every_textual_grant
def test_no_parameter_of_any_grant_may_repeat(wire: Wire, server: Server, cast: Cast, grant: Grant) -> None:
    good = good_requests(server, wire, cast)[grant.grant_type]
    form = "&".join(f"{name}={quote_plus(value)}" for name, value in good.items())
    text = json.dumps(good)
    with nothing_written(server):
        for name, value in {**good, "unknown": "x", "": ""}.items():
            again = f"{name}={quote_plus(value)}"
            for body in (f"{form}&{again}&{again}", f"{again}&{again}&{form}", f"{form}&{again}=&{name}="):
                malformed(wire.client.post("/oauth/token", data=body, content_type=FORM))
            twice = f"{json.dumps(name)}: {json.dumps(value)}"
            for body in (f"{text[:-1]}, {twice}, {twice}}}", f"{{{twice}, {twice}, {text[1:]}"):
                malformed(wire.client.post("/oauth/token", data=body, content_type=JSON))
    wire.ok(wire.client.post("/oauth/token", data=form, content_type=FORM))


UNCLEAN_FORM = ["%00", "a%00", "\0", "%00a", "%ff", "\xff", "%ED%A0%80", "%C0%80", "%F8%88%80%80%80", "a%C3"]
UNCLEAN_JSON = [
    "\\u0000",
    "a\\u0000",
    "\\ud800",
    "\\udfff",
    "\\udc00\\ud800",
    "a\\ud83d",
    "\0",
    "\x1b",
    "\xff",
]


@pytest.mark.parametrize("path", POSTS)
def test_refuses_nul_bytes_and_broken_unicode_everywhere(
    wire: Wire, server: Server, cast: Cast, path: str
) -> None:
    with nothing_written(server):
        for name, text in product(FIELDS[path], UNCLEAN_FORM):
            for body in (f"{name}={text}", f"{name}{text}=x", f"{name}=x&other={text}"):
                malformed(wire.client.post(path, data=body.encode("latin-1"), content_type=FORM))
        for name, text in product(FIELDS[path], UNCLEAN_JSON):
            for body in (f'"{name}":"{text}"', f'"{name}{text}":1', f'"x":[{{"{name}":["{text}"]}}]'):
                malformed(wire.client.post(path, data=f"{{{body}}}".encode("latin-1"), content_type=JSON))


def test_a_nul_does_not_end_a_secret(wire: Wire, server: Server, cast: Cast) -> None:
    login: dict[str, Any] = APP | {
        "grant_type": "password",
        "username": "bob@example.com",
        "password": PASSWORD,
    }
    with nothing_written(server):
        for name in ("client_secret", "username", "password"):
            malformed(wire.post("/oauth/token", **(login | {name: login[name] + "\0"})))
            malformed(wire.post_json("/oauth/token", **(login | {name: login[name] + "\0tail"})))
    wire.ok(wire.post("/oauth/token", **login))


ODD_FORMS = "% %z %zz %u0041 %0 a%2 a=%=b =x == & && ;a;b ?a=b #a + %2 %%41 a=%26%3D [] a[]=b a[b]=c".split()


@pytest.mark.parametrize("path", POSTS)
def test_survives_percent_garbage(wire: Wire, server: Server, cast: Cast, path: str) -> None:
    with nothing_written(server):
        for odd, before in product(ODD_FORMS, ("", "grant_type=password&client_id=app&username=")):
            documented(wire.client.post(path, data=before + odd, content_type=FORM))


# --- absent --------------------------------------------------------------------------------------------------------


@every_textual_grant
def test_null_and_empty_are_absent(wire: Wire, server: Server, cast: Cast, grant: Grant) -> None:
    good = good_requests(server, wire, cast)[grant.grant_type]
    for param in (param for param in grant.params if param.is_required):
        without = {name: value for name, value in good.items() if name != param.name}
        answers = [wire.post_json("/oauth/token", **without), wire.post("/oauth/token", **without)]
        for value in ("", None):
            answers.append(wire.post_json("/oauth/token", **(without | {param.name: value})))
        answers.append(wire.post("/oauth/token", **(without | {param.name: ""})))
        texts = {(answer.status_code, told(answer)) for answer in answers}
        assert len(texts) == 1 and f"Missing required parameter: {param.name}" in answers[0].text, texts
    optional = {param.name for param in grant.params if not param.is_required} - {"audience", *PARTS}
    absent = good | dict.fromkeys(optional | {"client_assertion", "client_assertion_type"}, None)
    wire.ok(wire.post_json("/oauth/token", **absent))


def test_empty_optional_members_change_nothing(wire: Wire, cast: Cast) -> None:
    login: dict[str, Any] = APP | {
        "grant_type": "password",
        "username": "bob@example.com",
        "password": PASSWORD,
    }
    plain = wire.ok(wire.post("/oauth/token", **login))["scope"]
    empty: dict[str, Any] = dict.fromkeys(("scope", "audience", "realm", "client_assertion"), "")
    assert wire.ok(wire.post("/oauth/token", **login, **empty))["scope"] == plain
    assert wire.ok(wire.post_json("/oauth/token", **login, **empty))["scope"] == plain
    nulls: dict[str, Any] = dict.fromkeys(empty, None)
    assert wire.ok(wire.post_json("/oauth/token", **login, **nulls))["scope"] == plain
    token = wire.mfa_token()
    challenge: dict[str, Any] = APP | {"mfa_token": token, "challenge_type": "", "authenticator_id": ""}
    assert wire.ok(wire.post("/mfa/challenge", **challenge)) == {"challenge_type": "otp"}


def test_the_word_undefined_is_a_text_like_any_other(wire: Wire, server: Server, cast: Cast) -> None:
    with nothing_written(server):
        service = wire.password("bob@example.com", audience="undefined")
        assert (service.status_code, documented(service)) == (403, "access_denied")
        malformed(wire.password("bob@example.com", realm="undefined"))
        assert documented(wire.password("undefined")) == "invalid_grant"
    granted = wire.ok(wire.password("bob@example.com", scope="undefined"))
    assert "scope" not in granted or "undefined" not in granted["scope"].split()


# --- addresses -----------------------------------------------------------------------------------------------------

METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT PROPFIND SEARCH QUERY FOO".split()


def test_an_address_refuses_other_methods(wire: Wire, server: Server, cast: Cast) -> None:
    addresses = wire.client.application.url_map.bind("localhost")
    found = {re.sub("<[^>]*>", "x", rule.rule) for rule in wire.client.application.url_map.iter_rules()}
    # By address, not by rule: `/refresh-tokens/revoke` is also the name that a token could have.
    paths = {path: set(addresses.allowed_methods(path)) for path in found}
    assert len(paths) > 10
    with nothing_written(server):
        for (path, allowed), method in product(paths.items(), METHODS):
            if method in allowed:
                continue
            answer = wire.client.open(path, method=method)
            assert answer.status_code == 405, (method, path, answer.status)
            assert set(answer.headers["Allow"].split(", ")) == allowed
            if method == "HEAD":
                continue
            if path.startswith(("/api/v2/", "/appliance-mfa/", "/rich-consents/")):
                assert answer.json is not None and answer.json["errorCode"] == "no_such_method"
            else:
                assert documented(answer) == "method_not_allowed"


PATHS = [
    "/",
    "//",
    "/oauth",
    "/oauth/",
    "/oauth/token/",
    "/oauth//token",
    "//oauth/token",
    "/OAUTH/TOKEN",
    "/oauth/token%00",
    "/oauth/token%20",
    "/oauth/token;a=b",
    "/oauth/token.json",
    "/oauth/./token",
    "/oauth/../oauth/token",
    "/oauth%2ftoken%00",
    "/mfa",
    "/mfa//challenge",
    "/mfa/authenticators/",
    "/.well-known",
    "/.well-known/jwks.json/",
    "/.well-known//jwks.json",
    "/.well-known/../../etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/static/app.js",
    "/%",
    "/%00",
    "/%0d%0aX-Evil:%20yes",
    "/%ff%fe",
    "/%f0%9f%94%91",
    "/" + "a" * 8000,
    "/" + "a/" * 2000,
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_says_so_in_json(wire: Wire, server: Server, cast: Cast, method: str) -> None:
    with nothing_written(server):
        for path in PATHS:
            answer = wire.client.open(path, method=method, base_url="http://evil.example")
            assert answer.status_code in (404, 405), (path, answer.status)
            assert documented(answer) in ("not_found", "method_not_allowed")
            assert "Location" not in answer.headers and "evil" not in answer.text.lower()


IDS = ["%00", "%ff", "a%7Cb", "totp%7Cdev_x", "../x", "%0a", "a" * 9000, "%27%20OR%201=1", "%F0%9F%94%91"]


def test_authenticator_ids_may_be_anything(wire: Wire, server: Server, cast: Cast) -> None:
    secret, scope = cast.alice_totp, "read:authenticators remove:authenticators"
    access = wire.login(secret, audience="http://127.0.0.1:8000/mfa/", scope=scope)["access_token"]
    with nothing_written(server):
        for text in IDS:
            answer = wire.client.delete(f"/mfa/authenticators/{text}", headers=bearer(access))
            assert (answer.status_code, documented(answer)) == (404, "not_found")


# --- everything with everything ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """One way to fill a field. `form` and `json` are written as they are; None leaves the field out."""

    form: str | None
    json: str | None
    is_unclean: bool = False
    is_text: bool = True
    times: int = 1


GOOD = Value("", "")  # stands for what belongs into the field
ABSENT = Value(None, None)


def text(value: str) -> Value:
    return Value(quote_plus(value), json.dumps(value))


def no_text(fragment: str) -> Value:
    return Value(quote_plus(fragment), fragment, is_text=False)


VALUES = [
    *[GOOD] * 3,
    *[ABSENT] * 2,
    text(""),
    Value("null", "null"),
    Value("x", '"x"', is_unclean=True, times=2),
    *map(no_text, ["[]", '["a"]', '["a",1]', "{}", '{"a":"b"}', "0", "-1.5e300", "true"]),
    Value("%00", '"\\u0000"', is_unclean=True),
    Value("bob@example.com%00", '"bob@example.com\\u0000"', is_unclean=True),
    Value("\xff", '"\xff"', is_unclean=True),
    Value("%ED%A0%80", '"\\ud800"', is_unclean=True),
    text("a" * 400),
    Value("%zz%", '"%zz%"'),
    Value("+", '" "'),
    *map(text, ["undefined", "' OR 1=1 --", "a\r\nSet-Cookie: b", "\u202egnp.exe\u0301\U0001f511", "a.b.c"]),
    text("v1." + "A" * 64),
]
NAMES = {
    "grant_type": "",
    "client_id": "app",
    "client_secret": APP_SECRET,
    "client_assertion": None,
    "client_assertion_type": None,
    "username": "bob@example.com",
    "password": PASSWORD,
    "realm": "staff",
    "scope": "openid",
    "audience": API,
    "mfa_token": "x" * 43,
    "otp": "000000",
    "recovery_code": "A" * 24,
    "refresh_token": "v1." + "B" * 64,
} | dict.fromkeys(
    "oob_code binding_code token challenge_type authenticator_id organization resource code state n __proto__".split(),
    "x",
)
PRIME = 29


def cases(rounds: int) -> Iterator[tuple[str, dict[str, Value]]]:
    """Each round holds every pair of values of every two fields (an orthogonal array over a prime field: row (a, b)
    has the value a·j+b in column j). Every other round is thinned, so that requests get past the first mistake.
    """
    assert len(VALUES) == PRIME >= len(NAMES), "the array needs as many values as its prime"
    for number in range(rounds):
        chance = random.Random(number)
        orders = [chance.sample(VALUES, PRIME) for _ in NAMES]
        for row, (a, b) in enumerate(product(range(PRIME), repeat=2)):
            picked = {
                name: orders[j][(a * j + b) % PRIME]
                if number % 4 in (0, 3) or chance.random() < 0.1
                else GOOD
                for j, name in enumerate(NAMES)
            }
            yield (FORM if number % 2 == 0 else JSON), _with_good_values(picked, row)


def _with_good_values(picked: dict[str, Value], row: int) -> dict[str, Value]:
    grant_type = list(GRANTS)[row % len(GRANTS)]
    filled = {}
    for name, value in picked.items():
        good = grant_type if name == "grant_type" else NAMES[name]
        filled[name] = value if value is not GOOD else text(good) if good is not None else ABSENT
    return filled


def written(media_type: str, fields: dict[str, Value]) -> bytes:
    if media_type == FORM:
        pairs = [f"{n}={v.form}" for n, v in fields.items() for _ in range(v.times) if v.form is not None]
        return "&".join(pairs).encode("latin-1")
    pairs = [f'"{n}":{v.json}' for n, v in fields.items() for _ in range(v.times) if v.json is not None]
    return ("{" + ",".join(pairs) + "}").encode("latin-1")


def must_fail(media_type: str, fields: dict[str, Value]) -> bool:
    grant = GRANTS.get(
        json.loads(fields["grant_type"].json or "0") if fields["grant_type"].times == 1 else ""
    )
    if grant is None:
        return True
    read = {param.name for param in grant.params if not param.is_list} | set(CLIENT_PARAMS)
    return media_type == JSON and any(not fields[name].is_text for name in read)


@pytest.mark.slow
def test_every_pair_of_values_is_answered(wire: Wire, server: Server, cast: Cast) -> None:
    with server.db.write() as conn:  # a blocked account would answer everything alike
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    making.loosen_limits(server)
    tried, succeeded, before = 0, 0, row_counts(server)
    for media_type, fields in cases(size(4, 60)):
        answer = wire.client.post("/oauth/token", data=written(media_type, fields), content_type=media_type)
        tried += 1
        if answer.status_code == 200:
            assert not any(value.is_unclean for value in fields.values()), fields
            succeeded, before = succeeded + 1, row_counts(server)
            continue
        if any(value.is_unclean for value in fields.values()):
            malformed(answer)
        documented(answer)
        assert row_counts(server) == before, fields
    report("garbage at the token endpoint, pairwise", tried=f"{tried} requests", held="0 accidents")
    assert tried > 3000 and 0 < succeeded < tried / 4


def test_the_pairs_are_all_there() -> None:
    pairs = {
        (id(fields["username"]), id(fields["scope"])) for _, fields in cases(1) if fields["otp"] is not None
    }
    assert len(list(cases(4))) == 4 * PRIME**2 and len(pairs) >= (PRIME - 5) ** 2


# --- below HTTP ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(templates, KINDS[0], tmp_path_factory.mktemp("garbage"), workers=1) as found:
        making.make_cast(found.server)
        yield found


def hear(live: Live, request: bytes, patience: float = 1.0) -> bytes:
    """All that the server says to bytes that may be no request; when it waits for more, it hears the end."""
    heard = b""
    with live.connect() as sock:
        sock.settimeout(patience)
        try:
            sock.sendall(request)
            while chunk := sock.recv(65536):
                heard += chunk
        except TimeoutError:
            sock.settimeout(30)
            sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(65536):
                heard += chunk
        except OSError:  # it need not hear us out
            pass
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"^HTTP/1\.[01] (\d{3})", heard, re.MULTILINE)]


def unharmed(live: Live) -> None:
    assert live.process.poll() is None and live.get("/readyz").status == 200


LINES = [
    b"",
    b"\r\n\r\n",
    b"\0" * 1000,
    b"\xff\xfe\xfd\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  /  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: \0\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: a b/c\\d\r\nConnection: close\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: [::\r\nConnection: close\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\n folded: a\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: a\r\nAuthorization\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \0\r\n\r\n",
    b"GET /userinfo HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\r\n b\r\n\r\n",
    b"GET http://evil.example/userinfo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /userinfo HTTP/1.1\r\nHost: a\r\nUser-Agent: " + bytes(range(128, 256)) + b"\r\n\r\n",
]


def test_garbage_instead_of_http_harms_nobody(live: Live) -> None:
    with nothing_written(live.server):
        answers = {line: statuses(hear(live, line)) for line in LINES}
    assert all(status < 500 for heard in answers.values() for status in heard), answers
    assert sum(map(bool, answers.values())) > len(LINES) / 2, "most garbage is told what it is"
    unharmed(live)


@pytest.mark.slow
def test_random_bytes_instead_of_http_harm_nobody(live: Live) -> None:
    chance, tried = random.Random(1), size(300, 5000)
    request = raw_request("POST", "/oauth/token", live.host, b"a=b&c=d", {"Content-Type": FORM})
    counts = Counter[int]()
    with nothing_written(live.server):
        for _ in range(tried):
            mutant = bytearray(request)
            for _ in range(chance.randint(1, 6)):
                mutant[chance.randrange(len(mutant))] = chance.randrange(256)
            heard = statuses(hear(live, bytes(mutant), patience=0.1))
            assert all(400 <= status < 500 for status in heard), (bytes(mutant), heard)
            counts.update(heard or [0])
    unharmed(live)
    assert counts[0] < tried / 2, counts
    report("garbage instead of HTTP", tried=f"{tried} connections", held="0 answers above 499")


LOGIN = "&".join(
    f"{n}={quote_plus(v)}" for n, v in (APP | {"grant_type": "password", "username": "x"}).items()
)
LENGTHS = [
    "-1",
    "+5",
    "0x10",
    "1e3",
    "",
    " ",
    "abc",
    "99999999999999999999",
    "5, 6",
    "5\r\nContent-Length: 6",
]


@pytest.mark.parametrize("length", LENGTHS)
def test_refuses_a_wrong_content_length(live: Live, length: str) -> None:
    head = f"POST /oauth/token HTTP/1.1\r\nHost: {live.host}\r\nConnection: close\r\nContent-Type: {FORM}\r\n"
    with nothing_written(live.server):
        heard = hear(live, f"{head}Content-Length: {length}\r\n\r\n{LOGIN}".encode())
    assert len(statuses(heard)) <= 1 and all(400 <= status < 500 for status in statuses(heard)), heard
    unharmed(live)


def test_a_body_shorter_or_longer_than_it_says(live: Live) -> None:
    head = f"POST /oauth/token HTTP/1.1\r\nHost: {live.host}\r\nConnection: close\r\nContent-Type: {FORM}\r\n"
    with nothing_written(live.server):
        for length in (0, 1, 5, len(LOGIN) + 1, 10_000, 16_384, 16_385, 2**31, 2**63):
            heard = statuses(hear(live, f"{head}Content-Length: {length}\r\n\r\n{LOGIN}".encode()))
            assert all(400 <= status < 500 for status in heard), (length, heard)
            assert len(heard) <= 1, "what follows a body is nobody's request"
            assert heard == [400] or length > 5, length
            assert heard == [413] or not 2**14 < length < 2**32, length
    unharmed(live)


def test_a_body_in_chunks_is_read_to_its_end_and_not_beyond(live: Live) -> None:
    head = f"POST /oauth/token HTTP/1.1\r\nHost: {live.host}\r\nConnection: close\r\nContent-Type: {FORM}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    whole = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (LOGIN[:7], LOGIN[7:])) + "0\r\n\r\n"
    heard = hear(live, (head + whole).encode())
    assert statuses(heard) == [400] and b"Missing required parameter: password" in heard, heard
    endless = head + "".join(f"{1024:x}\r\n{'a' * 1024}\r\n" for _ in range(64)) + "0\r\n\r\n"
    assert statuses(hear(live, endless.encode())) == [413]
    for broken in (
        "zz\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "5\r\nab",
        "ffffffffffffffffff\r\nab\r\n0\r\n\r\n",
    ):
        assert all(400 <= status < 500 for status in statuses(hear(live, (head + broken).encode())))
    unharmed(live)


@pytest.mark.parametrize("kib", [7, 9, 31, 33, 64, 1024])
def test_oversized_headers_are_refused(live: Live, kib: int) -> None:
    for name in (
        "Authorization",
        "User-Agent",
        "X-Forwarded-For",
        "auth0-forwarded-for",
        "Origin",
        "X-Other",
    ):
        value = {"Authorization": "Bearer "}.get(name, "") + "a" * kib * 1024
        heard = hear(live, raw_request("GET", "/userinfo", live.host, b"", {name: value}))
        assert all(400 <= status < 500 for status in statuses(heard)), (name, heard[:200])
        assert kib > 30 or statuses(heard) == [401], (name, heard[:200])
    many = {f"X-{number}": "a" for number in range(kib * 40)}
    heard = hear(live, raw_request("GET", "/userinfo", live.host, b"", many))
    assert all(400 <= status < 500 for status in statuses(heard)), heard[:200]
    unharmed(live)


def test_refuses_compressed_bodies(live: Live) -> None:
    bomb = b"\x1f\x8b\x08\x00" + b"\0" * 6 + b"\xec\xc1\x01\x01" + b"\0" * 4000
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = live.send(raw_request("POST", "/oauth/token", live.host, bomb, headers))
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
