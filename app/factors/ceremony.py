"""The two ceremonies of WebAuthn level 3, as values: what a browser is asked, and whether its answer is right.

Who is asked, which challenge was open and what an answer is good for stands in `webauthn.py`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_attestation_object,
    parse_authenticator_data,
    parse_cbor,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier as Algorithm
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorAttachment,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.errors import printable

ALGORITHMS = [Algorithm.EDDSA, Algorithm.ECDSA_SHA_256, Algorithm.RSASSA_PKCS1_v1_5_SHA_256]
MIN_RSA_BITS = 2048  # 112 bits of strength (NIST 3.1.6)
MAX_ID_BYTES = 1023  # WebAuthn 7.1
# No attestation is asked for. What comes all the same is verified where that needs nobody's root certificates.
FORMATS = (AttestationFormat.NONE, AttestationFormat.PACKED, AttestationFormat.FIDO_U2F)
FLAGS_AT, RESERVED_FLAGS = (
    32,
    0b00100010,
)  # where they stand in authenticator data, and those that mean nothing

CREATE, GET = "webauthn.create", "webauthn.get"

# Whatever bytes come, they end here; memory that runs out does not.
_UNREADABLE = (
    WebAuthnException,
    InvalidSignature,
    UnsupportedAlgorithm,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class Wrong(Exception):
    """An answer that proves nothing, and the private word for why."""

    def __init__(self, reason: str, **details: object) -> None:
        self.reason = reason
        self.details = details
        super().__init__(reason)


@dataclass(frozen=True)
class Expected:
    """What an answer must be about."""

    rp_id: str
    challenge: str
    origins: tuple[str, ...]
    user_verification: str


@dataclass(frozen=True)
class Known:
    """A credential that may answer, as a browser is told of it."""

    id: str
    transports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registered:
    """A new credential."""

    id: str
    public_key: str
    counter: int
    aaguid: str
    is_synced: bool
    is_backed_up: bool
    is_user_verified: bool


@dataclass(frozen=True)
class Asserted:
    counter: int
    is_synced: bool
    is_backed_up: bool
    is_user_verified: bool


def creation_options(
    *,
    rp_id: str,
    rp_name: str,
    challenge: str,
    user_handle: bytes,
    user_name: str,
    display_name: str,
    attachment: str | None,
    resident_key: str,
    user_verification: str,
    excluded: tuple[Known, ...],
) -> dict[str, Any]:
    selection = AuthenticatorSelectionCriteria(
        authenticator_attachment=AuthenticatorAttachment(attachment) if attachment else None,
        resident_key=ResidentKeyRequirement(resident_key),
        user_verification=UserVerificationRequirement(user_verification),
    )
    return options_to_json_dict(
        generate_registration_options(
            rp_id=rp_id,
            rp_name=rp_name,
            user_name=user_name,
            user_id=user_handle,
            user_display_name=display_name,
            challenge=base64url_to_bytes(challenge),
            authenticator_selection=selection,
            exclude_credentials=[_descriptor(known) for known in excluded],
            supported_pub_key_algs=ALGORITHMS,
        )
    )


def request_options(
    *, rp_id: str, challenge: str, user_verification: str, allowed: tuple[Known, ...]
) -> dict[str, Any]:
    return options_to_json_dict(
        generate_authentication_options(
            rp_id=rp_id,
            challenge=base64url_to_bytes(challenge),
            allow_credentials=[_descriptor(known) for known in allowed],
            user_verification=UserVerificationRequirement(user_verification),
        )
    )


def _descriptor(known: Known) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(word) for word in known.transports if word in _TRANSPORTS]
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(known.id), transports=transports or None)


_TRANSPORTS = tuple(transport.value for transport in AuthenticatorTransport)


def challenge_of(client_data_json: object) -> str:
    """The challenge that a response says it answers; empty where it says none."""
    try:
        found = _client_data(client_data_json).get("challenge")
    except Wrong:
        return ""
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", found) else ""


def origin_of(client_data_json: object) -> str:
    """Where a response says that it was given, in signs that can be shown; empty where it says nothing."""
    try:
        found = _client_data(client_data_json).get("origin")
    except Wrong:
        return ""
    return printable(found)[:200] if isinstance(found, str) else ""


def _client_data(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise Wrong("malformed_client_data")
    try:
        found = json.loads(base64url_to_bytes(text).decode("utf-8"))
    except (ValueError, RecursionError):
        raise Wrong("malformed_client_data") from None
    if not isinstance(found, dict):
        raise Wrong("malformed_client_data")
    return found


def _check_client_data(credential: Mapping[str, Any], ceremony: str, expected: Expected) -> None:
    found = _client_data(credential["response"]["clientDataJSON"])
    if found.get("type") != ceremony:
        raise Wrong("other_ceremony")
    if found.get("challenge") != expected.challenge:
        raise Wrong("other_challenge")
    if found.get("origin") not in expected.origins:
        raise Wrong("origin_not_allowed", origin=printable(str(found.get("origin"))))
    # In a foreign page's frame the person cannot see whom they answer.
    if found.get("crossOrigin", False) is not False or "topOrigin" in found:
        raise Wrong("cross_origin")


def read_registration(credential: Mapping[str, Any], expected: Expected) -> Registered:
    """A new credential in the response of `navigator.credentials.create()`. Raises Wrong."""
    try:
        _check_client_data(credential, CREATE, expected)
        raw = base64url_to_bytes(credential["response"]["attestationObject"])
        if not _is_whole(raw):
            raise Wrong("bad_attestation")
        attested = parse_attestation_object(raw)
        _check_flags(parse_cbor(raw)["authData"])
        if attested.fmt not in FORMATS:
            raise Wrong("attestation_format")
        found = verify_registration_response(
            credential=dict(credential),
            expected_challenge=base64url_to_bytes(expected.challenge),
            expected_rp_id=expected.rp_id,
            expected_origin=list(expected.origins),
            require_user_verification=expected.user_verification == "required",
            supported_pub_key_algs=ALGORITHMS,
        )
        _check_key(found.credential_public_key)
        held = attested.auth_data.attested_credential_data
    except _UNREADABLE as error:
        raise Wrong("bad_attestation") from error
    if held is None or bytes_to_base64url(held.credential_id) != credential["id"]:
        raise Wrong("other_credential")  # else the row would have another name than the key
    if len(held.credential_id) > MAX_ID_BYTES:
        raise Wrong("credential_id_too_long")
    return Registered(
        id=credential["id"],
        public_key=bytes_to_base64url(found.credential_public_key),
        counter=found.sign_count,
        aaguid=found.aaguid,
        is_synced=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        is_backed_up=found.credential_backed_up,
        is_user_verified=found.user_verified,
    )


def _is_whole(attestation_object: bytes) -> bool:
    """Whether it is a map of its three members, of a length told in advance, and nothing behind it.

    The parser passes over what follows an object, so with a byte less there must be none.
    """
    if attestation_object[:1] != b"\xa3":
        return False
    try:
        parse_cbor(attestation_object[:-1])
    except WebAuthnException:
        return True
    return False


def _check_flags(authenticator_data: bytes) -> None:
    if authenticator_data[FLAGS_AT] & RESERVED_FLAGS:
        raise Wrong("reserved_flags")


def _check_key(public_key: bytes) -> None:
    """A key fits its algorithm and is strong enough. Raises Wrong, and what parsing it raises."""
    decoded = decode_credential_public_key(public_key)
    key = decoded_public_key_to_cryptography(decoded)
    match decoded.alg:
        case Algorithm.ECDSA_SHA_256:
            fits = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        case Algorithm.EDDSA:
            fits = isinstance(key, Ed25519PublicKey)
        case Algorithm.RSASSA_PKCS1_v1_5_SHA_256:
            fits = isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS
        case _:
            fits = False
    if not fits:
        raise Wrong("key_not_accepted")


def read_public_key(text: str) -> str:
    """A COSE key in base64 of either alphabet, as it is kept. Raises Wrong."""
    try:
        raw = base64url_to_bytes(url_safe(text))
        _check_key(raw)
    except _UNREADABLE as error:
        raise Wrong("bad_key") from error
    return bytes_to_base64url(raw)


def url_safe(text: str) -> str:
    """Base64 in the alphabet of browsers, without padding."""
    return text.replace("+", "-").replace("/", "_").rstrip("=")


def read_assertion(credential: Mapping[str, Any], public_key: str, expected: Expected) -> Asserted:
    """What a right answer of `navigator.credentials.get()` says; its counter is judged by the caller. Raises Wrong."""
    try:
        _check_client_data(credential, GET, expected)
        raw = base64url_to_bytes(credential["response"]["authenticatorData"])
        _check_flags(raw)
        if parse_authenticator_data(raw).attested_credential_data is not None:
            raise Wrong("bad_assertion")
        found = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=base64url_to_bytes(expected.challenge),
            expected_rp_id=expected.rp_id,
            expected_origin=list(expected.origins),
            credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0,
            require_user_verification=expected.user_verification == "required",
        )
    except _UNREADABLE as error:
        raise Wrong("bad_assertion") from error
    return Asserted(
        counter=found.new_sign_count,
        is_synced=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        is_backed_up=found.credential_backed_up,
        is_user_verified=found.user_verified,
    )


def transports_in(found: object) -> list[str]:
    """The ways to reach a key that it told and that we know; hints for browsers, no more."""
    return [word for word in _TRANSPORTS if word in found] if isinstance(found, list) else []


def credential_id_in(attestation: object) -> str:
    """The id in an attestation object that came without its credential; empty where it has none."""
    try:
        held = parse_attestation_object(
            base64url_to_bytes(str(attestation))
        ).auth_data.attested_credential_data
    except _UNREADABLE:
        return ""
    return bytes_to_base64url(held.credential_id) if held else ""
