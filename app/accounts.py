"""What may be done to people, realms, applications and APIs: one implementation below every surface.

Whatever ends access ends it here completely: tokens, open logins and sessions go in the same transaction.
"""

import string
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.context import Context, Server
from app.crypto import digest, random_id, random_token
from app.directories import DIRECTORIES
from app.guards import brute_force
from app.identifiers import is_phone_number, normal_key
from app.passwords import FORM, PasswordUnusable, normal_form
from app.policy import REALM_MODES
from app.store import (
    apis,
    authenticators,
    clients,
    opaque_tokens,
    realms,
    refresh_families,
    tenant,
    transactions,
    users,
)
from app.store.apis import Api
from app.store.clients import Client
from app.store.database import lock_installation
from app.store.realms import Realm
from app.store.users import User
from app.tokens import signing

HEX = "0123456789abcdef"
MIN_PASSWORD_CHARACTERS = 8
APP_TYPES = ("native", "spa", "regular_web", "non_interactive")
AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic", "private_key_jwt")
TOKEN_DIALECTS = ("access_token", "rfc9068_profile")

MFA_GRANT = "http://auth0.com/oauth/grant-type/mfa-"
GRANT_NAMES = {
    "password": ("password",),
    "password-realm": ("http://auth0.com/oauth/grant-type/password-realm",),
    "mfa": (f"{MFA_GRANT}otp", f"{MFA_GRANT}oob", f"{MFA_GRANT}recovery-code"),
    "refresh_token": ("refresh_token",),
    "client_credentials": ("client_credentials",),
}

_CRUD = ("read", "create", "update", "delete")
_MANAGED = (
    "users users_app_metadata clients client_keys client_credentials client_grants connections resource_servers rules "
    "rules_configs hooks actions roles role_members authentication_methods email_templates email_provider "
    "phone_providers phone_templates log_streams sessions refresh_tokens custom_domains device_credentials"
).split()
_OTHER = (
    "read:logs read:logs_users read:stats read:tenant_settings update:tenant_settings read:guardian_factors "
    "update:guardian_factors read:guardian_enrollments delete:guardian_enrollments "
    "create:guardian_enrollment_tickets read:mfa_policies update:mfa_policies read:attack_protection "
    "update:attack_protection read:anomaly_blocks delete:anomaly_blocks create:user_tickets create:signing_keys "
    "read:signing_keys update:signing_keys read:grants delete:grants read:connections_options "
    "update:connections_options"
).split()
MANAGEMENT_SCOPES = (*(f"{verb}:{thing}" for thing in _MANAGED for verb in _CRUD), *_OTHER)


class NotPossible(ValueError):
    """An administrator asked for something that cannot be; the text says why and what to do."""


# --- setting up ----------------------------------------------------------------------------------------------------


def install(server: Server, now: datetime) -> None:
    """What every server has: its tenant row, signing keys, and the management API's row. Repeatable."""
    with server.db.write() as conn:
        lock_installation(conn)
        if not tenant.has_tenant(conn):
            tenant.add_tenant(conn, "Belay", now)
        signing.ensure_keys(server, conn, signing.DEFAULT_ALGORITHM, now)
        identifier = server.settings.issuer + "api/v2/"
        if apis.find_api(conn, identifier) is None:
            api = Api(
                random_id(24, HEX), identifier, "Management API", now, MANAGEMENT_SCOPES, is_system=True
            )
            apis.add_api(conn, api)
        _install_bootstrap_client(server, conn, identifier, now)


def _install_bootstrap_client(server: Server, conn: Connection, audience: str, now: datetime) -> None:
    settings = server.settings
    if not settings.bootstrap_client_id or clients.find_client(conn, settings.bootstrap_client_id):
        return
    client = Client(
        id=settings.bootstrap_client_id,
        name="Bootstrap",
        app_type="non_interactive",
        auth_method="client_secret_post",
        created_at=now,
        grant_types=("client_credentials",),
        secret_digests=(digest(settings.bootstrap_client_secret),),
    )
    clients.add_client(conn, client)
    grant_scopes(conn, client.id, audience, MANAGEMENT_SCOPES)


# --- realms --------------------------------------------------------------------------------------------------------


def create_realm(conn: Connection, name: str, now: datetime, *, kind: str = "database") -> Realm:
    """Raises NotPossible."""
    if not name or len(name) > 128 or not all(c.isalnum() or c in "-_" for c in name):
        raise NotPossible("a realm's name consists of letters, digits, - and _")
    if kind not in DIRECTORIES:
        raise NotPossible(f"a realm's kind is one of: {', '.join(DIRECTORIES)}")
    realm = Realm(f"con_{random_id()}", name, kind, None, None, True, True, now)
    try:
        realms.add_realm(conn, realm)
    except IntegrityError:
        raise NotPossible(f"there is a realm {name} already") from None
    return realm


def set_mfa_mode(conn: Connection, realm: Realm, mode: str) -> None:
    if mode not in REALM_MODES:
        raise NotPossible(f"a realm's MFA mode is one of: {', '.join(REALM_MODES)}")
    realms.update_realm(conn, realm.id, mfa_mode=mode)


# --- applications and APIs -----------------------------------------------------------------------------------------


def grant_types_of(names: list[str]) -> tuple[str, ...]:
    """Short names or full grant types to grant types."""
    return tuple(dict.fromkeys(full for name in names for full in GRANT_NAMES.get(name, (name,))))


def create_client(conn: Connection, client: Client, origins: tuple[str, ...] = ()) -> str | None:
    """Add an application; returns its secret, this once, unless it is public or signs. Raises NotPossible."""
    if client.app_type not in APP_TYPES:
        raise NotPossible(f"app_type is one of: {', '.join(APP_TYPES)}")
    if client.auth_method not in AUTH_METHODS:
        raise NotPossible(f"auth_method is one of: {', '.join(AUTH_METHODS)}")
    secret = None
    if client.auth_method.startswith("client_secret"):
        secret = _new_secret()
        client = replace(client, secret_digests=(digest(secret),))
    try:
        clients.add_client(conn, client, origins)
    except IntegrityError:
        raise NotPossible(f"there is a client {client.id} already") from None
    return secret


def new_client_id() -> str:
    return random_id(32)


def _new_secret() -> str:
    """64 characters, Auth0's length."""
    return random_token() + random_token()[:21]


def rotate_secret(conn: Connection, client: Client) -> str:
    """A new secret; the one before it serves until the next rotation."""
    secret = _new_secret()
    clients.update_client(conn, client.id, secret_digests=[digest(secret), *client.secret_digests[:1]])
    return secret


def create_api(server: Server, conn: Connection, api: Api, now: datetime) -> Api:
    """Raises NotPossible."""
    if api.signing_alg not in signing.ALGORITHMS:
        raise NotPossible(f"signing_alg is one of: {', '.join(signing.ALGORITHMS)}")
    if api.token_dialect not in TOKEN_DIALECTS:
        raise NotPossible(f"token_dialect is one of: {', '.join(TOKEN_DIALECTS)}")
    if not 1 <= len(api.identifier) <= 600 or not 1 <= api.token_seconds <= 2592000:
        raise NotPossible("an identifier has 1 to 600 characters, a token lives 1 to 2592000 seconds")
    try:
        apis.add_api(conn, api)
    except IntegrityError:
        raise NotPossible(f"there is an API {api.identifier} already") from None
    signing.ensure_keys(server, conn, api.signing_alg, now)
    return api


def grant_scopes(conn: Connection, client_id: str, audience: str, scopes: tuple[str, ...]) -> None:
    """Let a client ask for an API for itself. Raises NotPossible."""
    api = apis.find_api(conn, audience)
    if api is None:
        raise NotPossible(f"there is no API {audience}")
    strange = set(scopes) - set(api.scopes)
    if strange:
        raise NotPossible(f"the API has no scope {', '.join(sorted(strange))}")
    apis.set_client_grant(conn, f"cgr_{random_id()}", client_id, api.id, scopes)


# --- people --------------------------------------------------------------------------------------------------------


def new_user(realm: Realm, now: datetime, **profile: object) -> User:
    """A user's value with a fresh id; nothing is stored. Raises NotPossible for unusable identifiers."""
    user = User(f"auth0|{random_id(24, HEX)}", realm.id, now, now, **profile)  # type: ignore[arg-type]
    if not (user.email or user.username or user.phone_number):
        raise NotPossible("a user needs an e-mail address, a username or a phone number")
    for name in ("email", "username"):
        text = getattr(user, name)
        if text is not None and normal_key(text) is None:
            raise NotPossible(f"this {name} cannot be used: {text!r}")
    if user.email is not None and not (0 < user.email.find("@") < len(user.email) - 1):
        raise NotPossible(f"this is not an e-mail address: {user.email!r}")
    if user.phone_number is not None and not is_phone_number(user.phone_number):
        raise NotPossible("a phone number is written like +491701234567")
    return user


def hash_new_password(server: Server, password: str) -> str:
    """Hash a password that is being set; before any transaction, because it takes a turn at the gate."""
    try:
        text = normal_form(password)
    except PasswordUnusable as error:
        raise NotPossible(str(error)) from None
    if len(text) < MIN_PASSWORD_CHARACTERS:
        raise NotPossible(f"a password has at least {MIN_PASSWORD_CHARACTERS} characters")
    return server.passwords.hash(password)


def create_user(conn: Connection, user: User, password_hash: str | None) -> None:
    """Raises NotPossible when an identifier is taken."""
    try:
        users.add_user(conn, replace(user, password_hash=password_hash, password_form=FORM))
    except IntegrityError:
        raise NotPossible("the realm has a user with this e-mail address, username or phone number") from None


def set_password(conn: Connection, ctx: Context, user: User, password_hash: str) -> None:
    """Change a password: everything that was opened with the old one ends, failures are forgiven."""
    users.update_user(
        conn,
        user.id,
        password_hash=password_hash,
        password_form=FORM,
        tokens_valid_after=ctx.now,
        updated_at=ctx.now,
    )
    end_access(conn, ctx, user)
    brute_force.forget(conn, user)
    ctx.facts.user_id = user.id
    audit.record(conn, ctx, "scp")


def set_blocked(conn: Connection, ctx: Context, user: User, is_blocked: bool) -> None:
    users.update_user(conn, user.id, is_blocked=is_blocked, updated_at=ctx.now)
    if is_blocked:
        end_access(conn, ctx, user)
    ctx.facts.user_id = user.id
    audit.record(conn, ctx, "sapi", "user_blocked" if is_blocked else "user_unblocked")


def end_access(conn: Connection, ctx: Context, user: User) -> None:
    """Every refresh token, opaque token and open login of a person."""
    refresh_families.revoke_families(conn, user.id, ctx.now)
    opaque_tokens.remove_opaque_tokens(conn, user.id)
    transactions.void_transactions(conn, user.id)


def reset_factors(conn: Connection, ctx: Context, user: User) -> list[str]:
    """Remove every authenticator of a person and end all access. Returns the kinds that were confirmed."""
    users.update_user(conn, user.id, tokens_valid_after=ctx.now)
    end_access(conn, ctx, user)
    kinds = authenticators.remove_authenticators(conn, user.id)
    ctx.facts.user_id = user.id
    ctx.facts.details["kinds"] = kinds
    audit.record(conn, ctx, "gd_unenroll", "factors_reset")
    return kinds


def unblock(conn: Connection, ctx: Context, realm: Realm, username: str) -> int:
    """Forget wrong passwords and guesses of a person, or of a name that nobody has."""
    user = users.find_user_by_key(conn, realm.id, normal_key(username) or "")
    forgotten = brute_force.unblock(conn, realm, user, username)
    ctx.facts.user_id, ctx.facts.user_name = user.id if user else None, username
    ctx.facts.realm = realm.name
    audit.record(conn, ctx, "ublkdu")
    return forgotten


def remove_user(conn: Connection, ctx: Context, user: User) -> None:
    end_access(conn, ctx, user)
    users.remove_user(conn, user.id)
    ctx.facts.user_id = user.id
    audit.record(conn, ctx, "sdu")


def initial_password() -> str:
    """A random password to hand over once: 20 letters and digits."""
    return random_id(20, string.ascii_letters + string.digits)
