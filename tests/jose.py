"""Signed tokens as an attacker writes them: any header, any claims, any key, nothing checked. And assertions."""

import base64
import hmac
import json
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.context import Server
from app.store import clients
from app.store.clients import ClientKey
from tests import making
from tests.conftest import NOON

ISSUER = "http://127.0.0.1:8000/"
NOW = int(NOON.timestamp())
_numbers = iter(range(10**9))

GONE: Any = type("Gone", (), {"__repr__": lambda self: "gone"})()
"""In place of a member's value: the member is left out."""


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def dumps(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def changed(members: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (members | changes).items() if value is not GONE}


def signature(key: Any, alg: str, message: bytes) -> bytes:
    if alg.startswith("HS"):
        return hmac.digest(key, message, f"sha{alg[2:]}")
    return jwt.get_algorithm_by_name(alg).sign(message, key)


def token_of(header: object, claims: object, key: Any, alg: str) -> str:
    message = f"{b64(dumps(header))}.{b64(dumps(claims))}"
    return f"{message}.{b64(signature(key, alg, message.encode()))}"


@lru_cache
def private_key(name: str) -> Any:
    """Made once a run and name, because finding primes takes long."""
    if name.endswith("ES256"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def private_pem(name: str) -> bytes:
    return bytes(
        private_key(name).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def public_pem(name: str) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(private_key(name).public_key().public_bytes(serialization.Encoding.PEM, spki).decode())


def public_jwk(name: str, alg: str) -> dict[str, object]:
    found = jwt.get_algorithm_by_name(alg).to_jwk(private_key(name).public_key(), as_dict=True)
    kept = {member: found[member] for member in ("kty", "n", "e", "crv", "x", "y") if member in found}
    return kept | {"use": "sig", "alg": alg, "kid": name}


def make_signer(
    server: Server, client_id: str = "signer", alg: str = "RS256", key: str | None = None
) -> None:
    """A client that proves itself by assertions, with a key that is called like it."""
    making.make_client(server, client_id, realm_names=("staff",), auth_method="private_key_jwt")
    add_client_key(server, client_id, alg, key or client_id)


def add_client_key(server: Server, client_id: str, alg: str, key: str) -> None:
    with server.db.write() as conn:
        row = ClientKey(f"cred_{client_id}_{key}", key, alg, public_pem(key), making.now())
        clients.add_client_key(conn, client_id, row)


def claims_of(client_id: str = "signer", /, **changes: Any) -> dict[str, Any]:
    claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "exp": NOW + 60, "jti": f"j{next(_numbers)}"}
    return changed(claims, **changes)


def assertion(client_id: str = "signer", /, **changes: Any) -> str:
    """Besides claims, `alg` and `key` can be changed."""
    alg, key = changes.pop("alg", "RS256"), changes.pop("key", client_id)
    return token_of({"alg": alg}, claims_of(client_id, **changes), private_key(key), alg)
