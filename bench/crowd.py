"""Rows in bulk: people, their authenticators and refresh tokens, as the product would have stored them one by one.

Written straight into the product's tables, many rows a transaction, because a hundred thousand people would take the
product's own functions minutes. `dead_rows` are what a purge finds.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from sqlalchemy import Table, insert

from app.accounts import HEX
from app.context import Server
from app.crypto import digest, owner_of, random_id, random_token
from app.identifiers import normal_key, skeleton
from app.passwords import FORM
from app.store.authenticators import Authenticator, authenticators
from app.store.clients import Client
from app.store.realms import Realm
from app.store.refresh_families import RefreshFamily, refresh_families
from app.store.transactions import Transaction, transactions
from app.store.users import User, identifiers, users
from app.tokens import refresh

ROWS_AT_A_TIME = 2000
SCOPE = "openid profile offline_access"

T = TypeVar("T")
Row = dict[str, object]


def parts(rows: Iterable[T], size: int = ROWS_AT_A_TIME) -> Iterator[list[T]]:
    rows = iter(rows)
    while part := list(islice(rows, size)):
        yield part


def row_of(value: object) -> Row:
    """Its fields; not `asdict`, which copies everything inside them."""
    return dict(vars(value))


def insert_rows(server: Server, table: Table, rows: Iterable[Row]) -> None:
    for part in parts(rows):
        with server.db.write() as conn:
            conn.execute(insert(table), part)


def add_people(
    server: Server,
    realm: Realm,
    emails: Iterable[str],
    now: datetime,
    *,
    password_hash: str | None = None,
    totp: Mapping[str, str] | None = None,
) -> list[str]:
    """People who have this password, and those in `totp` an authenticator app with that secret. Returns their ids."""
    ids: list[str] = []
    secrets = totp or {}
    for part in parts(emails):
        people = [
            User(
                f"auth0|{random_id(24, HEX)}",
                realm.id,
                now,
                now,
                email=email,
                email_verified=True,
                password_hash=password_hash,
                password_form=FORM,
            )
            for email in part
        ]
        insert_rows(server, users, map(row_of, people))
        keys = ((person.id, normal_key(person.email or "") or "") for person in people)
        rows: Iterable[Row] = (
            {"realm_id": realm.id, "key": key, "user_id": id, "skeleton": skeleton(key)} for id, key in keys
        )
        insert_rows(server, identifiers, rows)
        devices = ((p.id, secrets[email]) for p, email in zip(people, part, strict=True) if email in secrets)
        insert_rows(server, authenticators, (_device(server, id, secret, now) for id, secret in devices))
        ids += [person.id for person in people]
    return ids


def _device(server: Server, user_id: str, secret: str, now: datetime) -> Row:
    id = f"totp|dev_{random_id()}"
    sealed = server.keyring.seal(secret.encode(), owner_of("authenticators", id))
    return row_of(Authenticator(id, user_id, "totp", now, sealed_secret=sealed, confirmed_at=now))


def add_families(
    server: Server, realm: Realm, client: Client, audience: str, user_ids: Iterable[str], now: datetime
) -> Iterator[tuple[str, str]]:
    """One refresh token a given id, exchanged once. Yields the token that was spent, and the one that is good."""
    for part in parts(user_ids):
        rows, tokens = [], []
        for user_id in part:
            spent = refresh.new_token()
            newest = refresh.successor_of(spent)
            rows.append(row_of(_family(realm, client, audience, user_id, spent, newest, now)))
            tokens.append((spent, newest))
        insert_rows(server, refresh_families, rows)
        yield from tokens


def _family(
    realm: Realm, client: Client, audience: str, user_id: str, spent: str, newest: str, now: datetime
) -> RefreshFamily:
    before, presented = refresh.read(spent), refresh.read(newest)
    assert before is not None and presented is not None
    return RefreshFamily(
        handle_digest=presented.handle_digest,
        user_id=user_id,
        realm_id=realm.id,
        client_id=client.id,
        audience=audience,
        scope=SCOPE,
        gty=("password",),
        methods=(("pwd", int(now.timestamp())), ("totp", int(now.timestamp()))),
        current_digest=presented.secret_digest,
        parent_digest=before.secret_digest,
        created_at=now,
        rotated_at=now,
        expires_at=refresh.absolute_end(client, now),
        idle_expires_at=refresh.idle_end(client, now),
        generation=1,
    )


def dead_rows(
    realm: Realm, client: Client, audience: str, user_ids: Iterable[str], now: datetime
) -> Iterator[tuple[Table, Row]]:
    """For each id a login that was never finished, and by turns one of what else runs out."""
    long_ago = now - timedelta(days=40)
    unused = now - timedelta(days=20)  # out by disuse, and not yet by age
    for number, user_id in enumerate(user_ids):
        yield transactions, _unfinished_login(realm, client, audience, user_id, long_ago)
        match number % 3:
            case 0:
                yield (
                    authenticators,
                    row_of(Authenticator(f"totp|dev_{random_id()}", user_id, "totp", long_ago)),
                )
            case turn:
                then = long_ago if turn == 1 else unused
                spent = refresh.new_token()
                newest = refresh.successor_of(spent)
                yield (
                    refresh_families,
                    row_of(_family(realm, client, audience, user_id, spent, newest, then)),
                )


def _unfinished_login(realm: Realm, client: Client, audience: str, user_id: str, then: datetime) -> Row:
    return row_of(
        Transaction(
            id=f"mfa_{random_id(22)}",
            token_digest=digest(random_token()),
            user_id=user_id,
            realm_id=realm.id,
            client_id=client.id,
            audience=audience,
            scope=SCOPE,
            requested_scope=SCOPE,
            gty=("password",),
            methods=(("pwd", int(then.timestamp())),),
            demanded=None,
            created_at=then,
            expires_at=then + timedelta(minutes=10),
        )
    )
