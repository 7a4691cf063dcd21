"""Tokens that this server never issued, or not for this: each is refused, all with one text an endpoint (T24).

Every forgery is the best one of its kind: where only the claims are wrong, the signature is the server's own.
"""

import base64
import hashlib
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from freezegun.api import FrozenDateTimeFactory

from app.context import Server
from app.store import signing_keys
from app.store.signing_keys import SigningKey
from app.tokens import signing
from tests.conftest import NOON
from tests.evidence import report
from tests.jose import GONE, ISSUER, NOW, b64, changed, dumps, private_key, private_pem, public_jwk, token_of
from tests.making import API, APP_SECRET, Cast, grant_scopes, make_api
from tests.wire import FULL, Wire, code_of, told

USERINFO, MFA = ISSUER + "userinfo", ISSUER + "mfa/"
MFA_SCOPE = "enroll read:authenticators remove:authenticators"

Forgeries = Iterator[tuple[str, str]]


def add_key(
    server: Server, name: str, state: str, alg: str = "RS256", days_ago: int | None = None
) -> SigningKey:
    sealed = server.keyring.seal(private_pem(name), f"signing_keys/{name}")
    retired = None if days_ago is None else NOON - timedelta(days=days_ago)
    key = SigningKey(name, alg, state, sealed, public_jwk(name, alg), NOON, retired_at=retired)
    with server.db.write() as conn:
        signing_keys.add_key(conn, key)
    return key


@dataclass
class Keys:
    """One key in each state, and of each other algorithm one."""

    current: SigningKey
    expired: SigningKey
    previous: SigningKey
    revoked: SigningKey
    next: SigningKey
    others: dict[str, SigningKey]
    private: dict[str, Any]

    @property
    def stranger(self) -> rsa.RSAPrivateKey:
        found: rsa.RSAPrivateKey = private_key("stranger")
        return found


@pytest.fixture
def keys(server: Server, cast: Cast, clock: FrozenDateTimeFactory) -> Keys:
    others = {alg: add_key(server, alg, "current", alg) for alg in ("ES256", "PS256", "RS512")}
    for alg in others:
        add_key(server, f"next-{alg}", "next", alg)
        make_api(server, f"https://{alg}.example.com", signing_alg=alg)
    add_key(server, "expired", "previous", days_ago=31)
    add_key(server, "previous", "previous", days_ago=29)
    add_key(server, "revoked", "revoked", days_ago=1)
    with server.db.read() as conn:
        found = {key.kid: key for key in signing_keys.list_keys(conn)}
    state = {key.state: key for key in found.values() if key.alg == "RS256"}
    private = {
        kid: serialization.load_pem_private_key(
            server.keyring.open(key.sealed_private, f"signing_keys/{kid}"), None
        )
        for kid, key in found.items()
    }
    old, young = found["expired"], found["previous"]
    return Keys(state["current"], old, young, found["revoked"], state["next"], others, private)


@dataclass
class Forge:
    """Makes tokens like one that is accepted. `claims` and `header` are the accepted one's."""

    keys: Keys
    claims: dict[str, Any]

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "RS256", "typ": "JWT", "kid": self.keys.current.kid}

    @property
    def key(self) -> Any:
        return self.keys.private[self.keys.current.kid]

    def token(self, header: object = None, claims: object = None, key: Any = None, alg: str = "RS256") -> str:
        return token_of(
            self.header if header is None else header,
            self.claims if claims is None else claims,
            self.key if key is None else key,
            alg,
        )

    def with_header(self, **changes: object) -> str:
        return self.token(changed(self.header, **changes))

    def with_claims(self, **changes: object) -> str:
        return self.token(claims=changed(self.claims, **changes))

    def by(self, key: SigningKey) -> str:
        return self.token(self.header | {"kid": key.kid}, key=self.keys.private[key.kid])


@pytest.fixture
def for_userinfo(keys: Keys, cast: Cast) -> Forge:
    claims = {"iss": ISSUER, "sub": cast.alice.id, "aud": [API, USERINFO], "iat": NOW, "exp": NOW + 600}
    return Forge(keys, claims | {"scope": "openid", "azp": "app", "gty": "password"})


@pytest.fixture
def for_mfa(keys: Keys, cast: Cast) -> Forge:
    claims = {"iss": ISSUER, "sub": cast.alice.id, "aud": MFA, "iat": NOW, "exp": NOW + 600, "jti": "j" * 22}
    claims |= {"scope": MFA_SCOPE, "azp": "app", "gty": "password"}
    return Forge(keys, claims | {"methods": [["pwd", NOW], ["totp", NOW]]})


# --- the corpus ----------------------------------------------------------------------------------------------------

NONES = ["none", "None", "NONE", "nOnE", "none ", "\u0000none", "", " ", "null", None, GONE, [], ["RS256"]]
NONES += [
    ["none", "RS256"],
    {},
    {"RS256": 1},
    0,
    True,
    "RS256\u0000",
    "rs256",
    "Rs256",
    "RS256 ",
    "RS",
    "*",
    "dir",
]


def without_algorithm(forge: Forge) -> Forgeries:
    real = forge.token().rpartition(".")[2]
    for number, alg in enumerate(NONES):
        header = changed(forge.header, alg=alg)
        message = forge.token(header).rpartition(".")[0]
        for end in ("", "AA", real):
            yield f"alg {number} {alg!r} {end[:3]}", f"{message}.{end}"
        yield f"alg {number} signed", forge.token(header)


def with_the_public_key_as_secret(forge: Forge) -> Forgeries:
    public = forge.key.public_key()
    spki, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    pem = public.public_bytes(serialization.Encoding.PEM, spki)
    jwk = forge.keys.current.public_jwk
    secrets = {
        "pem": pem,
        "pem without newline": pem.strip(),
        "pem crlf": pem.replace(b"\n", b"\r\n"),
        "pem base64": b"".join(pem.splitlines()[1:-1]),
        "pkcs1": public.public_bytes(serialization.Encoding.PEM, pkcs1),
        "der": public.public_bytes(serialization.Encoding.DER, spki),
        "der pkcs1": public.public_bytes(serialization.Encoding.DER, pkcs1),
        "jwk": dumps(jwk),
        "jwk spaced": json.dumps(jwk).encode(),
        "jwk sorted": json.dumps(jwk, sort_keys=True).encode(),
        "jwks": dumps({"keys": [jwk]}),
        "n": str(jwk["n"]).encode(),
        "n raw": base64.urlsafe_b64decode(str(jwk["n"]) + "=="),
        "kid": forge.keys.current.kid.encode(),
        "thumbprint": hashlib.sha256(dumps(jwk)).digest(),
        "empty": b"",
        "nul": b"\0",
        "word": b"secret",
        "client": APP_SECRET.encode(),
        "sealed": forge.keys.current.sealed_private.encode(),
    }
    for name, secret in secrets.items():
        for alg in ("HS256", "HS384", "HS512"):
            yield f"{alg} {name}", forge.token(forge.header | {"alg": alg}, key=secret, alg=alg)
        yield f"HS256 as RS256 {name}", forge.token(key=secret, alg="HS256")


def with_swapped_algorithms(forge: Forge) -> Forgeries:
    for alg in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        yield f"{alg} by its own rules", forge.token(forge.header | {"alg": alg}, alg=alg)
        yield f"{alg} over an RS256 signature", forge.token(forge.header | {"alg": alg})
        yield f"RS256 over a {alg} signature", forge.token(alg=alg)
    for alg in ("ES256", "ES384", "ES512", "ES256K", "EdDSA", "RSA-OAEP", "A128KW", "ML-DSA-65"):
        yield f"{alg} over an RS256 signature", forge.token(forge.header | {"alg": alg})
    for alg, key in forge.keys.others.items():
        private = forge.keys.private[key.kid]
        yield f"{alg} signature, kid RS256", forge.token(key=private, alg=alg)
        yield f"{alg} key, kid RS256", forge.token(forge.header | {"alg": alg}, key=private, alg=alg)
        yield f"{alg} kid, RS256", forge.token(forge.header | {"kid": key.kid})
        yield f"{alg} kid and alg, RS256 signature", forge.token(forge.header | {"kid": key.kid, "alg": alg})
    es = forge.keys.others["ES256"].kid
    head, body, _ = forge.token(forge.header | {"alg": "ES256", "kid": es}).split(".")
    der = b"\x30\x06\x02\x01\x01\x02\x01\x01"
    for kid_name, first in (
        ("ES256", head),
        ("RS256", forge.token(forge.header | {"alg": "ES256"}).split(".")[0]),
    ):
        for name, raw in (
            ("zero", bytes(64)),
            ("one", (bytes(31) + b"\1") * 2),
            ("max", b"\xff" * 64),
            ("der", der),
        ):
            yield f"ES256 {name} kid {kid_name}", f"{first}.{body}.{b64(raw)}"


def with_other_header_members(forge: Forge, port: int) -> Forgeries:
    stranger = forge.keys.stranger
    jwk = public_jwk("stranger", "RS256") | {"kid": "mine"}
    here = f"http://127.0.0.1:{port}/jwks.json"
    embedded: dict[str, object] = {
        "jwk": jwk,
        "jku": here,
        "x5u": here,
        "x5c": ["MIIB"],
        "x5t": "a",
        "x5t#S256": "a",
    }
    for name, value in embedded.items():
        for kid in (forge.keys.current.kid, "mine", GONE):
            header = changed(forge.header, **{name: value, "kid": kid})
            yield f"{name} by a stranger, kid {kid!r}", forge.token(header, key=stranger)
        yield f"{name} signed by us", forge.with_header(**{name: value})
    for place in (
        "https://evil.example/k",
        "file:///etc/passwd",
        "//evil.example",
        "data:,x",
        ISSUER + "../k",
    ):
        yield f"jku {place}", forge.token(forge.header | {"jku": place}, key=stranger)
    crits: list[object] = [[], ["exp"], ["b64"], ["alg"], ["kid", "typ"], ["x"], "exp", None, {}, [1], 1]
    for number, crit in enumerate(crits):
        yield f"crit {number}", forge.with_header(crit=crit)
        yield f"crit {number} with what it names", forge.with_header(crit=crit, exp=NOW + 9, b64=True, x=1)
    for name, value in (
        ("b64", False),
        ("b64", True),
        ("zip", "DEF"),
        ("zip", None),
        ("cty", "JWT"),
        ("enc", "A128GCM"),
    ):
        yield f"{name} {value}", forge.with_header(**{name: value})
    for name in (
        "iss",
        "exp",
        "aud",
        "sub",
        "epk",
        "apu",
        "p2c",
        "p2s",
        "url",
        "nonce",
        "iv",
        "tag",
        "Kid",
        "ALG",
        "",
    ):
        yield f"member {name!r}", forge.with_header(**{name: "x"})


KIDS: list[Any] = [
    GONE,
    None,
    "",
    " ",
    0,
    1,
    True,
    [],
    {},
    "current",
    "../../../etc/passwd",
    "/dev/null",
    "\u0000",
]
KIDS += [
    "file:///dev/null",
    "http://127.0.0.1/key",
    "' OR '1'='1",
    "x' UNION SELECT 'a', 'RS256' --",
    "%",
    "_" * 21,
]
KIDS += [
    "a" * 64,
    "a" * 65,
    "a" * 9000,
    "k\u00efd",
    "\U0001f511",
    "\ud800",
    "$(id)",
    "{{7*7}}",
    "${jndi:ldap://a}",
]


def with_other_kids(forge: Forge) -> Forgeries:
    own = forge.keys.current.kid
    for kid in [
        *KIDS,
        f" {own}",
        f"{own} ",
        f"{own}\u0000",
        f"{own}\n",
        own.swapcase(),
        own[:-1],
        [own],
        {"a": own},
    ]:
        yield f"kid {str(kid)[:40]!r}", forge.with_header(kid=kid)
    yield "kid of the stranger's key", forge.token(key=forge.keys.stranger)
    for name in ("expired", "revoked", "next"):
        yield f"the {name} key", forge.by(getattr(forge.keys, name))
        yield (
            f"the {name} key under the current kid",
            forge.token(key=forge.keys.private[getattr(forge.keys, name).kid]),
        )


TYPES: list[Any] = [
    GONE,
    None,
    "",
    "jwt",
    "Jwt",
    "JWT ",
    "JWE",
    "JOSE",
    "at+JWT",
    "AT+JWT",
    "application/at+jwt",
]
TYPES += [
    "application/jwt",
    "dpop+jwt",
    "logout+jwt",
    "id+jwt",
    "JWT\u0000",
    1,
    [],
    ["JWT"],
    {"JWT": 1},
    "a" * 300,
]


def with_other_headers(forge: Forge) -> Forgeries:
    for typ in TYPES:
        yield f"typ {str(typ)[:40]!r}", forge.with_header(typ=typ)
    text = json.dumps(forge.header)
    kid = json.dumps(forge.keys.current.kid)
    raw = {
        "alg twice": text[:-1] + ',"alg":"none"}',
        "alg twice, none first": '{"alg":"none",' + text[1:],
        "the same alg twice": text[:-1] + ',"alg":"RS256"}',
        "kid twice": f'{{"kid":"x",{text[1:]}',
        "typ twice": text[:-1] + ',"typ":"JWT"}',
        "escaped name twice": text[:-1] + ',"\\u0061lg":"none"}',
        "array": f"[{text}]",
        "string": json.dumps(text),
        "null": "null",
        "number": "1",
        "empty": "",
        "empty object": "{}",
        "comma": text[:-1] + ",}",
        "tail": text + "x",
        "two": text + text,
        "bom": "\ufeff" + text,
        "single quotes": text.replace('"', "'"),
        "comment": "/**/" + text,
        "nested": text[:-1] + ',"typ":' + "[" * 2000 + "]" * 2000 + "}",
        "nan": f'{{"alg":"RS256","typ":NaN,"kid":{kid}}}',
    }
    for name, header in raw.items():
        yield f"header {name}", forge.token(header.encode())
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-32-be"):
        yield f"header {encoding}", forge.token(text.encode(encoding))
    yield "header latin-1", forge.token(text.replace("JWT", "\xff").encode("latin-1"))


def with_other_texts(forge: Forge) -> Forgeries:
    good = forge.token()
    head, body, sign = good.split(".")
    raw = base64.urlsafe_b64decode(sign + "==")
    for name, flip in (("first", 0), ("last", 255)):
        flipped = raw[:flip] + bytes([raw[flip] ^ 1]) + raw[flip + 1 :]
        yield f"{name} bit of the signature", f"{head}.{body}.{b64(flipped)}"
    for name, other in (
        ("short", raw[:-1]),
        ("long", raw + b"\0"),
        ("front", b"\0" + raw),
        ("zero", bytes(256)),
    ):
        yield f"signature {name}", f"{head}.{body}.{b64(other)}"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(sign[-1])
    for bits in range(1, 16):
        yield f"trailing bits {bits}", good[:-1] + alphabet[last ^ bits]
    for pad in (
        "=",
        "==",
        " ",
        "\n",
        "\t",
        "%20",
        "\u200b",
        "A",
        "AAAA",
        "+",
        "/",
        "!",
        "\0",
        "\r\n",
        "\xa0",
    ):
        yield f"behind the header {pad!r}", f"{head}{pad}.{body}.{sign}"
        yield f"behind the claims {pad!r}", f"{head}.{body}{pad}.{sign}"
        yield f"in the signature {pad!r}", f"{head}.{body}.{sign[:9]}{pad}{sign[9:]}"
        if not pad.isspace():  # around a token, HTTP itself takes blanks away
            yield f"behind the signature {pad!r}", good + pad
    for shape in (
        "{h}.{b}",
        "{h}.{b}.",
        ".{b}.{s}",
        "{h}..{s}",
        "..",
        "...",
        "{h}.{b}.{s}.",
        ".{h}.{b}.{s}",
        "{s}.{b}.{h}",
    ):
        yield f"shape {shape}", shape.format(h=head, b=body, s=sign)
    for shape in (
        "{h}.{b}.{s}.{s}",
        "{h}.{b}.{s}.{s}.{s}",
        "{h}.{s}",
        "{h} {b} {s}",
        "{h}\uff0e{b}\uff0e{s}",
        "{b}.{h}.{s}",
    ):
        yield f"shape {shape}", shape.format(h=head, b=body, s=sign)
    yield "json serialisation", json.dumps({"payload": body, "protected": head, "signature": sign})
    yield "nested", forge.token(claims=good.encode())
    yield "quoted", f'"{good}"'
    yield "too long", forge.with_claims(padding="a" * 9000)
    yield "upper case", good.upper()


MOMENTS: list[Any] = [
    GONE,
    None,
    "",
    "0",
    str(NOW + 600),
    NOW + 600.5,
    True,
    False,
    [],
    [NOW + 600],
    {},
    -1,
    0,
]
ISSUERS: list[Any] = [
    GONE,
    None,
    "",
    ISSUER[:-1],
    ISSUER + "/",
    ISSUER + "x",
    "x" + ISSUER,
    ISSUER[1:],
    ISSUER.upper(),
]
ISSUERS += [
    "http://127.0.0.1:8000.evil.example/",
    "http://127.0.0.1/",
    "https://127.0.0.1:8000/",
    "/",
    [ISSUER],
    [[ISSUER]],
]
ISSUERS += [{"iss": ISSUER}, 1, True, f"{ISSUER} ", f"{ISSUER}\u0000", f"http://evil.example/?{ISSUER}"]


def with_other_claims(forge: Forge) -> Forgeries:
    for issuer in ISSUERS:
        yield f"iss {issuer!r}", forge.with_claims(iss=issuer)
    own = forge.claims["aud"] if isinstance(forge.claims["aud"], str) else forge.claims["aud"][1]
    audiences = [
        GONE,
        None,
        "",
        [],
        own[:-1],
        own + "x",
        "x" + own,
        own.upper(),
        own + " ",
        [own[:-1]],
        [own + "\0"],
    ]
    audiences += [
        f"{own} {own}",
        f"{own},x",
        [[own]],
        {"aud": own},
        {own: 1},
        1,
        True,
        "app",
        API,
        [API, "app"],
        ISSUER,
    ]
    audiences += [
        "*",
        own.replace("http", "https"),
        [None, 1],
        own.partition("8000")[2],
        [own.partition("8000")[2]],
    ]
    for audience in audiences:
        yield f"aud {audience!r}", forge.with_claims(aud=audience)
    for moment in [*MOMENTS, NOW, NOW - 1, NOW - 10**6, -(10**20)]:
        yield f"exp {moment!r}", forge.with_claims(exp=moment)
    for moment in MOMENTS[:-2]:
        yield f"iat {moment!r}", forge.with_claims(iat=moment)
    for moment in (NOW + 60, NOW + 10**6, "x", None, [], {}, "1e400", float("1e400"), float("nan")):
        yield f"nbf {moment!r}", forge.with_claims(nbf=moment)
    subject: Any
    for subject in (
        GONE,
        None,
        "",
        0,
        1,
        True,
        [],
        {},
        [forge.claims["sub"]],
        "auth0|nobody",
        "app@clients",
        "%",
    ):
        yield f"sub {subject!r}", forge.with_claims(sub=subject)


def with_other_clients(forge: Forge) -> Forgeries:
    client: Any
    for client in (GONE, None, "", 0, True, [], {}, ["app"], "nobody", "app ", "APP"):
        yield f"azp {client!r}", forge.with_claims(azp=client)


def with_raw_claims(forge: Forge) -> Forgeries:
    text = json.dumps(forge.claims)
    for literal in (
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "1" * 5000,
        "0x7fffffff",
        "1.0",
        "1e1",
    ):
        for name in ("exp", "iat"):
            changed = json.dumps(forge.claims | {name: "@"}).replace('"@"', literal)
            yield f"{name} {literal[:12]}", forge.token(claims=changed.encode())
    raw = {
        "exp twice": text[:-1] + f',"exp":{NOW + 10**9}}}',
        "sub twice": text[:-1] + f',"sub":{json.dumps(forge.claims["sub"])}}}',
        "aud twice": '{"aud":"x",' + text[1:],
        "array": f"[{text}]",
        "string": json.dumps(text),
        "null": "null",
        "number": "1",
        "empty": "{}",
        "nothing": "",
        "text": "hello",
        "tail": text + "}",
        "nested": text[:-1] + ',"a":' + "[" * 2000 + "]" * 2000 + "}",
    }
    for name, claims in raw.items():
        yield f"claims {name}", forge.token(claims=claims.encode())
    yield (
        "claims latin-1",
        forge.token(claims=text.replace("openid", "\xff").replace("enroll", "\xff").encode("latin-1")),
    )
    yield (
        "claims of another",
        f"{forge.token().partition('.')[0]}.{b64(dumps(forge.claims | {'sub': 'x'}))}."
        + (forge.token().rpartition(".")[2]),
    )


def without_what_factors_need(forge: Forge) -> Forgeries:
    """Only for the own factors: claims that no other token has."""
    yield "typ at+jwt", forge.with_header(typ="at+jwt")
    value: Any
    for name in ("methods", "gty", "jti"):
        for value in (GONE, None, 1, {}, [1], "x"):
            if (name, value) not in (("gty", "x"), ("jti", "x")):
                yield f"{name} {value!r}", forge.with_claims(**{name: value})


def corpus(forge: Forge, port: int) -> dict[str, str]:
    makers = [without_algorithm, with_the_public_key_as_secret, with_swapped_algorithms, with_other_kids]
    makers += [with_other_headers, with_other_texts, with_other_claims, with_raw_claims]
    found = {name: token for maker in makers for name, token in maker(forge)}
    return found | dict(with_other_header_members(forge, port))


# --- the doors -----------------------------------------------------------------------------------------------------

_outgoing: list[object] = []
sys.addaudithook(
    lambda event, args: _outgoing.append(args) if event in ("socket.connect", "socket.getaddrinfo") else None
)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a listener that nobody may knock at; nor may anything else be connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _outgoing.clear()
        yield int(listener.getsockname()[1])
        assert _outgoing == []
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def answers_of(wire: Wire, path: str, tokens: dict[str, str]) -> dict[str, tuple[int, str]]:
    """By name what a bearer of each token hears."""
    heard = {}
    for name, token in tokens.items():
        header = {"HTTP_AUTHORIZATION": f"Bearer {token}".encode("utf-8", "surrogatepass").decode("latin-1")}
        answer = wire.client.get(path, environ_overrides=header)
        heard[name] = answer.status_code, told(answer) + answer.headers.get("WWW-Authenticate", "")
    return heard


def all_alike(heard: dict[str, tuple[int, str]], status: int, text: str) -> None:
    strange = [
        f"{name}: {got} {body[:90]}" for name, (got, body) in heard.items() if (got, body) != (status, text)
    ]
    assert not strange, "\n".join(strange)


def test_the_corpus_is_large(for_userinfo: Forge, for_mfa: Forge) -> None:
    for forge in (for_userinfo, for_mfa):
        found = corpus(forge, 1)
        assert len(set(found.values())) >= 500
        assert forge.token() not in found.values()


def test_our_own_tokens_are_accepted(wire: Wire, keys: Keys, for_userinfo: Forge, for_mfa: Forge) -> None:
    """The control: what the forgeries are made from opens every door."""
    accepted = {
        "current": for_userinfo.token(),
        "previous": for_userinfo.by(keys.previous),
        "at+jwt": for_userinfo.with_header(typ="at+jwt"),
        "one audience": for_userinfo.with_claims(aud=USERINFO),
        "last second": for_userinfo.with_claims(exp=NOW + 1),
        "more claims": for_userinfo.with_claims(nbf=NOW, jti="a"),
    }
    all_alike(
        answers_of(wire, "/userinfo", accepted),
        200,
        json.dumps({"sub": for_userinfo.claims["sub"]}, separators=(",", ":")),
    )
    for token in (for_mfa.token(), for_mfa.by(keys.previous), for_mfa.with_claims(aud=[MFA, API])):
        assert len(wire.ok_list(wire.get("/mfa/authenticators", token))) == 2


@pytest.mark.slow
def test_no_forgery_opens_userinfo(wire: Wire, for_userinfo: Forge, port: int) -> None:
    tokens = corpus(for_userinfo, port) | dict(with_other_clients(for_userinfo))
    heard = answers_of(wire, "/userinfo", tokens)
    text = '{"error":"invalid_token","error_description":"Unauthorized"}Bearer error="invalid_token"'
    all_alike(heard, 401, text)
    report("forged tokens at /userinfo", tried=f"{len(heard)} tokens", held="0 accepted, one text")


@pytest.mark.slow
def test_no_forgery_opens_the_own_factors(wire: Wire, for_mfa: Forge, port: int) -> None:
    tokens = corpus(for_mfa, port) | dict(without_what_factors_need(for_mfa))
    tokens |= dict(with_other_clients(for_mfa))
    text = "The mfa_token provided is invalid. Try getting a new token."
    heard = answers_of(wire, "/mfa/authenticators", tokens)
    all_alike(heard, 401, f'{{"error":"invalid_grant","error_description":"{text}"}}')
    report("forged tokens at /mfa/authenticators", tried=f"{len(heard)} tokens", held="0 accepted, one text")


@pytest.mark.slow
def test_no_forgery_is_an_mfa_token(wire: Wire, cast: Cast, for_mfa: Forge, port: int) -> None:
    """With the right code beside it, which is still good in the end."""
    code = code_of(cast.alice_totp)
    expired, heard = dict[str, tuple[int, str]](), dict[str, tuple[int, str]]()
    for name, token in (corpus(for_mfa, port) | dict(without_what_factors_need(for_mfa))).items():
        if "\0" in token or len(token) > 15_000:
            continue  # refused before anybody asks what it is
        answer = wire.otp(token, code)
        # A token that was valid once may be told apart, because that is what a client needs to know.
        (expired if "is expired" in answer.text else heard)[name] = answer.status_code, told(answer)
    all_alike(heard, 403, '{"error":"invalid_grant","error_description":"Malformed mfa_token"}')
    all_alike(expired, 403, '{"error":"expired_token","error_description":"mfa_token is expired"}')
    assert set(expired) == {f"exp {moment}" for moment in (-1, 0, NOW, NOW - 1, NOW - 10**6, -(10**20))}
    for name, token in with_other_clients(for_mfa):
        assert wire.otp(token, code).status_code in (400, 403), name
    assert wire.ok(wire.otp(for_mfa.token(), code))["expires_in"] == 600
    report("forged tokens as mfa_token", tried=f"{len(heard)} tokens", held="0 accepted, one text")


def test_real_tokens_open_only_their_own_door(
    wire: Wire, server: Server, cast: Cast, keys: Keys, port: int, clock: FrozenDateTimeFactory
) -> None:
    grant_scopes(server, "app", API, "read:things")
    full = wire.login(cast.alice_totp, **FULL)
    clock.tick(30)
    own = wire.login(cast.alice_totp, audience=MFA, scope=MFA_SCOPE)["access_token"]
    machine = wire.ok(wire.token(grant_type="client_credentials", audience=API))["access_token"]
    bobs = {
        alg: wire.ok(wire.password("bob@example.com", audience=f"https://{alg}.example.com", scope="openid"))
        for alg in keys.others
    }
    opaque = wire.ok(wire.password("bob@example.com", scope="openid"))["access_token"]
    wrong = {"id": full["id_token"], "refresh": full["refresh_token"], "machine": machine}
    wrong |= {alg: tokens["access_token"] for alg, tokens in bobs.items()}
    userinfo = answers_of(wire, "/userinfo", wrong | {"mfa_token": wire.mfa_token(), "own factors": own})
    assert {status for status, _ in userinfo.values()} == {401} and len(set(userinfo.values())) == 1
    factors = answers_of(wire, "/mfa/authenticators", wrong | {"api": full["access_token"], "opaque": opaque})
    assert {status for status, _ in factors.values()} == {401} and len(set(factors.values())) == 1
    clock.tick(30)
    for token in (*wrong.values(), full["access_token"], opaque):
        answer = wire.otp(token, code_of(cast.alice_totp))
        assert (answer.status_code, told(answer)) == (
            403,
            '{"error":"invalid_grant","error_description":"Malformed mfa_token"}',
        )
    for path, token in (
        ("/userinfo", full["access_token"]),
        ("/userinfo", opaque),
        ("/mfa/authenticators", own),
    ):
        assert wire.get(path, token).status_code == 200


def test_a_revoked_key_ends_its_tokens_at_once(
    wire: Wire, server: Server, keys: Keys, for_userinfo: Forge
) -> None:
    token = for_userinfo.by(keys.previous)
    assert wire.get("/userinfo", token).status_code == 200
    with server.db.write() as conn:
        assert signing.revoke(server, conn, keys.previous.kid, NOON)
    assert wire.get("/userinfo", token).status_code == 401


def test_a_retired_key_verifies_for_thirty_days(
    wire: Wire, keys: Keys, for_userinfo: Forge, clock: FrozenDateTimeFactory
) -> None:
    lasting = for_userinfo.with_claims(exp=NOW + 10**7)
    old = Forge(keys, for_userinfo.claims | {"exp": NOW + 10**7}).by(keys.previous)  # retired 29 days ago
    clock.tick(timedelta(days=1, seconds=-1))
    assert [wire.get("/userinfo", token).status_code for token in (lasting, old)] == [200, 200]
    clock.tick(1)
    assert [wire.get("/userinfo", token).status_code for token in (lasting, old)] == [200, 401]


def test_a_token_in_the_body_or_the_address_is_none(wire: Wire, for_userinfo: Forge) -> None:
    token = for_userinfo.token()
    assert wire.client.get("/userinfo", query_string={"access_token": token}).status_code == 401
    assert wire.post("/userinfo", access_token=token).status_code == 401
    assert wire.client.post("/userinfo", headers={"Authorization": f"Bearer {token}"}).status_code == 200
