"""What an access token is for: an API, `/userinfo` alone, or the management of one's own factors."""

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app.context import Context
from app.errors import AccessDenied
from app.store.apis import find_api
from app.store.client_grants import find_granted
from app.store.clients import Client
from app.tokens.signing import DEFAULT_ALGORITHM

USERINFO_SECONDS = 86400
MFA_SECONDS = 600
NOT_AUTHORIZED = "Client is not authorized to access {audience}."
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
    enforces_policies: bool = False
    client_policy: str = "require_client_grant"
    user_policy: str = "allow_all"


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
        api.client_policy,
        api.user_policy,
    )


def resolve_for_user(ctx: Context, conn: Connection, requested: str, client: Client) -> Audience:
    """What this client may ask for on behalf of a person: the API's scopes, or those of its grant for users.

    Raises AccessDenied where the API or the grant is not there, or the API is closed to people.
    """
    found = resolve(ctx, conn, requested)
    if found.kind != "api" or found.user_policy == "allow_all":
        return found
    granted = None
    if found.user_policy == "require_client_grant":
        granted = ctx.look_up(conn, find_granted, client.id, found.api_id, "user")
    if granted is None:
        text = NOT_AUTHORIZED.format(audience=found.identifier)
        raise AccessDenied(text, reason="users_not_granted")
    return replace(found, scopes=tuple(word for word in found.scopes if word in granted))


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
