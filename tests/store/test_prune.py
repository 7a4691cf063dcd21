"""Pruning removes what nothing can ask for again, in small batches, and never what a decision rests on."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, insert, select, update

from app import upkeep
from app.context import Server
from app.store import buckets, prune
from app.store.attempts import FORGOTTEN_AFTER, password_attempts
from app.store.authenticators import authenticators
from app.store.base import metadata
from app.store.clients import client_assertions
from app.store.events import events
from app.store.opaque_tokens import opaque_tokens
from app.store.passkeys import passkey_challenges
from app.store.prune import BATCH, KEPT_FOR
from app.store.refresh_families import refresh_families
from app.store.transactions import transactions
from tests import making
from tests.conftest import NOON
from tests.evidence import report, size, within
from tests.making import Cast

LONG_AGO = NOON - timedelta(days=400)
SECOND = timedelta(seconds=1)
DEAD, ALIVE = NOON - KEPT_FOR - SECOND, NOON - KEPT_FOR + SECOND
LONGEST_BATCH_SECONDS = 0.1


def keys_left(server: Server, table: Table) -> set[str]:
    key = list(table.primary_key.columns)[-1]
    with server.db.read() as conn:
        return set(conn.execute(select(key)).scalars())


def add(server: Server, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    with server.db.write() as conn:
        conn.execute(insert(table), list(rows))


def family(cast: Cast, handle: str, **changes: object) -> dict[str, object]:
    row = {
        "handle_digest": handle,
        "is_rotating": True,
        "user_id": cast.alice.id,
        "realm_id": cast.staff.id,
        "client_id": cast.app.id,
        "audience": "",
        "scope": "",
        "gty": ["password"],
        "methods": [],
        "current_digest": handle,
        "parent_digest": None,
        "sealed_successor": None,
        "generation": 0,
        "created_at": LONG_AGO,
        "rotated_at": LONG_AGO,
        "expires_at": None,
        "idle_expires_at": None,
        "revoked_at": None,
    }
    return row | changes


def opaque(cast: Cast, token: str, expires_at: datetime) -> dict[str, object]:
    return {
        "token_digest": token,
        "user_id": cast.alice.id,
        "client_id": cast.app.id,
        "family": None,
        "scope": "",
        "issued_at": LONG_AGO,
        "expires_at": expires_at,
    }


def transaction(cast: Cast, name: str, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "id": name,
        "token_digest": name,
        "user_id": cast.alice.id,
        "realm_id": cast.staff.id,
        "client_id": cast.app.id,
        "audience": "",
        "scope": "",
        "requested_scope": None,
        "gty": [],
        "methods": [],
        "created_at": LONG_AGO,
        "expires_at": ALIVE,
        "consumed_at": None,
    }
    return row | changes


def attempt(key: str, failures: int, failed_at: datetime, reserved_at: datetime) -> dict[str, object]:
    return {
        "key": key,
        "realm_id": "r",
        "identity": key,
        "identifier": key,
        "ip": "192.0.2.1",
        "failures": failures,
        "pending": 0,
        "reserved_at": reserved_at,
        "failed_at": failed_at,
    }


def test_a_refresh_family_stays_as_long_as_its_reuse_must_be_recognised(server: Server, cast: Cast) -> None:
    rows = [
        family(cast, "expired long ago", expires_at=DEAD),
        family(cast, "idle for too long", idle_expires_at=DEAD, expires_at=NOON + SECOND),
        family(cast, "expired today", expires_at=ALIVE),
        family(cast, "live", expires_at=NOON + SECOND, idle_expires_at=NOON + SECOND),
        family(cast, "live for ever"),
        family(cast, "revoked", revoked_at=LONG_AGO, expires_at=NOON + SECOND),
        family(cast, "rotated often", generation=9999, parent_digest="p", expires_at=NOON + SECOND),
    ]
    add(server, refresh_families, rows)
    removed = upkeep.prune_all(server, NOON)
    assert removed["refresh_families"] == 2
    assert keys_left(server, refresh_families) == {row["handle_digest"] for row in rows[2:]}


def test_a_transaction_and_a_token_are_told_expired_for_a_day(server: Server, cast: Cast) -> None:
    add(
        server,
        transactions,
        [
            transaction(cast, "dead", expires_at=DEAD),
            transaction(cast, "used and dead", expires_at=DEAD, consumed_at=LONG_AGO),
            transaction(cast, "used"),
            transaction(cast, "expired") | {"consumed_at": NOON},
        ],
    )
    add(server, opaque_tokens, [opaque(cast, "dead", DEAD), opaque(cast, "expired", ALIVE)])
    seen = [("dead", DEAD), ("seen", ALIVE)]
    add(
        server,
        client_assertions,
        [{"client_id": cast.app.id, "jti": jti, "expires_at": at} for jti, at in seen],
    )
    upkeep.prune_all(server, NOON)
    assert keys_left(server, transactions) == {"used", "expired"}
    assert keys_left(server, opaque_tokens) == {"expired"}
    assert keys_left(server, client_assertions) == {"seen"}


def test_what_strangers_were_asked_is_gone_with_the_next_round_however_much_it_is(
    server: Server, cast: Cast
) -> None:
    asked = {
        "client_id": cast.app.id,
        "realm_id": cast.staff.id,
        "ceremony": "webauthn.get",
        "challenge": "c",
        "rp_id": "example.com",
        "verification": "preferred",
        "person": {},
        "expires_at": NOON - SECOND,
        "used_at": None,
    }
    rows = [asked | {"handle_digest": f"{number}"} for number in range(4 * BATCH)]
    add(server, passkey_challenges, [*rows, asked | {"handle_digest": "open", "expires_at": NOON + SECOND}])
    upkeep.prune_round(server, NOON)
    assert keys_left(server, passkey_challenges) == {"open"}


def test_a_lock_stays_for_its_thirty_days(server: Server, cast: Cast) -> None:
    forgotten, remembered = NOON - FORGOTTEN_AFTER - SECOND, NOON - FORGOTTEN_AFTER + SECOND
    pending = attempt("somebody is at it", 0, LONG_AGO + FORGOTTEN_AFTER * 13, NOON) | {"pending": 1}
    add(
        server,
        password_attempts,
        [
            attempt("blocked", 10, remembered, LONG_AGO),
            attempt("some failures", 3, remembered, LONG_AGO),
            attempt("forgotten", 10, forgotten, LONG_AGO),
            attempt("clean for a day", 0, remembered, DEAD),
            attempt("clean since today", 0, remembered, ALIVE),
            pending,
        ],
    )
    upkeep.prune_all(server, NOON)
    assert keys_left(server, password_attempts) == {
        "blocked",
        "some failures",
        "clean since today",
        "somebody is at it",
    }


def test_counters_and_used_time_steps_are_never_pruned(server: Server, cast: Cast) -> None:
    with server.db.write() as conn:
        conn.execute(
            update(authenticators).values(created_at=LONG_AGO, confirmed_at=LONG_AGO, counter=7, failures=49)
        )
    before = rows_of(server, authenticators), rows_of(server, events)
    upkeep.prune_all(server, NOON + timedelta(days=3650))
    assert (rows_of(server, authenticators), rows_of(server, events)) == before


def test_a_bucket_is_kept_until_all_of_it_has_leaked_out(server: Server) -> None:
    with server.db.write() as conn:
        for _ in range(2):
            assert buckets.spend(conn, "guess", size=2, refill_seconds=60, now=NOON) is None
    upkeep.prune_all(server, NOON + timedelta(seconds=119))
    assert keys_left(server, buckets.buckets) == {"guess"}
    upkeep.prune_all(server, NOON + timedelta(seconds=121))
    assert keys_left(server, buckets.buckets) == set()


def rows_of(server: Server, table: Table) -> list[Any]:
    with server.db.read() as conn:
        return list(conn.execute(select(table).order_by(*table.primary_key.columns)).all())


def test_an_enrolment_that_was_never_confirmed_goes_after_a_day(server: Server, cast: Cast) -> None:
    making.enroll_totp(server, cast.bob)
    with server.db.write() as conn:
        bobs = authenticators.c.user_id == cast.bob.id
        conn.execute(update(authenticators).where(bobs).values(confirmed_at=None, created_at=ALIVE))
        conn.execute(update(authenticators).where(~bobs).values(created_at=LONG_AGO))
    assert upkeep.prune_all(server, NOON)["authenticators"] == 0
    assert upkeep.prune_all(server, NOON + 2 * SECOND)["authenticators"] == 1


def test_a_family_that_wakes_up_while_it_is_removed_stays(server: Server, cast: Cast) -> None:
    """A refresh has the row when pruning comes to it: what is dead is asked again before it goes."""
    add(server, refresh_families, [family(cast, "woken", idle_expires_at=DEAD, expires_at=NOON + SECOND)])
    pruning = threading.Thread(target=upkeep.prune_all, args=(server, NOON))
    with server.db.write() as conn:
        conn.execute(update(refresh_families).values(idle_expires_at=NOON + SECOND))
        pruning.start()
        pruning.join(0.3)
        assert pruning.is_alive(), "it waits for the refresh"
    pruning.join()
    assert keys_left(server, refresh_families) == {"woken"}


def count(conn: Connection, table: Table) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.mark.slow
def test_batches_are_small_and_short(server: Server, cast: Cast) -> None:
    dead = size(5_000, 200_000)
    for first in range(0, dead, 5_000):
        add(server, opaque_tokens, [opaque(cast, f"dead {first + n}", DEAD) for n in range(5_000)])
    add(server, opaque_tokens, [opaque(cast, f"live {n}", ALIVE) for n in range(1000)])
    step = next(n for n in range(prune.steps(NOON)) if prune._dead_rows(NOON)[n][0] is opaque_tokens)
    seconds, removed = [], BATCH
    while removed == BATCH:
        with server.db.write() as conn:
            started = time.perf_counter()
            table, removed = prune.prune_step(conn, step, NOON)
            seconds.append(time.perf_counter() - started)
            assert table == "opaque_tokens" and removed <= BATCH
    with server.db.read() as conn:
        assert count(conn, opaque_tokens) == 1000
    median = sorted(seconds)[len(seconds) // 2]
    assert median < within(LONGEST_BATCH_SECONDS)
    report(
        "T52 pruning",
        tried=f"{dead} dead among 1000 live rows, batches of {BATCH}",
        held=f"median {median * 1000:.1f} ms, longest {max(seconds) * 1000:.1f} ms a batch",
    )


def test_every_table_with_an_end_of_life_is_pruned(server: Server) -> None:
    """A new table with `expires_at` is either pruned or named here."""
    pruned = {table.name for table, _, _ in prune._dead_rows(NOON)}
    mortal = {table.name for table in metadata.tables.values() if "expires_at" in table.c}
    assert mortal - {"client_keys"} <= pruned, "administrators see those that ran out, and remove them"
