"""What an access token is for: an API, `/userinfo` alone, or the management of one's own factors."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

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
    enforces_policies: bool = False
    """The management API: for clients with a grant, never for a person's login."""


def userinfo_of(issuer: str) -> str:
    return issuer + "userinfo"


def management_of(issuer: str) -> str:
    return issuer + "api/v2/"


def mfa_of(issuer: str) -> str:
    return issuer + "mfa/"


def resolve(ctx: Context, conn: Connection, requested: str) -> Audience:
    """Raises AccessDenied for an API that does not exist."""
    issuer = ctx.issuer
    if requested in ("", userinfo_of(issuer)):
        return Audience("userinfo", "", USERINFO_SECONDS)
    if requested in (mfa_of(issuer), mfa_of(issuer).rstrip("/")):
        return Audience("mfa", mfa_of(issuer), MFA_SECONDS, MFA_SCOPES, allow_offline_access=False)
    api = ctx.look_up(conn, find_api, _unaliased(issuer, requested))
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
        api.enforces_policies,
    )


def _unaliased(issuer: str, requested: str) -> str:
    """The management API under whatever name a tool computes from the domain it was given: with and without scheme,
    port and last slash. Any other audience is taken as it is.
    """
    try:
        own, asked = urlsplit(issuer), urlsplit(requested)
    except ValueError:  # no address at all, and so not ours
        return requested
    is_own_host = asked.hostname == own.hostname and asked.scheme in ("http", "https")
    is_management = asked.path.rstrip("/") == urlsplit(management_of(issuer)).path.rstrip("/")
    if is_own_host and is_management and not asked.query and not asked.fragment:
        return management_of(issuer)
    return requested
