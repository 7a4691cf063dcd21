"""Fills a fresh database with the people and applications that the workloads need."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pyotp

from app import accounts
from app.context import Context, Server
from app.crypto import digest, owner_of, random_id, random_token
from app.store import authenticators, clients, realms, schema, tenant
from app.store.apis import Api
from app.store.authenticators import Authenticator
from app.store.clients import Client

PASSWORD = "correct horse battery staple"
API = "https://bench.example.com"
CLIENT = "bench"
REALM = "people"
OPEN_REALM = "unguarded"
GRANTS = ["password", "password-realm", "mfa", "refresh_token", "client_credentials"]


@dataclass(frozen=True)
class World:
    """What the driver must know of the database."""

    secret: str
    plain: list[str]
    """People without a second factor."""
    enrolled: dict[str, str]
    """People with an authenticator app, and its secret."""


def seed(server: Server, *, plain: int = 256, enrolled: int = 2000) -> World:
    """One password for everybody, hashed once. `unguarded` counts no wrong passwords, so that load can send many."""
    now = datetime.now(UTC)
    schema.upgrade(server.db)
    accounts.install(server, now)
    world = World(
        random_token(),
        [f"plain{number}@example.com" for number in range(plain)],
        {f"enrolled{number}@example.com": pyotp.random_base32() for number in range(enrolled)},
    )
    password_hash = accounts.hash_new_password(server, PASSWORD)
    ctx = Context(server, now, ip="")
    with server.db.write() as conn:
        realm = accounts.create_realm(conn, ctx, accounts.new_realm(REALM, now, mfa_mode="when_enrolled"))
        open_options = {"brute_force_protection": False}
        unguarded = accounts.create_realm(
            conn, ctx, accounts.new_realm(OPEN_REALM, now, options=open_options)
        )
        tenant.update_tenant(conn, default_directory=REALM)
        api = Api(random_id(24, accounts.HEX), API, API, now, ("read:things",), allow_offline_access=True)
        accounts.create_api(conn, ctx, api)
        client = Client(
            id=CLIENT,
            name=CLIENT,
            app_type="regular_web",
            auth_method="client_secret_post",
            created_at=now,
            grant_types=accounts.grant_types_of(GRANTS),
            secret_digests=(digest(world.secret),),
        )
        clients.add_client(conn, client)
        accounts.grant_scopes(conn, ctx, CLIENT, API, ("read:things",))
        for found in (realm, unguarded):
            realms.set_clients_of(conn, found.id, [CLIENT])
        known = accounts.new_user(unguarded, now, email=world.plain[0], email_verified=True)
        accounts.create_user(conn, ctx, known, password_hash)
        for email in (*world.plain, *world.enrolled):
            user = accounts.new_user(realm, now, email=email, email_verified=True)
            accounts.create_user(conn, ctx, user, password_hash)
            if email in world.enrolled:
                id = f"totp|dev_{random_id()}"
                sealed = server.keyring.seal(world.enrolled[email].encode(), owner_of("authenticators", id))
                row = Authenticator(id, user.id, "totp", now, sealed_secret=sealed, confirmed_at=now)
                authenticators.add_authenticator(conn, row)
    return world
