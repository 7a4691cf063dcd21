"""What an access token is for: an API, `/userinfo` alone, or the management of one's own factors."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from app.context import Context
from app.errors import AccessDenied
from app.store.apis import find_api
from app.tokens.signing import DEFAULT_ALGORITHM

USERINFO_SECONDS = 86400
MFA_SECONDS = 600
MFA_SCOPES = ("enroll", "read:authenticators", "remove:authenticators")


@dataclass(frozen=True)
class Audience:
    kind: Literal["userinfo", "api", "mfa"]
    identifier: str
    """Empty for `/userinfo` alone."""
    token_seconds: int
    scopes: tuple[str, ...] = ()
    alg: str = DEFAULT_ALGORITHM
    dialect: str = "access_token"
    allow_offline_access: bool = True
    api_id: str = ""
    is_system: bool = False
    """The management API: for clients with a grant, never for a person's login."""


def userinfo_of(issuer: str) -> str:
    return issuer + "userinfo"


def mfa_of(issuer: str) -> str:
    return issuer + "mfa/"


def resolve(ctx: Context, conn: Connection, requested: str) -> Audience:
    """Raises AccessDenied for an API that does not exist."""
    issuer = ctx.issuer
    if requested in ("", userinfo_of(issuer)):
        return Audience("userinfo", "", USERINFO_SECONDS)
    if requested in (mfa_of(issuer), mfa_of(issuer).rstrip("/")):
        return Audience("mfa", mfa_of(issuer), MFA_SECONDS, MFA_SCOPES, allow_offline_access=False)
    api = ctx.look_up(conn, find_api, requested)
    if api is None:
        raise AccessDenied(f"Service not found: {requested}", reason="unknown_audience")
    return Audience(
        "api",
        api.identifier,
        api.token_seconds,
        api.scopes,
        api.signing_alg,
        api.token_dialect,
        api.allow_offline_access,
        api.id,
        api.is_system,
    )
