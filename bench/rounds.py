"""Rounds: every server is up, each round drives them in turn, so that a noisy minute hits both sides of a ratio."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from bench.driver import HASH, Driver, Job
from bench.processes import cpu_seconds, machine_seconds, tree
from bench.servers import Running, Servers

FLOOD = "flood"
FLOOD_CONNECTIONS = 200
PACED = "refresh"
OTHERS = "taken by others %"

# Weight in the time of a round. What is divided stands near what it is divided by.
ORDER = {
    HASH: 0.8,
    "bare+hash": 1.0,
    "password": 1.5,
    "two-step": 1.5,
    "refused": 2.0,
    "bare": 0.6,
    "refresh": 1.2,
    "client_credentials": 0.8,
    "challenge": 0.8,
    "jwks": 0.6,
    "early error": 0.6,
    FLOOD: 0.0,
}
REFERENCES = (HASH, "bare+hash", "bare")


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float
    """Of a workload with weight 1."""
    flood_seconds: float
    limit: float
    only: str | None = None

    @property
    def names(self) -> list[str]:
        return [name for name in ORDER if self.only in (None, name) or name in REFERENCES]


@dataclass
class Figures:
    rounds: list[dict[str, float]] = field(default_factory=list)
    """By kind of answer: a second; and the processor milliseconds and median latency of each."""
    paced: dict[str, list[float]] = field(default_factory=dict)
    """Latencies of the paced refreshes `alone` and in the `flood`, all rounds together: a p99 needs many."""
    once: dict[str, float] = field(default_factory=dict)
    unexpected: dict[str, int] = field(default_factory=dict)
    """Answers with another status, by kind and status."""

    def surprise(self, answers: Counter[str]) -> None:
        for name, number in answers.items():
            self.unexpected[name] = self.unexpected.get(name, 0) + number

    def middle(self, name: str) -> float | None:
        values = [found[name] for found in self.rounds if name in found]
        return median(values) if values else self.once.get(name)

    def ratio(self, name: str, reference: str) -> float | None:
        """The median of the rounds' ratios, which is not the ratio of the medians."""
        both = [found for found in self.rounds if name in found and found.get(reference)]
        return median(found[name] / found[reference] for found in both) if both else None

    def p99_ms(self, which: str) -> float | None:
        return percentile(self.paced.get(which, []), 0.99)


def percentile(seconds: list[float], part: float) -> float | None:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * part))] * 1000 if seconds else None


def measure(servers: Servers, plan: Plan, found: Figures) -> Iterator[int]:
    """Fill in the figures; yields the number of each round that is done."""
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
            if began - started + longest > plan.limit and found.rounds:
                return
            found.rounds.append(_round(driver, servers, plan, found))
            longest = max(longest, time.monotonic() - began)
            spent = (_seconds_of_others() - others) / (time.monotonic() - started)
            found.once[OTHERS] = spent / (os.cpu_count() or 1) * 100
            yield number + 1


def _seconds_of_others() -> float:
    return machine_seconds() - cpu_seconds(tree(os.getpid()))


def _round(driver: Driver, servers: Servers, plan: Plan, found: Figures) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in plan.names:
        if name == FLOOD:
            figures |= _flood(driver, servers, plan.flood_seconds, found)
            continue
        target = _target(servers, name)
        measured = driver.run(Job(name, target.port, tuple(target.pids), ORDER[name] * plan.seconds))
        answers = sum(map(len, measured.latencies.values()))
        for kind, latencies in measured.latencies.items():
            figures[kind] = measured.rate(kind)
            figures[f"{kind} p50 ms"] = median(latencies) * 1000
            # Where two kinds take turns (the steps of a login), one stands for a whole turn.
            share = len(latencies) if name != "refused" else answers
            figures[f"{kind} CPU ms"] = measured.cpu / share * 1000
        found.surprise(measured.unexpected)
    return figures


def _target(servers: Servers, name: str) -> Running:
    return {"bare": servers.bare, "bare+hash": servers.bare_hash}.get(name, servers.belay)


def _flood(driver: Driver, servers: Servers, seconds: float, found: Figures) -> dict[str, float]:
    belay = servers.belay
    for which, connections in (("alone", 0), (FLOOD, FLOOD_CONNECTIONS)):
        job = Job(PACED, belay.port, tuple(belay.pids), seconds, flooding=connections)
        measured = driver.run(job)
        found.paced.setdefault(which, []).extend(measured.latencies.get(PACED, ()))
        found.surprise(measured.unexpected)
        asked = f"paced refreshes {which}: unanswered"
        found.once[asked] = found.once.get(asked, 0) + measured.unanswered
    found.once["PSS after flood MiB"] = belay.pss_mib()
    refused = sum(n for kind, n in measured.unexpected.items() if kind.endswith(" 503"))
    found.once["refused in flood"] = found.once.get("refused in flood", 0) + refused
    return {"flooding logins": measured.rate("password")}
