"""Applications: made, changed, given new secrets and keys, removed. On the wire an application is a client."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import Conflict, NotPossible
from app.policy_terms import moment_text
from app.store import apis, opaque_tokens, refresh_families
from app.store import clients as rows
from app.store.clients import Client, ClientKey
from app.store.tenant import lock_tenant

APP_TYPES = ("native", "spa", "regular_web", "non_interactive")
AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic", "private_key_jwt")
KEY_ALGORITHMS = ("RS256", "RS384", "PS256")
MIN_KEY_BITS = 2048
MAX_KEYS = 8  # a bad assertion is tried with each of them

MFA_GRANT = "http://auth0.com/oauth/grant-type/mfa-"
GRANT_NAMES = {
    "password": ("password",),
    "password-realm": ("http://auth0.com/oauth/grant-type/password-realm",),
    "mfa": (
        f"{MFA_GRANT}otp",
        f"{MFA_GRANT}oob",
        f"{MFA_GRANT}recovery-code",
        "urn:okta:params:oauth:grant-type:mfa-webauthn",
    ),
    "passkey": ("urn:okta:params:oauth:grant-type:webauthn",),
    "refresh_token": ("refresh_token",),
    "client_credentials": ("client_credentials",),
}


def grant_types_of(names: list[str]) -> tuple[str, ...]:
    """Short names or full grant types to grant types."""
    return tuple(dict.fromkeys(full for name in names for full in GRANT_NAMES.get(name, (name,))))


def new_client_id() -> str:
    return random_id(32)


def _new_secret() -> str:
    """64 characters, Auth0's length."""
    return random_token() + random_token()[:21]


def _check(client: Client) -> None:
    if client.app_type and client.app_type not in APP_TYPES:
        raise NotPossible(f"app_type is one of: {', '.join(APP_TYPES)}")
    if client.auth_method not in AUTH_METHODS:
        raise NotPossible(f"auth_method is one of: {', '.join(AUTH_METHODS)}")
    limit = int(refresh_families.LONGEST_LEEWAY.total_seconds())
    if not 0 <= client.refresh_leeway_seconds <= limit:
        raise NotPossible(f"the leeway of refresh tokens is 0 to {limit} seconds")


def create_client(conn: Connection, ctx: Context, client: Client, origins: Iterable[str] = ()) -> str | None:
    """Add an application; returns its secret, this once, unless it is public or signs.

    Raises NotPossible, Conflict.
    """
    _check(client)
    lock_tenant(conn)
    if apis.find_api(conn, client.id) is not None:
        raise Conflict(f"{client.id} is the identifier of an API", reason="client_conflict")
    secret = None
    if client.auth_method.startswith("client_secret"):
        secret = _new_secret()
        client = replace(client, secret_digests=(digest(secret),))
    try:
        with conn.begin_nested():
            rows.add_client(conn, client, origins)
    except IntegrityError:
        raise Conflict(f"there is a client {client.id} already", reason="client_conflict") from None
    changes.record(conn, ctx, "client_created", client.id, after=client)
    return secret


def update_client(
    conn: Connection, ctx: Context, client: Client, *, origins: Iterable[str] | None = None, **changed: Any
) -> tuple[Client, str | None]:
    """Change an application; returns it with the secret that it was given, if it needs one and had none.

    Raises NotPossible.
    """
    after = replace(client, **changed)
    _check(after)
    secret = None
    if after.auth_method.startswith("client_secret") and not after.secret_digests:
        secret = _new_secret()
        after = replace(after, secret_digests=(digest(secret),))
    rows.update_client(conn, client.id, **changes.differences(client, after))
    if origins is not None:
        rows.set_origins(conn, client.id, origins)
    if not after.is_enabled and client.is_enabled:
        refresh_families.revoke_families_of_client(conn, client.id, ctx.now)
        opaque_tokens.remove_where(conn, user_id=None, client_id=client.id)
    changes.record(conn, ctx, "client_updated", client.id, before=client, after=after)
    return after, secret


def rotate_secret(conn: Connection, ctx: Context, client: Client) -> str:
    """A new secret; the one before it is refused from the next request on, as at Auth0."""
    secret = _new_secret()
    rows.update_client(conn, client.id, secret_digests=[digest(secret)])
    after = {"client_secret": changes.MASK}
    changes.record(conn, ctx, "client_secret_rotated", client.id, after=after)
    return secret


def remove_client(conn: Connection, ctx: Context, client: Client) -> None:
    """With the refresh tokens that it holds."""
    refresh_families.revoke_families_of_client(conn, client.id, ctx.now)
    rows.remove_client(conn, client.id)
    changes.record(conn, ctx, "client_deleted", client.id, before=client)


def add_key(
    conn: Connection,
    ctx: Context,
    client: Client,
    *,
    name: str,
    pem: str,
    alg: str,
    expires_at: datetime | None = None,
    expires_with_certificate: bool = False,
) -> ClientKey:
    """A key that the application signs its assertions with. Raises NotPossible."""
    if alg not in KEY_ALGORITHMS:
        raise NotPossible(f"alg is one of: {', '.join(KEY_ALGORITHMS)}")
    if len(rows.list_client_keys(conn, client.id)) >= MAX_KEYS:
        raise NotPossible(f"a client has at most {MAX_KEYS} keys")
    public_pem, certificate_ends = _public_pem(pem)
    if expires_with_certificate:
        if certificate_ends is None:
            raise NotPossible("an expiry is read from a certificate, and pem is a key")
        expires_at = certificate_ends
    _check_expiry(ctx, expires_at)
    key = ClientKey(f"cred_{random_id(22)}", name, alg, public_pem, ctx.now, expires_at)
    rows.add_client_key(conn, client.id, key)
    changes.record(conn, ctx, "client_key_added", client.id, after={"id": key.id, "name": name, "alg": alg})
    return key


def _check_expiry(ctx: Context, expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= ctx.now:
        raise NotPossible("expires_at must be in the future")


def move_expiry(
    conn: Connection, ctx: Context, client: Client, key: ClientKey, expires_at: datetime | None
) -> ClientKey:
    """When a key stops to count; None: never. Raises NotPossible."""
    _check_expiry(ctx, expires_at)
    rows.move_expiry(conn, client.id, key.id, expires_at)
    changes.record(
        conn,
        ctx,
        "client_key_changed",
        client.id,
        before={"id": key.id, "expires_at": key.expires_at and moment_text(key.expires_at)},
        after={"id": key.id, "expires_at": expires_at and moment_text(expires_at)},
    )
    return replace(key, expires_at=expires_at)


def remove_key(conn: Connection, ctx: Context, client: Client, key_id: str) -> bool:
    was_there = rows.remove_client_key(conn, client.id, key_id)
    if was_there:
        changes.record(conn, ctx, "client_key_removed", client.id, before={"id": key_id})
    return was_there


def _public_pem(pem: str) -> tuple[str, datetime | None]:
    """A public key, or the one of a certificate with its end. Raises NotPossible, above all for a private key."""
    raw, ends_at = pem.encode(), None
    try:
        if b"CERTIFICATE" in raw:
            certificate = load_pem_x509_certificate(raw)
            key, ends_at = certificate.public_key(), certificate.not_valid_after_utc
        else:
            key = serialization.load_pem_public_key(raw)  # type: ignore[assignment]
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise NotPossible("pem must be a public key or a certificate in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        raise NotPossible(f"the key must be RSA with at least {MIN_KEY_BITS} bits")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode(), ends_at
