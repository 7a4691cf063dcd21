"""A security key in software: what it signs, and what a key or a page that is broken or evil might sign instead.

Each part of an answer is made in the order in which it is wrapped, and may be changed on the way: first the client
data and the authenticator data as values, then as bytes, at last the JSON of the whole.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
Json = dict[str, Any]


def unchanged(value: Any) -> Any:
    return value


def make_private_key(alg: int, bits: int = 2048) -> Any:
    if alg == -8:
        return ed25519.Ed25519PrivateKey.generate()
    if alg == -257:
        return rsa.generate_private_key(65537, bits)
    return ec.generate_private_key(ec.SECP256R1())


def cose_of(private_key: Any, alg: int) -> dict[int, Any]:
    public = private_key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {1: 1, 3: alg, -1: 6, -2: public.public_bytes_raw()}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {1: 3, 3: alg, -1: numbers.n.to_bytes(public.key_size // 8, "big"), -2: b"\x01\x00\x01"}
    numbers_ = public.public_numbers()
    size = (public.key_size + 7) // 8
    curve = {256: 1, 384: 2, 521: 3}[public.key_size]
    return {
        1: 2,
        3: alg,
        -1: curve,
        -2: numbers_.x.to_bytes(size, "big"),
        -3: numbers_.y.to_bytes(size, "big"),
    }


def sign(private_key: Any, data: bytes) -> bytes:
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        return private_key.sign(data)
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return bytes(private_key.sign(data, ec.ECDSA(hashes.SHA256())))


@dataclass
class SecurityKey:
    """One credential of one person. `counter` is what it says next; 0 stays 0, as with synced keys."""

    alg: int = -7
    flags: int = UP | UV
    counter: int = 1
    origin: str = "http://127.0.0.1:8000"
    attachment: str = "cross-platform"
    private_key: Any = None
    id: bytes = field(default_factory=lambda: os.urandom(32))
    user_handle: bytes = b""

    def __post_init__(self) -> None:
        self.private_key = self.private_key or make_private_key(self.alg)

    def client_data(self, ceremony: str, options: Json) -> Json:
        found = {"type": ceremony, "challenge": options["challenge"], "origin": self.origin}
        return found | {"crossOrigin": False}

    def _count(self) -> bytes:
        count = self.counter
        self.counter += count > 0
        return (count % 2**32).to_bytes(4, "big")

    def create(
        self,
        options: Json,
        *,
        client: Callable[[Json], Any] = unchanged,
        client_bytes: Callable[[bytes], bytes] = unchanged,
        cose: Callable[[dict[int, Any]], Any] = unchanged,
        data: Callable[[bytes], bytes] = unchanged,
        attestation: Callable[[Json], Any] = unchanged,
        attestation_bytes: Callable[[bytes], bytes] = unchanged,
        whole: Callable[[Json], Any] = unchanged,
        rp_id: str | None = None,
        flags: int | None = None,
    ) -> Any:
        """What `navigator.credentials.create()` answers, as JSON."""
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        client_raw = client_bytes(json.dumps(client(self.client_data("webauthn.create", options))).encode())
        set_flags = (self.flags if flags is None else flags) | (AT if flags is None else 0)
        raw = hashlib.sha256((rp_id or options["rp"]["id"]).encode()).digest() + bytes([set_flags])
        raw += self._count()
        if set_flags & AT:
            raw += bytes(16) + len(self.id).to_bytes(2, "big") + self.id
            raw += encode_cbor(cose(cose_of(self.private_key, self.alg)))
        self.client_hash = hashlib.sha256(client_raw).digest()
        attested = attestation({"fmt": "none", "attStmt": {}, "authData": data(raw)})
        attested_raw = attestation_bytes(encode_cbor(attested))
        return whole(
            {
                "id": bytes_to_base64url(self.id),
                "rawId": bytes_to_base64url(self.id),
                "type": "public-key",
                "authenticatorAttachment": self.attachment,
                "clientExtensionResults": {},
                "response": {
                    "clientDataJSON": bytes_to_base64url(client_raw),
                    "attestationObject": bytes_to_base64url(attested_raw),
                    "transports": ["usb", "nfc"],
                },
            }
        )

    def get(
        self,
        options: Json,
        *,
        client: Callable[[Json], Any] = unchanged,
        client_bytes: Callable[[bytes], bytes] = unchanged,
        data: Callable[[bytes], bytes] = unchanged,
        signed: Callable[[bytes], bytes] = unchanged,
        signature: Callable[[bytes], bytes] = unchanged,
        whole: Callable[[Json], Any] = unchanged,
        rp_id: str | None = None,
        flags: int | None = None,
    ) -> Any:
        """What `navigator.credentials.get()` answers, as JSON."""
        client_raw = client_bytes(json.dumps(client(self.client_data("webauthn.get", options))).encode())
        raw = hashlib.sha256((rp_id or options["rpId"]).encode()).digest()
        raw = data(raw + bytes([self.flags if flags is None else flags]) + self._count())
        to_sign = signed(raw + hashlib.sha256(client_raw).digest())
        return whole(
            {
                "id": bytes_to_base64url(self.id),
                "rawId": bytes_to_base64url(self.id),
                "type": "public-key",
                "authenticatorAttachment": self.attachment,
                "clientExtensionResults": {},
                "response": {
                    "clientDataJSON": bytes_to_base64url(client_raw),
                    "authenticatorData": bytes_to_base64url(raw),
                    "signature": bytes_to_base64url(signature(sign(self.private_key, to_sign))),
                    "userHandle": bytes_to_base64url(self.user_handle) if self.user_handle else None,
                },
            }
        )
