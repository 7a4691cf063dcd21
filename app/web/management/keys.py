"""`/keys/signing`: the keys that tokens are signed with."""

from typing import Any
from urllib.parse import urlsplit

from app.accounts import changes
from app.crypto import SealBroken
from app.errors import Missing, NotPossible, TemporarilyUnavailable
from app.store import signing_keys
from app.store.signing_keys import SigningKey
from app.tokens import signing
from app.tokens.certificates import Certificate, certificate_of
from app.tokens.signing import DEFAULT_ALGORITHM
from app.web.management.operation import Call, operation
from app.web.management.wire import timestamp

UNKNOWN = "The signing key does not exist."


def _certificate(call: Call, key: SigningKey) -> Certificate:
    try:
        return certificate_of(call.ctx.server, key, urlsplit(call.ctx.issuer).hostname or "belay")
    except (SealBroken, OSError):
        raise TemporarilyUnavailable(reason="signing_key_unreadable") from None


def _view(call: Call, key: SigningKey) -> dict[str, Any]:
    made = _certificate(call, key)
    return {
        "kid": key.kid,
        "cert": made.pem,
        "pkcs7": made.pkcs7,
        "current": key.state == "current",
        "next": key.state == "next",
        "previous": key.state == "previous",
        "current_since": timestamp(key.current_since),
        "current_until": timestamp(key.retired_at),
        "fingerprint": ":".join(made.sha1[i : i + 2].upper() for i in range(0, 40, 2)),
        "thumbprint": made.sha1.upper(),
        "revoked": key.state == "revoked",
        "revoked_at": timestamp(key.revoked_at),
    }


def _keys(call: Call) -> list[SigningKey]:
    """Those of the algorithm that clients expect; keys of others are for APIs that ask for them."""
    with call.ctx.db.read() as conn:
        return [key for key in signing_keys.list_keys(conn) if key.alg == DEFAULT_ALGORITHM]


def _find(call: Call) -> SigningKey:
    for key in _keys(call):
        if key.kid == call.path["kid"]:
            return key
    raise Missing(UNKNOWN, reason="inexistent_signing_key")


@operation("GET", "/keys/signing", scopes="read:signing_keys")
def list_keys(call: Call) -> object:
    """Signing keys: current, next, previous, and those that were revoked last"""
    found = _keys(call)
    revoked = sorted((k for k in found if k.revoked_at), key=lambda k: str(k.revoked_at), reverse=True)[:3]
    return [_view(call, key) for key in found if key.state != "revoked" or key in revoked]


@operation("GET", "/keys/signing/{kid}", scopes="read:signing_keys")
def show_key(call: Call) -> object:
    """A signing key"""
    return _view(call, _find(call))


@operation(
    "POST", "/keys/signing/rotate", scopes="create:signing_keys update:signing_keys", ok=201, needs_all=True
)
def rotate_key(call: Call) -> object:
    """Sign with the next key from now on"""
    ctx = call.ctx
    with ctx.db.write() as conn:
        known = [key for key in signing_keys.list_keys(conn) if key.alg == DEFAULT_ALGORITHM]
        before = {key.state: key.kid for key in known if key.state in ("current", "next")}
        kid = signing.rotate(ctx.server, conn, DEFAULT_ALGORITHM, ctx.now)
        changes.record(conn, ctx, "signing_key_rotated", kid, before=before, after={"current": kid})
        key = signing_keys.find_key(conn, kid)
    assert key is not None  # noqa: S101 - it has just become the current one
    return {"cert": _certificate(call, key).pem, "kid": kid}


@operation("PUT", "/keys/signing/{kid}/revoke", scopes="update:signing_keys")
def revoke_key(call: Call) -> object:
    """Drop the previous key at once: its tokens are refused from the next request on"""
    key = _find(call)
    if key.state != "previous":
        raise NotPossible("Only the previous key can be revoked.", reason="operation_not_supported")
    with call.ctx.db.write() as conn:
        signing.revoke(call.ctx.server, conn, key.kid, call.ctx.now)
        changes.record(
            conn,
            call.ctx,
            "signing_key_revoked",
            key.kid,
            before={"state": key.state},
            after={"state": "revoked"},
        )
    return {"cert": _certificate(call, key).pem, "kid": key.kid}


OPERATIONS = (list_keys, show_key, rotate_key, revoke_key)
