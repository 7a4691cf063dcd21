"""Rounds: every server is up, each round drives them in turn, so that a noisy minute hits both sides of a ratio."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median

from app.store import rules
from app.store.database import Database
from bench.driver import COMMITS, CONNECTIONS, HASH, WARM_UP, Driver, Job
from bench.figures import OTHERS, Figures
from bench.flood import flood
from bench.processes import cpu_seconds, machine_seconds, tree
from bench.servers import Running, Servers
from bench.wire import Measured
from bench.workloads import RULED

FLOOD = "flood"
MIX = "mix"

# Weight in the time of a round. What is divided stands near what it is divided by.
ORDER = {
    HASH: 0.8,
    "bare+hash": 1.0,
    "password": 1.5,
    "lone login": 0.8,
    RULED: 0.8,
    "two-step": 1.5,
    "refused": 2.0,
    "bare": 0.6,
    "refresh": 1.2,
    "commit": 0.3,
    "durable commit": 0.3,
    "refresh reuse": 0.5,
    "client_credentials": 0.8,
    "challenge": 0.8,
    "jwks": 0.6,
    "early error": 0.6,
    MIX: 3.0,
    FLOOD: 0.0,
}
REFERENCES = (HASH, "bare+hash", "bare", "lone login", *COMMITS)
FEW_CONNECTIONS = {"refused": 2, "lone login": 1, RULED: 1}  # latency of single requests, not of a queue
MOST_A_SECOND = 6000  # detections of reuse, far above what is expected of any machine with two cores


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float
    """Of a workload with weight 1."""
    flood_seconds: float
    floods: tuple[int, ...]
    """Logins in flight."""
    left_out: tuple[str, ...] = ()
    only: str | None = None

    @property
    def names(self) -> list[str]:
        left = [name for name in ORDER if name not in self.left_out]
        if self.only is None:
            return left
        return [name for name in ORDER if name == self.only or (name in REFERENCES and name in left)]

    @property
    def reuse_tokens(self) -> int:
        """As many as can be sent in the time."""
        return int(self.rounds * self.seconds * ORDER["refresh reuse"] * (1 + WARM_UP) * MOST_A_SECOND)


def measure(servers: Servers, plan: Plan, deadline: float, found: Figures) -> Iterator[int]:
    """Fill in the figures; yields the number of each round that is done. Begins none that would end too late."""
    started = time.monotonic()
    found.once |= {
        "start s": median(servers.start_seconds),
        "PSS at start MiB": servers.pss_at_start,
    }
    with Driver(servers.world) as driver:
        longest = 0.0
        others = _seconds_of_others()
        for number in range(plan.rounds):
            began = time.monotonic()
            if began + longest > deadline:
                found.cut.append(f"{plan.rounds - number} of {plan.rounds} rounds")
                return
            figures: dict[str, float] = {}
            found.rounds.append(figures)  # before it is full: what a limit cuts off counts as far as it came
            _round(driver, servers, plan, found, figures)
            longest = max(longest, time.monotonic() - began)
            spent = (_seconds_of_others() - others) / (time.monotonic() - started)
            found.once[OTHERS] = spent / (os.cpu_count() or 1) * 100
            yield number + 1


def _seconds_of_others() -> float:
    return machine_seconds() - cpu_seconds(tree(os.getpid()))


def _round(driver: Driver, servers: Servers, plan: Plan, found: Figures, figures: dict[str, float]) -> None:
    for name in plan.names:
        if name == FLOOD:
            flood(driver, servers.belay, plan.floods, plan.flood_seconds, found, figures)
            continue
        target = _target(servers, name)
        connections = FEW_CONNECTIONS.get(name, CONNECTIONS)
        job = Job(name, target.port, tuple(target.pids), ORDER[name] * plan.seconds, connections)
        with _rules_enabled(servers) if name == RULED else nullcontext():
            measured = driver.run(job)
        found.surprise(measured.unexpected)
        if name == MIX:
            _mix(measured, found, figures)
            continue
        for kind, latencies in measured.latencies.items():
            figures[kind] = measured.rate(kind)
            figures[f"{kind} p50 ms"] = median(latencies) * 1000
            # Where two kinds take turns (the steps of a login), one stands for a whole turn.
            share = len(latencies) if name != "refused" else measured.answers
            figures[f"{kind} CPU ms"] = measured.cpu / share * 1000


@contextmanager
def _rules_enabled(servers: Servers) -> Iterator[None]:
    db = Database(servers.world.database_url)
    for is_enabled in (True, False):
        with db.write() as conn:
            for rule in rules.list_rules(conn):
                rules.update_rule(conn, rule.id, is_enabled=is_enabled)
        if is_enabled:
            yield
    db.dispose()


def _mix(measured: Measured, found: Figures, figures: dict[str, float]) -> None:
    """A login is one call of the mix, though it takes two requests."""
    for kind, latencies in measured.latencies.items():
        found.latencies.setdefault(kind, []).extend(latencies)
        figures[kind] = measured.rate(kind)
    calls = measured.answers - len(measured.latencies.get("mix mfa-otp", ()))
    figures[MIX] = calls / measured.seconds
    figures[f"{MIX} CPU ms"] = measured.cpu / calls * 1000
    figures["mix hashes"] = measured.rate("mix password") + measured.rate("mix wrong password")


def _target(servers: Servers, name: str) -> Running:
    return {"bare": servers.bare, "bare+hash": servers.bare_hash}.get(name, servers.belay)
