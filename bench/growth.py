"""What more rows cost: the product's own server on databases of different sizes, driven in turn.

Everybody has one authenticator and one refresh token, so a size is the number of rows of each table. One connection,
so that a latency is a request's and not a queue's, and another person each time. Then the servers end and the purge
is measured (bench.purge).
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median

import pyotp
from sqlalchemy import create_engine, text

from app import accounts
from app.context import Server
from app.settings import Settings
from bench.crowd import add_families, add_people
from bench.driver import Driver, Job
from bench.figures import Figures
from bench.lists import add_admin, add_events, far_behind, time_lists
from bench.purge import add_dead, purge
from bench.seeding import API, PASSWORD, Ground, World, lay
from bench.servers import SETTLE_SECONDS, Running, fresh, opened, serve

SIZES = (1_000, 100_000)
BIG = 1_000_000
ROUNDS = 5
WORKLOADS = {"spread refresh": 1.0, "two-step": 2.5}  # seconds of each
KNOWN = 20_000  # people whom the driver sends, spread over all
DEAD_SHARE = 10  # one of so many people leaves dead rows
NEEDED_SECONDS = {1_000: 30, 100_000: 75, 1_000_000: 480}  # roughly; a size that would not fit is left out


@dataclass(frozen=True)
class Grown:
    rows: int
    settings: Settings
    ground: Ground
    leavers: list[str]
    admin_secret: str
    far: int
    """The id of an event far behind."""
    belay: Running
    driver: Driver

    @property
    def name(self) -> str:
        return size_name(self.rows)


def size_name(rows: int) -> str:
    return f"1e{len(str(rows)) - 1}"


def grow(db: str, sizes: Sequence[int], deadline: float, found: Figures) -> Iterator[str]:
    """Fill in the figures; yields what is done."""
    with ExitStack() as stack:
        grown: list[Grown] = []
        for rows in sizes:
            if time.monotonic() + NEEDED_SECONDS[rows] > deadline:
                found.cut.append(f"growth to {size_name(rows)}")
                break
            began = time.monotonic()
            grown.append(stack.enter_context(_grown(db, rows)))
            found.growth[size_name(rows)] = {"seeding s": time.monotonic() - began}
            yield f"{size_name(rows)} people seeded"
        latencies = [_round(grown) for _ in range(ROUNDS)]
        for one in grown:
            for name in ("refresh", "login"):
                key = f"{one.name} {name}"
                ratios = [found_in[key] / found_in[f"{grown[0].name} {name}"] for found_in in latencies]
                found.growth[one.name] |= {
                    f"{name} p50 ms": median(found_in[key] for found_in in latencies),
                    f"{name} / {grown[0].name}": median(ratios),
                }
            found.growth[one.name] |= time_lists(
                one.belay.port, one.settings.issuer, one.admin_secret, one.leavers[0], one.far
            )
        yield "growth measured"
        for one in grown:
            one.belay.stop()
            with opened(one.settings) as server:
                add_dead(server, one.ground, one.leavers, one.ground.now)
                _settle(server)
                found.growth[one.name] |= purge(server, one.ground.now)
            yield f"{one.name} purged"


@contextmanager
def _grown(db: str, rows: int) -> Iterator[Grown]:
    with fresh(db) as settings:
        with opened(settings) as server:
            ground = lay(server)
            world, leavers = _populate(server, ground, rows)
            admin_secret, far = add_admin(server, ground.now), far_behind(server)
            _settle(server)
        belay = serve(settings)
        try:
            time.sleep(SETTLE_SECONDS)
            with Driver(world) as driver:
                yield Grown(rows, settings, ground, leavers, admin_secret, far, belay, driver)
        finally:
            belay.stop()


def _populate(server: Server, ground: Ground, rows: int) -> tuple[World, list[str]]:
    """One password and one secret for everybody. Returns also the people who will leave dead rows."""
    secret = pyotp.random_base32()
    emails = [f"person{number}@example.com" for number in range(rows)]
    password_hash = accounts.hash_new_password(server, PASSWORD)
    totp = dict.fromkeys(emails, secret)
    ids = add_people(server, ground.realm, emails, ground.now, password_hash=password_hash, totp=totp)
    step = max(1, rows // KNOWN)
    add_events(server, ids, ground.now)
    tokens = add_families(server, ground.realm, ground.client, API, ids, ground.now)
    good = [newest for number, (_, newest) in enumerate(tokens) if number % step == 0]
    known = emails[::step]
    # Neighbours of a page must not come one after the other.
    order = Random(rows)
    order.shuffle(good)
    order.shuffle(known)
    world = World(
        ground.secret, server.settings.database_url, enrolled=dict.fromkeys(known, secret), good=good
    )
    return world, ids[::DEAD_SHARE]


def _settle(server: Server) -> None:
    """What autovacuum does for rows that came in one by one; SQLite has nothing of the kind."""
    if server.db.is_sqlite:
        return
    # The product's own connections give up on a statement that takes long.
    engine = create_engine(server.settings.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _round(grown: Sequence[Grown]) -> dict[str, float]:
    found: dict[str, float] = {}
    for workload, seconds in WORKLOADS.items():
        for one in grown:
            job = Job(workload, one.belay.port, tuple(one.belay.pids), seconds, connections=1)
            p50 = {kind: median(times) * 1000 for kind, times in one.driver.run(job).latencies.items()}
            if workload == "two-step":
                found[f"{one.name} login"] = p50["mfa_required"] + p50["two-step"]
            else:
                found[f"{one.name} refresh"] = p50[workload]
    return found
