"""Signing keys and signatures: made here, rotated here, and verified by exactly one algorithm a key."""

import base64
import hashlib
import json
import logging
import re
from datetime import datetime, timedelta
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from sqlalchemy import Connection

from app.context import Context, Server
from app.crypto import SealBroken, owner_of, random_id
from app.errors import InvalidToken, TemporarilyUnavailable
from app.store import signing_keys, tenant
from app.store.signing_keys import Signer, SigningKey

log = logging.getLogger("belay.tokens")

ALGORITHMS = ("RS256", "RS512", "PS256", "ES256")
DEFAULT_ALGORITHM = "RS256"

MAX_TOKEN_CHARACTERS = 8192
# Only what we write ourselves: jku, jwk, x5u, x5c, crit, zip and the like are attacks on us (RFC 8725 3.1, 3.10).
_HEADER_MEMBERS = {"alg", "typ", "kid"}
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


def ensure_keys(server: Server, conn: Connection, alg: str, now: datetime) -> None:
    """Make the current and the next key of an algorithm where they are missing."""
    tenant.lock_tenant(conn)
    states = {key.state for key in signing_keys.list_keys(conn) if key.alg == alg}
    for state in ("current", "next"):
        if state not in states:
            since = now if state == "current" else None
            signing_keys.add_key(conn, _make_key(server, alg, state, now, current_since=since))


def rotate(server: Server, conn: Connection, alg: str, now: datetime) -> str:
    """Current becomes previous, next becomes current, a new next is made. Returns the new current kid.

    The key that signs from now on has been in the JWKS since the rotation before this one.
    """
    tenant.lock_tenant(conn)
    signing_keys.move_key(conn, alg, from_state="current", to_state="previous", retired_at=now)
    signing_keys.move_key(conn, alg, from_state="next", to_state="current", current_since=now)
    signing_keys.add_key(conn, _make_key(server, alg, "next", now))
    return signing_keys.list_signers(conn)[alg].kid


def revoke(server: Server, conn: Connection, kid: str, now: datetime) -> bool:
    """Drop a key at once: its tokens are refused from the next request on. A current one is rotated away first.

    Returns False when there is no such live key.
    """
    tenant.lock_tenant(conn)
    key = signing_keys.find_key(conn, kid)
    if key is None or key.state == "revoked":
        return False
    if key.state == "current":
        rotate(server, conn, key.alg, now)
    revoked = signing_keys.revoke_key(conn, kid, now)
    if key.state == "next":
        signing_keys.add_key(conn, _make_key(server, key.alg, "next", now))
    return revoked


def _make_key(
    server: Server, alg: str, state: str, now: datetime, *, current_since: datetime | None = None
) -> SigningKey:
    private: PrivateKeyTypes
    if alg == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kid = random_id(21)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(
        kid=kid,
        alg=alg,
        state=state,
        sealed_private=server.keyring.seal(pem, owner_of("signing_keys", kid)),
        public_jwk=_public_jwk(private.public_key(), alg, kid),
        created_at=now,
        current_since=current_since,
    )


def _public_jwk(public: PublicKeyTypes, alg: str, kid: str) -> dict[str, object]:
    converter = jwt.get_algorithm_by_name(alg)
    members = cast(dict[str, object], converter.to_jwk(cast(Any, public), as_dict=True))
    kept = {name: members[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in members}
    return kept | {"use": "sig", "alg": alg, "kid": kid}


def jwks(ctx: Context, conn: Connection) -> dict[str, object]:
    """Keys with which a token may be verified now or soon: next, current, and previous while it matters."""
    keys = ctx.look_up(conn, signing_keys.list_live_keys)
    return {"keys": [key.public_jwk for key in keys if key.state == "next" or _verifies(key, ctx.now)]}


def signer_of(signers: dict[str, Signer], alg: str) -> Signer:
    """Raises TemporarilyUnavailable where `belay db upgrade` or the API's creation made no key."""
    if alg not in signers:
        log.error("there is no %s signing key", alg)
        raise TemporarilyUnavailable(reason="no_signing_key")
    return signers[alg]


def sign(ctx: Context, signer: Signer, claims: dict[str, object], *, typ: str = "JWT") -> str:
    """Raises TemporarilyUnavailable when the private key cannot be opened or there is no memory to sign."""
    opened = ctx.server.private_keys
    if signer.kid not in opened:
        try:
            pem = ctx.server.keyring.open(signer.sealed_private, owner_of("signing_keys", signer.kid))
        except (SealBroken, OSError) as error:
            log.error("signing key %s cannot be opened: %s", signer.kid, error)
            raise TemporarilyUnavailable(reason="signing_key_unreadable") from None
        opened[signer.kid] = serialization.load_pem_private_key(pem, None)
    key = cast(Any, opened[signer.kid])
    try:
        return jwt.encode(claims, key, algorithm=signer.alg, headers={"typ": typ, "kid": signer.kid})
    except ValueError as error:  # OpenSSL without memory: what is signed here is ours and always fits the key
        log.error("nothing can be signed: %s", error)
        raise TemporarilyUnavailable(reason="signing_failed") from None


def verify(
    ctx: Context, conn: Connection, token: str, *, audience: str, typs: tuple[str, ...]
) -> dict[str, Any]:
    """The claims of a token that this server signed for that audience and that is valid now.

    Raises InvalidToken; `reason` is `expired` for one that was valid once.
    """
    header = _header(token)
    key = ctx.look_up(conn, signing_keys.find_key, header["kid"])
    if key is None or not _verifies(key, ctx.now):
        raise InvalidToken(reason="unknown_key")
    if header["alg"] != key.alg or header.get("typ") not in typs:
        raise InvalidToken(reason="wrong_kind")
    try:
        claims = jwt.decode(
            token,
            jwt.PyJWK(cast(dict[str, Any], key.public_jwk)),
            algorithms=[key.alg],
            audience=audience,
            issuer=ctx.issuer,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError as error:
        raise InvalidToken(reason="wrong_audience") from error
    except (jwt.PyJWTError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidToken(reason="bad_token") from error
    times = [claims[name] for name in ("exp", "iat")]
    if not all(type(t) is int for t in times) or not isinstance(claims["iss"], str):
        raise InvalidToken(reason="bad_claims")
    if times[0] <= ctx.now.timestamp():
        raise InvalidToken(reason="expired")
    return claims


def _verifies(key: SigningKey, now: datetime) -> bool:
    if key.state == "previous":
        return key.retired_at is not None and key.retired_at > now - signing_keys.VERIFIES_FOR
    return key.state == "current"


def _header(token: str) -> dict[str, str]:
    """Read the header as strictly as we write it, before anything else touches the token."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN_CHARACTERS or len(parts) != 3 or not all(map(_SEGMENT.fullmatch, parts)):
        raise InvalidToken(reason="not_a_token")
    raw = []
    for part in parts:
        try:
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except ValueError:
            raise InvalidToken(reason="not_a_token") from None
        if (
            base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part
        ):  # stray bits: one token, many texts
            raise InvalidToken(reason="not_a_token")
        raw.append(decoded)
    try:
        # Decoded here: json would guess UTF-16 and the like by itself.
        header = json.loads(raw[0].decode("utf-8"), object_pairs_hook=_no_duplicates)
        json.loads(raw[1].decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        raise InvalidToken(reason="not_a_token") from None
    if not isinstance(header, dict) or set(header) - _HEADER_MEMBERS:
        raise InvalidToken(reason="strange_header")
    if not all(isinstance(value, str) for value in header.values()):
        raise InvalidToken(reason="strange_header")
    if not _KID.fullmatch(header.get("kid", "")) or "alg" not in header:
        raise InvalidToken(reason="strange_header")
    return header


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def thumbprint(jwk: dict[str, object]) -> str:
    """RFC 7638, SHA-256, base64url."""
    required = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}[str(jwk["kty"])]
    text = json.dumps({name: jwk[name] for name in required}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


RECENT = timedelta(minutes=5)


def was_published_recently(conn: Connection, alg: str, now: datetime) -> bool:
    """Whether the next key is so young that caches of the JWKS may not hold it yet."""
    young = [k for k in signing_keys.list_keys(conn) if k.alg == alg and k.state == "next"]
    return any(key.created_at > now - RECENT for key in young)
