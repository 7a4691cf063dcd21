"""Plain functions that make what tests need, with defaults."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pyotp
from webauthn.helpers import bytes_to_base64url, encode_cbor

from app import accounts
from app.accounts.policies import mode_only, terms_of
from app.context import Context, Server
from app.crypto import digest, owner_of, random_id
from app.factors import vocabulary
from app.factors.relying_party import user_handle
from app.guards.protection import BRUTE_FORCE, LOGIN_STAGE, SIGNUP_STAGE, THROTTLING
from app.passwords import FORM
from app.policy_terms import Written
from app.store import apis, authenticators, client_grants, clients, realms, tenant
from app.store import users as user_rows
from app.store.apis import Api
from app.store.authenticators import Authenticator
from app.store.client_grants import ClientGrant
from app.store.clients import Client
from app.store.documents import Document, find_document, put_document, remove_document
from app.store.realms import Realm
from app.store.users import User
from app.tokens import signing
from app.tokens.phone import read_key
from tests.device import Phone, public_key
from tests.security_key import BE, BS, SecurityKey, cose_of

PASSWORD = "correct horse battery staple"
CAROLS_PASSWORD = "another one entirely"
API = "https://api.example.com"
ALL_GRANTS = ("password", "password-realm", "passkey", "mfa", "refresh_token", "client_credentials")


def now() -> datetime:
    return datetime.now(UTC)


def make_realm(server: Server, name: str, mode: str | None = None) -> Realm:
    realm = replace(accounts.new_realm(name, now()), mfa_policy=mode_only(mode) if mode else None)
    with server.db.write() as conn:
        realms.add_realm(conn, realm)
        realms.set_names(conn, realm.id, [name])
        found = realms.find_realm(conn, realm.id)
    assert found is not None
    return found


def set_mode(server: Server, realm: Realm, mode: str) -> None:
    set_policy(server, realm, {"mode": mode})


def set_policy(server: Server, realm: Realm, terms: dict[str, Any], **written: object) -> None:
    """Write a policy, without the checks and the event of an administrator's."""
    policy = Written(**({"terms": terms_of(terms), "version": 1, "since": now()} | written))  # type: ignore[arg-type]
    with server.db.write() as conn:
        realms.update_realm(conn, realm.id, mfa_policy=policy)


def make_client(
    server: Server,
    client_id: str,
    *,
    secret: str | None = None,
    realm_names: tuple[str, ...] = (),
    **changes: object,
) -> Client:
    """A confidential client with that secret, or a public one."""
    client = Client(
        id=client_id,
        name=client_id,
        app_type="regular_web" if secret else "native",
        auth_method="client_secret_post" if secret else "none",
        created_at=now(),
        grant_types=accounts.grant_types_of(list(ALL_GRANTS)),
        secret_digests=(digest(secret),) if secret else (),
    )
    client = replace(client, **changes)  # type: ignore[arg-type]
    with server.db.write() as conn:
        clients.add_client(conn, client)
        for name in realm_names:
            realm = realms.find_realm_by_name(conn, name)
            assert realm is not None
            realms.set_clients_of(conn, realm.id, [*realms.list_clients_of(conn, realm.id), client.id])
    return client


def make_api(server: Server, identifier: str = API, **changes: object) -> Api:
    api = Api(random_id(24, accounts.HEX), identifier, identifier, now(), ("read:things", "write:things"))
    api = replace(api, **({"allow_offline_access": True} | changes))  # type: ignore[arg-type]
    with server.db.write() as conn:
        apis.add_api(conn, api)
        signing.ensure_keys(server, conn, api.signing_alg, now())
    return api


def grant_scopes(server: Server, client_id: str, identifier: str, *scopes: str) -> None:
    """Let a client ask for an API for itself."""
    with server.db.write() as conn:
        api = apis.find_api(conn, identifier)
        assert api is not None
        client_grants.remove_client_grant_on(conn, client_id, api.id)
        grant = ClientGrant(f"cgr_{random_id(16)}", client_id, api.id, identifier, scopes, now())
        client_grants.add_client_grant(conn, grant)


def make_user(server: Server, realm: Realm, email: str, password: str = PASSWORD, **profile: object) -> User:
    password_hash = accounts.hash_new_password(server, password)
    user = accounts.new_user(realm, now(), **({"email": email, "email_verified": True} | profile))  # type: ignore[arg-type]
    with server.db.write() as conn:
        user_rows.add_user(conn, replace(user, password_hash=password_hash, password_form=FORM))
    return user


def enroll_totp(server: Server, user: User) -> str:
    """Give somebody a confirmed authenticator app; returns its secret."""
    secret = pyotp.random_base32()
    authenticator_id = f"totp|dev_{random_id()}"
    sealed = server.keyring.seal(secret.encode(), owner_of("authenticators", authenticator_id))
    row = Authenticator(authenticator_id, user.id, "totp", now(), sealed_secret=sealed, confirmed_at=now())
    with server.db.write() as conn:
        authenticators.add_authenticator(conn, row)
    return secret


def switch_on(server: Server, *guardian_names: str) -> None:
    """Let people enrol these factors, by the names that administrators know."""
    ctx = Context(server, now(), ip="")
    with server.db.write() as conn:
        known = find_document(conn, vocabulary.DOCUMENT)
        on = vocabulary.switches(known.content if known else None) | dict.fromkeys(guardian_names, True)
        accounts.put_document(conn, ctx, vocabulary.DOCUMENT, on)
        types = {"message_types": ["sms", "voice"]}
        accounts.put_document(conn, ctx, vocabulary.MESSAGE_TYPES, types)


def enroll_phone(server: Server, user: User, kind: str = "sms", destination: str = "+491701234567") -> str:
    """Give somebody a confirmed telephone, or address; returns its id."""
    authenticator_id = f"{kind}|dev_{random_id()}"
    details: dict[str, object] = {"destination": destination}
    row = Authenticator(authenticator_id, user.id, kind, now(), details=details, confirmed_at=now())
    with server.db.write() as conn:
        authenticators.add_authenticator(conn, row)
    return authenticator_id


def enroll_push(server: Server, user: User, phone: Phone | None = None) -> Phone:
    """Give somebody a confirmed phone, without the way there."""
    phone = phone or Phone()
    phone.id, phone.user_id = f"dev_{random_id()}", user.id
    phone.base = f"{server.settings.issuer}appliance-mfa"
    details: dict[str, object] = {
        "identifier": phone.identifier,
        "public_key": read_key(public_key(phone.private)),
        "matches_numbers": phone.matches_numbers,
    }
    row = Authenticator(
        f"push|{phone.id}", user.id, "push", now(), name=phone.name, details=details, confirmed_at=now()
    )
    with server.db.write() as conn:
        authenticators.add_authenticator(conn, row)
    return phone


def enroll_security_key(server: Server, user: User, **how: Any) -> SecurityKey:
    """Give somebody a confirmed security key: its row is what a registration would have written."""
    key = SecurityKey(**how)
    key.user_handle = user_handle(user.id)
    kind = "webauthn-platform" if key.attachment == "platform" else "webauthn-roaming"
    details: dict[str, object] = {
        "public_key": bytes_to_base64url(encode_cbor(cose_of(key.private_key, key.alg))),
        "aaguid": "00000000-0000-0000-0000-000000000000",
        "rp_id": urlsplit(server.settings.issuer).hostname,
        "transports": ["usb"],
        "is_synced": bool(key.flags & BE),
        "is_backed_up": bool(key.flags & BS),
    }
    row = Authenticator(
        f"{kind}|dev_{random_id()}",
        user.id,
        kind,
        now(),
        credential_id=bytes_to_base64url(key.id),
        details=details,
        confirmed_at=now(),
    )
    with server.db.write() as conn:
        authenticators.add_authenticator(conn, row)
    return key


def give_recovery_code(server: Server, user: User, code: str = "ABCDEFGHIJKLMNOPQRSTUVWX") -> str:
    row = Authenticator(
        f"recovery-code|dev_{random_id()}",
        user.id,
        "recovery_code",
        now(),
        code_digest=digest(code),
        confirmed_at=now(),
    )
    with server.db.write() as conn:
        authenticators.add_authenticator(conn, row)
    return code


def set_default_directory(server: Server, name: str) -> None:
    with server.db.write() as conn:
        tenant.update_tenant(conn, default_directory=name)


def reload_user(server: Server, user: User) -> User:
    with server.db.read() as conn:
        found = user_rows.find_user(conn, user.id)
    assert found is not None
    return found


def loosen_limits(server: Server) -> None:
    """Many logins of one person, and many failures from one address, as one machine that tests needs them.

    Nothing is switched off: every statement that counts is run.
    """
    many, minutely = {"max_attempts": 10**6, "rate": 1000}, {"burst": 10**6, "per_minute": 10**6}
    with server.db.write() as conn:
        put_document(conn, Document(BRUTE_FORCE, {"login_limit": minutely}))
        stages = {LOGIN_STAGE: many, SIGNUP_STAGE: many}
        put_document(
            conn,
            Document(
                THROTTLING,
                {"stage": stages, "passkey_limit": {"per_address": minutely, "per_client": minutely}},
            ),
        )


def usual_limits(server: Server) -> None:
    """What nobody has written."""
    with server.db.write() as conn:
        for name in (BRUTE_FORCE, THROTTLING):
            remove_document(conn, name)


@dataclass(frozen=True)
class Cast:
    """Two realms: `staff` (when enrolled, the default) and `guests` (always)."""

    staff: Realm
    guests: Realm
    app: Client
    """Confidential, secret `app-secret…`."""
    phone_app: Client
    """Public."""
    mallory: Client
    """Somebody else's confidential client, allowed in both realms."""
    alice: User
    alice_totp: str
    alice_recovery: str
    bob: User
    carol: User
    """In `guests`, with Alice's address and a password of her own; not enrolled."""


APP_SECRET = "app-secret-" + "a" * 40
MALLORY_SECRET = "mallory-secret-" + "m" * 40


def make_cast(server: Server) -> Cast:
    staff, guests = make_realm(server, "staff", "when_enrolled"), make_realm(server, "guests", "always")
    names = (staff.name, guests.name)
    set_default_directory(server, staff.name)
    make_api(server)
    app = make_client(server, "app", secret=APP_SECRET, realm_names=names)
    phone_app = make_client(server, "phone-app", realm_names=names)
    mallory = make_client(server, "mallory", secret=MALLORY_SECRET, realm_names=names)
    alice = make_user(server, staff, "alice@example.com", username="alice", phone_number="+491701234567")
    secret, code = enroll_totp(server, alice), give_recovery_code(server, alice)
    bob = make_user(server, staff, "bob@example.com")
    carol = make_user(server, guests, "alice@example.com", CAROLS_PASSWORD)
    return Cast(staff, guests, app, phone_app, mallory, alice, secret, code, bob, carol)
