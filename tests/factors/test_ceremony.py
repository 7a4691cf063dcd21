"""What a security key, a browser or a thief may answer wrongly, over HTTP: every such answer is refused, for its own
reason, and the right one is accepted in the end. The cases are those of WebAuthn level 3, 7.1 and 7.2.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url, encode_cbor

from app.context import open_server
from app.crypto import random_token
from app.store.events import list_events
from tests import databases, making
from tests.databases import Templates
from tests.evidence import report, size
from tests.making import CAROLS_PASSWORD, Cast
from tests.security_key import BE, BS, ED, UP, UV, Json, SecurityKey, make_private_key, sign
from tests.wire import APP, MFA_WEBAUTHN, Wire, refused

OTHER_ORIGIN = "https://login.example.com"
BIG = 100_000


@dataclass
class Site:
    wire: Wire
    cast: Cast
    key: SecurityKey
    """Bob's, which said 10 when it was used last."""
    second_key: SecurityKey
    alices_key: SecurityKey
    bobs_token: str
    answered: list[str] = field(default_factory=list)

    def creation(self, types: str = "webauthn-roaming") -> tuple[str, Json]:
        """Carol, who has no factor, enrols one: her mfa_token, and what she is shown."""
        token = self.wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")
        return token, self.wire.ok(self.wire.associate(token, types))

    def request(self, **members: str) -> Json:
        """What Bob's keys are asked."""
        answer = self.wire.challenge(self.bobs_token, challenge_type="webauthn", **members)
        found: Json = self.wire.ok(answer)["authn_params_public_key"]
        return found

    def present(self, token: str, response: Any, **members: Any) -> Any:
        sent = APP | {"grant_type": MFA_WEBAUTHN, "mfa_token": token, "authn_response": response} | members
        return self.wire.post_json("/oauth/token", **sent)

    def is_refused(self, answer: Any, reason: str) -> None:
        status = 400 if reason == "member_type" else 403
        refused(answer, status, "invalid_request" if status == 400 else "invalid_grant")
        if status == 403:
            with self.wire.server.db.read() as conn:
                (event,) = list_events(conn, limit=1)
            assert (event.type, event.reason) == ("fewebauthnft", reason)
        self.answered.append(reason)


# What is judged here does not depend on the database.
@pytest.fixture(scope="module", params=databases.KINDS[: size(1, 2)])
def site(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One for all cases: a refusal changes nothing."""
    folder = tmp_path_factory.mktemp("ceremony")
    server = open_server(databases.test_settings(folder, templates.copy(request.param, folder)))
    wire, cast = Wire(server), making.make_cast(server)
    making.loosen_limits(server)  # one server for all of them
    making.switch_on(server, "webauthn-roaming", "webauthn-platform")
    bobs = making.enroll_security_key(server, cast.bob)
    second = making.enroll_security_key(server, cast.bob)
    alices = making.enroll_security_key(server, cast.alice)
    found = Site(wire, cast, bobs, second, alices, wire.mfa_token("bob@example.com"))
    bobs.counter = 10
    tokens = found.present(found.bobs_token, bobs.get(found.request()))
    assert tokens.status_code == 200, tokens.text
    found.bobs_token = wire.mfa_token("bob@example.com")
    yield found
    report(
        "WebAuthn negative cases",
        tried=f"{len(found.answered)} answers ({request.param})",
        held="all refused, each for its reason",
    )
    server.db.dispose()


# --- the parts of a response, changed ------------------------------------------------------------------------------


def with_(**members: Any) -> Callable[[Json], Json]:
    return lambda found: found | members


def without(name: str) -> Callable[[Json], Json]:
    return lambda found: {key: value for key, value in found.items() if key != name}


def in_response(**members: Any) -> Callable[[Json], Json]:
    return lambda found: found | {"response": found["response"] | members}


def response_without(name: str) -> Callable[[Json], Json]:
    return lambda found: found | {"response": without(name)(found["response"])}


def always(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def cut(to: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:to]


def more(raw: bytes) -> bytes:
    return raw + b"\0"


def flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def renamed(found: Json) -> Json:
    """Another credential's name, right in itself."""
    name = bytes_to_base64url(b"somebody else's credential")
    return found | {"id": name, "rawId": name}


Case = tuple[str, str, dict[str, Any]]

# What is wrong in the same way in both ceremonies: (name, reason, changes).
WHOLE: list[Case] = [
    ("not an object but text", "member_type", {"whole": json.dumps}),
    ("a list", "member_type", {"whole": lambda found: [found]}),
    ("a number", "member_type", {"whole": always(5)}),
    ("true", "member_type", {"whole": always(True)}),
    ("an empty object", "unknown_challenge", {"whole": always({})}),
    ("without id", "unknown_challenge", {"whole": without("id")}),
    ("id is a number", "unknown_challenge", {"whole": with_(id=7)}),
    ("id is null", "unknown_challenge", {"whole": with_(id=None)}),
    ("without rawId", "unknown_challenge", {"whole": without("rawId")}),
    ("rawId is a list", "unknown_challenge", {"whole": with_(rawId=["x"])}),
    ("without type", "unknown_challenge", {"whole": without("type")}),
    ("without response", "unknown_challenge", {"whole": without("response")}),
    ("response is a list", "unknown_challenge", {"whole": with_(response=[])}),
    ("response is text", "unknown_challenge", {"whole": with_(response="{}")}),
    ("without clientDataJSON", "unknown_challenge", {"whole": response_without("clientDataJSON")}),
    ("clientDataJSON is empty", "unknown_challenge", {"whole": in_response(clientDataJSON="")}),
    ("clientDataJSON is a number", "unknown_challenge", {"whole": in_response(clientDataJSON=1)}),
    ("clientDataJSON is no base64", "unknown_challenge", {"whole": in_response(clientDataJSON="#")}),
]
CLIENT: list[Case] = [
    ("client data are no JSON", "unknown_challenge", {"client_bytes": always(b"challenge")}),
    ("client data are a list", "unknown_challenge", {"client": always([])}),
    ("client data are null", "unknown_challenge", {"client": always(None)}),
    ("client data are cut", "unknown_challenge", {"client_bytes": cut(-1)}),
    (
        "client data are UTF-16",
        "unknown_challenge",
        {"client_bytes": lambda raw: raw.decode().encode("utf-16")},
    ),
    (
        "client data are no UTF-8",
        "unknown_challenge",
        {"client_bytes": lambda raw: b'{"a":"\xff",' + raw[1:]},
    ),
    (
        "client data with a byte order mark",
        "unknown_challenge",
        {"client_bytes": lambda r: b"\xef\xbb\xbf" + r},
    ),
    ("client data nested deeply", "unknown_challenge", {"client_bytes": always(b"[" * 5000)}),
    ("no challenge", "unknown_challenge", {"client": without("challenge")}),
    ("a challenge of nobody", "unknown_challenge", {"client": with_(challenge=random_token())}),
    ("an empty challenge", "unknown_challenge", {"client": with_(challenge="")}),
    ("the challenge is a number", "unknown_challenge", {"client": with_(challenge=1)}),
    (
        "the challenge padded",
        "unknown_challenge",
        {"client": lambda c: c | {"challenge": c["challenge"] + "="}},
    ),
    ("the challenge is half of a pair", "unknown_challenge", {"client": with_(challenge="\ud800")}),
    ("the challenge is nought", "unknown_challenge", {"client": with_(challenge="\0")}),
    ("the origin is half of a pair", "origin_not_allowed", {"client": with_(origin="\ud800\0")}),
    ("an origin of ten kilobytes", "origin_not_allowed", {"client": with_(origin="x" * 5000)}),
    ("no type", "other_ceremony", {"client": without("type")}),
    ("the type of payments", "other_ceremony", {"client": with_(type="payment.get")}),
    ("the type is a list", "other_ceremony", {"client": with_(type=["webauthn.get", "webauthn.create"])}),
    ("no origin", "origin_not_allowed", {"client": without("origin")}),
    ("another origin", "origin_not_allowed", {"client": with_(origin="https://evil.example")}),
    ("https for http", "origin_not_allowed", {"client": with_(origin="https://127.0.0.1:8000")}),
    ("another port", "origin_not_allowed", {"client": with_(origin="http://127.0.0.1:8001")}),
    ("no port", "origin_not_allowed", {"client": with_(origin="http://127.0.0.1")}),
    ("a sub-domain", "origin_not_allowed", {"client": with_(origin="http://a.127.0.0.1:8000")}),
    (
        "a domain around it",
        "origin_not_allowed",
        {"client": with_(origin="http://127.0.0.1:8000.evil.example")},
    ),
    ("somebody before it", "origin_not_allowed", {"client": with_(origin="http://evil@127.0.0.1:8000")}),
    ("a path behind it", "origin_not_allowed", {"client": with_(origin="http://127.0.0.1:8000/")}),
    ("a digit that looks alike", "origin_not_allowed", {"client": with_(origin="http://127.0.0.𝟏:8000")}),
    ("a null origin", "origin_not_allowed", {"client": with_(origin="null")}),
    (
        "an app that is not listed",
        "origin_not_allowed",
        {"client": with_(origin="android:apk-key-hash:AAAA")},
    ),
    ("the origin is a list", "origin_not_allowed", {"client": with_(origin=["http://127.0.0.1:8000"])}),
    (
        "an origin that may only read",
        "origin_not_allowed",
        {"client": with_(origin="https://reads.example.com")},
    ),
    ("inside of a foreign page", "cross_origin", {"client": with_(crossOrigin=True)}),
    ("crossOrigin is text", "cross_origin", {"client": with_(crossOrigin="false")}),
    ("a page around it", "cross_origin", {"client": with_(topOrigin="https://evil.example")}),
]


def data_cases(bad: str) -> list[Case]:
    return [
        ("another relying party", bad, {"rp_id": "evil.example"}),
        ("the relying party with a dot", bad, {"rp_id": "127.0.0.1."}),
        ("the person was not there", bad, {"flags": UV}),
        ("backed up and cannot be", bad, {"flags": UP | UV | BS}),
        ("reserved flag 1", "reserved_flags", {"flags": UP | UV | 2}),
        ("reserved flag 5", "reserved_flags", {"flags": UP | UV | 32}),
        ("extensions announced and none", bad, {"flags": UP | UV | ED}),
        ("extensions are no CBOR", bad, {"data": lambda d: d[:32] + bytes([d[32] | ED]) + d[33:] + b"\xff"}),
        ("no authenticator data", bad, {"data": always(b"")}),
        ("authenticator data cut", bad, {"data": cut(36)}),
        ("a byte too many", bad, {"data": more}),
    ]


def cose_case(name: str, change: Callable[[dict[int, Any]], Any], reason: str = "bad_attestation") -> Case:
    return (name, reason, {"cose": change})


def of_statement(**members: Any) -> Callable[[Json], Json]:
    return lambda found: found | members


CREATE: list[Case] = [
    ("the other ceremony", "other_ceremony", {"client": with_(type="webauthn.get")}),
    ("another id than rawId", "bad_attestation", {"whole": with_(id="AAAA")}),
    ("another rawId than id", "bad_attestation", {"whole": with_(rawId="AAAA")}),
    ("an empty id", "other_credential", {"whole": with_(id="", rawId="")}),
    ("another credential's name", "other_credential", {"whole": renamed}),
    ("another type", "bad_attestation", {"whole": with_(type="password")}),
    (
        "built in where a key was asked for",
        "other_attachment",
        {"whole": with_(authenticatorAttachment="platform")},
    ),
    ("an unknown attachment", "other_attachment", {"whole": with_(authenticatorAttachment="glued")}),
    ("the attachment is a list", "other_attachment", {"whole": with_(authenticatorAttachment=["platform"])}),
    ("without attestationObject", "bad_attestation", {"whole": response_without("attestationObject")}),
    ("attestationObject is empty", "bad_attestation", {"whole": in_response(attestationObject="")}),
    ("attestationObject is a number", "bad_attestation", {"whole": in_response(attestationObject=1)}),
    ("attestationObject is no base64", "bad_attestation", {"whole": in_response(attestationObject="a")}),
    *data_cases("bad_attestation"),
    ("no attested credential", "bad_attestation", {"flags": UP | UV}),
    ("cut in the middle of the credential", "bad_attestation", {"data": cut(60)}),
    ("cut in the middle of the key", "bad_attestation", {"data": cut(-5)}),
    ("an attestation cut", "bad_attestation", {"attestation_bytes": cut(-1)}),
    ("an attestation cut early", "bad_attestation", {"attestation_bytes": cut(3)}),
    ("an attestation with a byte too many", "bad_attestation", {"attestation_bytes": more}),
    ("an attestation that is a list", "bad_attestation", {"attestation": lambda a: list(a.values())}),
    ("nested a thousand deep", "bad_attestation", {"attestation_bytes": always(b"\x81" * 1000 + b"\0")}),
    ("a length of a terabyte", "bad_attestation", {"attestation_bytes": always(b"\x5b\0\0\1\0\0\0\0\0x")}),
    (
        "a member twice",
        "bad_attestation",
        {"attestation_bytes": lambda raw: b"\xa4\x63fmt\x64none" + raw[1:]},
    ),
    (
        "of indefinite length",
        "bad_attestation",
        {"attestation_bytes": lambda raw: b"\xbf" + raw[1:] + b"\xff"},
    ),
    ("no format", "bad_attestation", {"attestation": without("fmt")}),
    ("no authData", "bad_attestation", {"attestation": without("authData")}),
    ("no attStmt", "bad_attestation", {"attestation": without("attStmt")}),
    ("authData is text", "bad_attestation", {"attestation": of_statement(authData="x" * 200)}),
    ("authData is a list", "bad_attestation", {"attestation": of_statement(authData=[1] * 200)}),
    ("an unknown format", "attestation_format", {"attestation": of_statement(fmt="glued")}),
    (
        "a format that is not taken",
        "attestation_format",
        {"attestation": of_statement(fmt="android-safetynet")},
    ),
    ("a format that is a number", "attestation_format", {"attestation": of_statement(fmt=0)}),
    (
        "no statement wanted and one given",
        "bad_attestation",
        {"attestation": of_statement(attStmt={"sig": b"x"})},
    ),
    ("packed without a signature", "bad_attestation", {"attestation": of_statement(fmt="packed")}),
    (
        "packed and wrongly signed",
        "bad_attestation",
        {"attestation": of_statement(fmt="packed", attStmt={"alg": -7, "sig": b"0" * 70})},
    ),
    (
        "packed with another algorithm than the key's",
        "bad_attestation",
        {"attestation": of_statement(fmt="packed", attStmt={"alg": -257, "sig": b"0" * 70})},
    ),
    (
        "packed with a certificate that is none",
        "bad_attestation",
        {
            "attestation": of_statement(
                fmt="packed", attStmt={"alg": -7, "sig": b"0", "x5c": [b"certificate"]}
            )
        },
    ),
    (
        "fido-u2f without a certificate",
        "bad_attestation",
        {"attestation": of_statement(fmt="fido-u2f", attStmt={"sig": b"0" * 70})},
    ),
    cose_case("a key that is empty", always({})),
    cose_case("a key that is a list", always([1, 2, 3])),
    cose_case("a key that is the number 4", always(4)),
    cose_case("a key that is bytes", always(b"\4" + bytes(64))),
    cose_case("a key without its type", lambda k: {n: v for n, v in k.items() if n != 1}),
    cose_case("a key without algorithm", lambda k: {n: v for n, v in k.items() if n != 3}),
    cose_case("a key without x", lambda k: {n: v for n, v in k.items() if n != -2}),
    cose_case("a key without y", lambda k: {n: v for n, v in k.items() if n != -3}),
    cose_case("a key that says it is RSA", lambda k: k | {1: 3}, "bad_attestation"),
    cose_case("a key of an unknown type", lambda k: k | {1: 9}),
    cose_case("a key of an unknown curve", lambda k: k | {-1: 99}),
    cose_case("a point off the curve", lambda k: k | {-3: bytes(31) + b"\1"}),
    cose_case("a point that is nought", lambda k: k | {-2: bytes(32), -3: bytes(32)}),
    cose_case("a coordinate that is text", lambda k: k | {-2: "x" * 32}),
    cose_case("ES384, which was not offered", lambda k: k | {3: -35}),
    cose_case("PS256, which was not offered", lambda k: k | {3: -37}),
    cose_case("SHA-1, which nobody should offer", lambda k: k | {3: -65535}),
    cose_case("ML-DSA, which was not offered", always({1: 7, 3: -48, -1: bytes(1312)})),
    cose_case("an algorithm for another type of key", lambda k: k | {3: -257}, "key_not_accepted"),
    cose_case("Ed448", always({1: 1, 3: -8, -1: 7, -2: bytes(57)})),
    cose_case("a short Ed25519 key", always({1: 1, 3: -8, -1: 6, -2: bytes(31)})),
    cose_case("RSA without modulus", always({1: 3, 3: -257, -2: b"\1\0\1"})),
    cose_case("RSA with an even exponent", always({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\2"})),
    cose_case("a huge number for an algorithm", lambda k: k | {3: 2**70}),
]
GET: list[Case] = [
    ("the other ceremony", "other_ceremony", {"client": with_(type="webauthn.create")}),
    ("an id that nobody has", "no_candidate", {"whole": renamed}),
    ("an empty id", "no_candidate", {"whole": with_(id="", rawId="")}),
    ("another rawId than id", "bad_assertion", {"whole": with_(rawId="AAAA")}),
    ("the id padded", "no_candidate", {"whole": lambda f: f | {"id": f["id"] + "="}}),
    ("another type", "bad_assertion", {"whole": with_(type="password")}),
    ("an unknown attachment", "bad_assertion", {"whole": with_(authenticatorAttachment="glued")}),
    ("without authenticatorData", "bad_assertion", {"whole": response_without("authenticatorData")}),
    ("authenticatorData is a number", "bad_assertion", {"whole": in_response(authenticatorData=1)}),
    ("authenticatorData is no base64", "bad_assertion", {"whole": in_response(authenticatorData="a")}),
    ("without signature", "bad_assertion", {"whole": response_without("signature")}),
    ("signature is a number", "bad_assertion", {"whole": in_response(signature=1)}),
    ("somebody else's user handle", "other_user_handle", {"whole": in_response(userHandle="AAAA")}),
    ("the user handle is a number", "other_user_handle", {"whole": in_response(userHandle=4)}),
    ("the user handle is a list", "bad_assertion", {"whole": in_response(userHandle=[])}),
    *data_cases("bad_assertion"),
    ("an attestation in the place of a signature", "bad_assertion", {"flags": UP | UV | 64}),
    ("the key can be synced all at once", "sync_changed", {"flags": UP | UV | BE}),
    ("signed something else", "bad_assertion", {"signed": always(b"something else")}),
    ("signed the data without the page", "bad_assertion", {"signed": cut(37)}),
    ("signed with one bit changed", "bad_assertion", {"signed": flipped}),
    ("the signature with one bit changed", "bad_assertion", {"signature": flipped}),
    ("the signature cut", "bad_assertion", {"signature": cut(-1)}),
    ("the signature empty", "bad_assertion", {"signature": always(b"")}),
    ("the signature of nought", "bad_assertion", {"signature": always(b"\x30\6\2\1\0\2\1\0")}),
    ("the signature with a byte too many", "bad_assertion", {"signature": more}),
    ("the signature raw and not DER", "bad_assertion", {"signature": always(bytes(64))}),
]


def table(*parts: list[Case]) -> pytest.MarkDecorator:
    cases = [case for part in parts for case in part]
    names = [name for name, _, _ in cases]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize(("reason", "changes"), [case[1:] for case in cases], ids=names)


def test_there_are_more_than_a_hundred_cases() -> None:
    assert len(WHOLE) + len(CLIENT) + len(CREATE) > 100 and len(WHOLE) + len(CLIENT) + len(GET) > 80


@table(WHOLE, CLIENT, CREATE)
def test_a_wrong_registration_is_refused(site: Site, reason: str, changes: dict[str, Any]) -> None:
    token, shown = site.creation()
    site.is_refused(
        site.present(token, SecurityKey().create(shown["authn_params_public_key"], **changes)), reason
    )
    listed = site.wire.ok_list(site.wire.get("/mfa/authenticators", token))
    assert not any(a["active"] for a in listed)


@table(WHOLE, CLIENT, GET)
def test_a_wrong_assertion_is_refused(site: Site, reason: str, changes: dict[str, Any]) -> None:
    site.is_refused(site.present(site.bobs_token, site.key.get(site.request(), **changes)), reason)


@pytest.mark.parametrize("said", [0, 1, 9, 10])
def test_a_counter_that_does_not_go_forward_is_refused(site: Site, said: int) -> None:
    copy = SecurityKey(private_key=site.key.private_key, id=site.key.id, counter=said)
    site.is_refused(site.present(site.bobs_token, copy.get(site.request())), "counter_went_back")


def test_a_counter_that_begins_again_at_its_end_is_refused(site: Site) -> None:
    copy = SecurityKey(private_key=site.key.private_key, id=site.key.id, counter=2**32 + 3)
    site.is_refused(site.present(site.bobs_token, copy.get(site.request())), "counter_went_back")


def test_other_keys_do_not_sign_for_this_one(site: Site) -> None:
    for other in (
        site.second_key,
        site.alices_key,
        SecurityKey(),
        SecurityKey(alg=-8),
        SecurityKey(alg=-257),
    ):
        forged = SecurityKey(private_key=other.private_key, id=site.key.id, counter=BIG)
        site.is_refused(site.present(site.bobs_token, forged.get(site.request())), "bad_assertion")


def test_another_person_s_key_is_refused(site: Site) -> None:
    site.is_refused(site.present(site.bobs_token, site.alices_key.get(site.request())), "no_candidate")


def test_a_key_that_was_not_asked_is_refused(site: Site) -> None:
    """`authenticator_id` names one of two; the browser was told of that one only."""
    listed = site.wire.ok_list(site.wire.get("/mfa/authenticators", site.bobs_token))
    options = site.request(authenticator_id=listed[0]["id"])
    assert [c["id"] for c in options["allowCredentials"]] == [bytes_to_base64url(site.key.id)]
    site.is_refused(site.present(site.bobs_token, site.second_key.get(options)), "no_candidate")


def test_a_challenge_that_a_newer_one_replaced_is_refused(site: Site) -> None:
    old = site.request()
    site.request()
    site.is_refused(site.present(site.bobs_token, site.key.get(old)), "challenge_void")


def test_a_challenge_of_another_login_is_refused(site: Site) -> None:
    other = site.wire.mfa_token("bob@example.com")
    site.is_refused(site.present(other, site.key.get(site.request())), "foreign_challenge")


def test_a_challenge_to_sign_does_not_register(site: Site) -> None:
    options = site.request()
    new = SecurityKey().create(options | {"user": {"id": "AAAA"}, "rp": {"id": options["rpId"]}})
    site.is_refused(site.present(site.bobs_token, new), "no_candidate")
    named = new | {"id": bytes_to_base64url(site.key.id), "rawId": bytes_to_base64url(site.key.id)}
    site.is_refused(site.present(site.bobs_token, named), "other_ceremony")


def test_a_challenge_to_register_is_not_signed(site: Site) -> None:
    token, shown = site.creation()
    options = shown["authn_params_public_key"]
    signed = site.key.get(options | {"rpId": options["rp"]["id"]})
    site.is_refused(site.present(token, signed), "other_ceremony")


def test_another_session_than_the_enrolment_s_is_refused(site: Site) -> None:
    token, shown = site.creation()
    response = SecurityKey().create(shown["authn_params_public_key"])
    site.is_refused(site.present(token, response, auth_session="another"), "other_session")
    options = site.request()
    answer = site.present(site.bobs_token, site.key.get(options), auth_session=shown["auth_session"])
    site.is_refused(answer, "other_session")


def test_a_key_that_somebody_has_is_refused(site: Site) -> None:
    token, shown = site.creation()
    known = SecurityKey(private_key=site.alices_key.private_key, id=site.alices_key.id)
    site.is_refused(site.present(token, known.create(shown["authn_params_public_key"])), "credential_known")


@pytest.mark.parametrize(
    ("name", "length", "reason"),
    [("none", 0, "bad_attestation"), ("too long", 1024, "credential_id_too_long")],
)
def test_a_credential_id_has_its_bounds(site: Site, name: str, length: int, reason: str) -> None:
    token, shown = site.creation()
    key = SecurityKey(id=bytes(length))
    site.is_refused(site.present(token, key.create(shown["authn_params_public_key"])), reason)


def test_a_weak_or_foreign_key_is_refused(site: Site) -> None:
    for key in (
        SecurityKey(alg=-257, private_key=make_private_key(-257, 1024)),
        SecurityKey(alg=-7, private_key=ec.generate_private_key(ec.SECP384R1())),
    ):
        token, shown = site.creation()
        answer = site.present(token, key.create(shown["authn_params_public_key"]))
        site.is_refused(answer, "key_not_accepted")


def test_what_is_built_in_must_have_verified_the_person(site: Site) -> None:
    token, shown = site.creation("webauthn-platform")
    options = shown["authn_params_public_key"]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    key = SecurityKey(attachment="platform", flags=UP)
    site.is_refused(site.present(token, key.create(options)), "bad_attestation")


def test_the_whole_table_in_flat_members(site: Site) -> None:
    """Okta's form has no credential id: each of the person's keys is tried, and none but the right one fits."""
    options = site.request()
    response = site.alices_key.get(options)["response"]
    flat = {
        "clientData": response["clientDataJSON"],
        **{n: response[n] for n in ("authenticatorData", "signature")},
    }
    sent = APP | {"grant_type": MFA_WEBAUTHN, "mfa_token": site.bobs_token}
    site.is_refused(site.wire.post("/oauth/token", **(sent | flat)), "bad_assertion")
    site.is_refused(site.wire.post("/oauth/token", **(sent | flat | {"signature": "%"})), "bad_assertion")
    site.is_refused(site.wire.post("/oauth/token", **(sent | {"clientData": "%"})), "unknown_challenge")
    only = {"clientData": flat["clientData"]}
    site.is_refused(site.wire.post("/oauth/token", **(sent | only)), "bad_assertion")
    refused(
        site.wire.post("/oauth/token", **sent),
        400,
        "invalid_request",
        "Missing required parameter: authn_response",
    )
    text = '"authn_response" must be of type object'
    form = site.wire.post("/oauth/token", **(sent | {"authn_response": json.dumps({"id": "x"})}))
    refused(form, 400, "invalid_request", text)


@pytest.mark.parametrize("alg", [-7, -8, -257])
def test_the_right_answer_is_taken_whatever_came_before(site: Site, alg: int) -> None:
    """Each algorithm that is offered; registered and used."""
    user = making.make_user(site.wire.server, site.cast.guests, f"alg{-alg}@example.com")
    token = site.wire.mfa_token(user.email or "", realm="guests")
    shown = site.wire.ok(site.wire.associate(token, "webauthn"))
    key = SecurityKey(alg=alg, flags=UP)
    site.wire.ok(site.present(token, key.create(shown["authn_params_public_key"])))
    token = site.wire.mfa_token(user.email or "", realm="guests")
    challenge = site.wire.ok(site.wire.challenge(token, challenge_type="webauthn"))
    site.wire.ok(site.present(token, key.get(challenge["authn_params_public_key"])))


def test_packed_self_attestation_is_taken(site: Site) -> None:
    user = making.make_user(site.wire.server, site.cast.guests, "packed@example.com")
    token = site.wire.mfa_token(user.email or "", realm="guests")
    shown = site.wire.ok(site.wire.associate(token, "webauthn-roaming"))
    key = SecurityKey()

    def attest(found: Json) -> Json:
        signature = sign(key.private_key, found["authData"] + key.client_hash)
        return found | {"fmt": "packed", "attStmt": {"alg": -7, "sig": signature}}

    site.wire.ok(site.present(token, key.create(shown["authn_params_public_key"], attestation=attest)))


def test_extensions_that_were_not_asked_for_do_no_harm(site: Site) -> None:
    """Browsers ask keys for `credProtect` by themselves."""
    said = encode_cbor({"credProtect": 2})
    changed = lambda d: d[:32] + bytes([d[32] | ED]) + d[33:] + said  # noqa: E731
    other = site.wire.mfa_token("bob@example.com")
    options = site.wire.ok(site.wire.challenge(other, challenge_type="webauthn"))["authn_params_public_key"]
    site.wire.ok(site.present(other, site.second_key.get(options, data=changed)))
