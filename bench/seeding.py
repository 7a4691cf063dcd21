"""Fills a fresh database with the people and applications that the workloads need."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice

import pyotp

from app import accounts
from app.accounts.policies import mode_only
from app.context import Context, Server
from app.crypto import digest, random_id, random_token
from app.guards.protection import BRUTE_FORCE, LOGIN_STAGE, SIGNUP_STAGE, THROTTLING
from app.store import clients, realms, rules, schema, tenant
from app.store.apis import Api
from app.store.clients import Client
from app.store.documents import Document, put_document
from app.store.realms import Realm
from app.store.rules import Rule
from bench.crowd import add_families, add_people

PASSWORD = "correct horse battery staple"
API = "https://bench.example.com"
CLIENT = "bench"
REALM = "people"
OPEN_REALM = "unguarded"
GRANTS = ["password", "password-realm", "mfa", "refresh_token", "client_credentials"]

# Small ones, as most are.
RULES = (
    "if ((context.authorization.roles || []).includes('admin')) context.multifactor = {provider: 'any'};",
    "context.idToken['https://bench.example.com/plan'] = (user.app_metadata || {}).plan || 'free';",
    "if (!user.email_verified && context.stats.loginsCount < 0) return callback(new UnauthorizedError('no'));",
)

PLAIN = 256
ENROLLED = 2000
ABSENT = 400


@dataclass(frozen=True)
class World:
    """What the driver must know of the database."""

    secret: str = field(repr=False)
    database_url: str = field(repr=False)
    plain: list[str] = field(default_factory=list)
    """People without a second factor."""
    enrolled: dict[str, str] = field(default_factory=dict)
    """People with an authenticator app, and its secret."""
    spent: list[str] = field(default_factory=list)
    """Refresh tokens that were exchanged for others: each ends its family when it comes again."""
    good: list[str] = field(default_factory=list)
    """Refresh tokens that are the newest of their families."""


@dataclass(frozen=True)
class Ground:
    """What stands in every database before the people come."""

    realm: Realm
    unguarded: Realm
    client: Client
    secret: str
    now: datetime


def lay(server: Server) -> Ground:
    """Schema, keys, realms, application and API. `unguarded` counts no wrong passwords: load can send many."""
    now = datetime.now(UTC)
    schema.upgrade(server.db)
    accounts.install(server, now)
    secret = random_token()
    ctx = Context(server, now, ip="")
    with server.db.write() as conn:
        realm = accounts.create_realm(
            conn, ctx, accounts.new_realm(REALM, now, mfa_policy=mode_only("when_enrolled"))
        )
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
            secret_digests=(digest(secret),),
        )
        clients.add_client(conn, client)
        # One machine asks for everybody: the limits are counted as ever, and never reached.
        many = {"max_attempts": 10**6, "rate": 1000}
        stages = {LOGIN_STAGE: many, SIGNUP_STAGE: many}
        put_document(conn, Document(THROTTLING, {"stage": stages}))
        put_document(conn, Document(BRUTE_FORCE, {"login_limit": {"burst": 10**6, "per_minute": 10**6}}))
        accounts.grant_scopes(conn, ctx, CLIENT, API, ("read:things",))
        for found in (realm, unguarded):
            realms.set_clients_of(conn, found.id, [CLIENT])
        for number, body in enumerate(RULES, 1):
            script = f"function (user, context, callback) {{ {body} callback(null, user, context); }}"
            rules.add_rule(conn, Rule(f"rul_{number}", f"rule {number}", script, number, is_enabled=False))
    return Ground(realm, unguarded, client, secret, now)


def seed(server: Server, *, spent: int) -> World:
    """One password for everybody, hashed once; and so many refresh tokens to come a second time."""
    ground = lay(server)
    plain = [f"plain{number}@example.com" for number in range(PLAIN)]
    enrolled = {f"enrolled{number}@example.com": pyotp.random_base32() for number in range(ENROLLED)}
    password_hash = accounts.hash_new_password(server, PASSWORD)
    everybody = [*plain, *enrolled]
    add_people(server, ground.realm, everybody, ground.now, password_hash=password_hash, totp=enrolled)
    add_people(server, ground.unguarded, plain[:1], ground.now, password_hash=password_hash)
    # People who never log in: a login lets somebody's oldest refresh tokens fall out.
    absent = add_people(server, ground.realm, _names("absent", ABSENT), ground.now)
    owners = islice(cycle(absent), spent)
    tokens = add_families(server, ground.realm, ground.client, API, owners, ground.now)
    return World(
        ground.secret,
        server.settings.database_url,
        plain,
        enrolled,
        [again for again, _ in tokens],
    )


def _names(kind: str, number: int) -> Iterator[str]:
    return (f"{kind}{index}@example.com" for index in range(number))
