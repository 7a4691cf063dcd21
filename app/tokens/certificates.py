"""Certificates of signing keys, for tools that want them. The same key always gives the same certificate."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from app.context import Server
from app.crypto import owner_of
from app.store.signing_keys import SigningKey

LIFETIME = timedelta(days=3650)


@dataclass(frozen=True)
class Certificate:
    pem: str
    pkcs7: str
    sha1: str
    """Hexadecimal, which tools call the thumbprint."""


def certificate_of(server: Server, key: SigningKey, host: str) -> Certificate:
    """Self-signed, by the key itself. Raises crypto.SealBroken when the key cannot be opened."""
    pem = server.keyring.open(key.sealed_private, owner_of("signing_keys", key.kid))
    private = serialization.load_pem_private_key(pem, None)
    assert isinstance(private, RSAPrivateKey)  # noqa: S101 - only these are asked for
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    begins = key.created_at.replace(microsecond=0)
    serial = int.from_bytes(hashlib.sha256(key.kid.encode()).digest()[:16]) >> 1
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(begins + LIFETIME)
        .sign(private, hashes.SHA256())
    )
    return Certificate(
        made.public_bytes(serialization.Encoding.PEM).decode(),
        pkcs7.serialize_certificates([made], serialization.Encoding.PEM).decode(),
        made.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - what the thumbprint is by definition
    )
