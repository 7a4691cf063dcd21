"""What is asked of the figures. Ratios, because they hold on other machines; a few absolute ones beside them."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.driver import HASH
from bench.rounds import FLOOD, Figures

Look = Callable[[Figures], float | None]


@dataclass(frozen=True)
class Goal:
    name: str
    look: Look
    at_least: float | None = None
    at_most: float | None = None
    digits: int = 2


@dataclass(frozen=True)
class Verdict:
    goal: Goal
    value: float

    @property
    def is_met(self) -> bool:
        low, high = self.goal.at_least, self.goal.at_most
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    def __str__(self) -> str:
        low, high = self.goal.at_least, self.goal.at_most
        if low is not None and high is not None:
            asked = f"{low:g} to {high:g}"
        else:
            asked = f"{low:g}" if low is not None else f"at most {high:g}"
        said = "ok" if self.is_met else "NOT MET"
        return f"{self.goal.name:<38}{self.value:>8.{self.goal.digits}f}  {f'(goal {asked})':<18} {said}"


def goals(*, is_sqlite: bool) -> list[Goal]:
    """The database takes its part of a login, so PostgreSQL in its own process has other goals."""
    return [
        Goal("password login / two hashing threads", _over("password", HASH), 0.90 if is_sqlite else 0.85),
        Goal("two-step login / two hashing threads", _over("two-step", HASH), 0.80),
        Goal("password login / bare + hash", _over("password", "bare+hash"), 0.92 if is_sqlite else 0.85),
        Goal("refresh (RS256) / bare", _over("refresh", "bare"), 0.15 if is_sqlite else 0.12),
        Goal("client_credentials / bare", _over("client_credentials", "bare"), 0.30),
        Goal("mfa/challenge / bare", _over("challenge", "bare"), 0.15),
        Goal("jwks / bare", _over("jwks", "bare"), 0.70),
        Goal("early error / bare", _over("early error", "bare"), 0.60),
        Goal("latency unknown user / wrong password", _over(*REFUSED), 0.9, 1.1),
        Goal("refresh p99 in flood / alone", _flood_p99, at_most=2.0),
        Goal("logins/s in flood / 16 connections", _over("flooding logins", "password"), 0.9),
        Goal("refused in flood (503)", _once("refused in flood"), at_most=0, digits=0),
        Goal(
            "refreshes unanswered in flood",
            _once(f"paced refreshes {FLOOD}: unanswered"),
            at_most=0,
            digits=0,
        ),
        Goal("refresh p99 in flood, ms", lambda found: found.p99_ms(FLOOD), at_most=50, digits=1),
        Goal("CPU of a login beyond the hash, ms", _beyond_hash, at_most=1.5 if is_sqlite else 3.0),
        Goal("start to first answer, s", _once("start s"), at_most=0.7),
        Goal("memory (PSS) at start, MiB", _once("PSS at start MiB"), at_most=130, digits=0),
        Goal("memory (PSS) after flood, MiB", _once("PSS after flood MiB"), at_most=260, digits=0),
    ]


REFUSED = ("unknown user p50 ms", "wrong password p50 ms")


def judge(found: Figures, *, is_sqlite: bool) -> list[Verdict]:
    """One verdict for each goal whose figures were measured."""
    looked = [(goal, goal.look(found)) for goal in goals(is_sqlite=is_sqlite)]
    return [Verdict(goal, value) for goal, value in looked if value is not None]


def _over(name: str, reference: str) -> Look:
    return lambda found: found.ratio(name, reference)


def _once(name: str) -> Look:
    return lambda found: found.once.get(name)


def _flood_p99(found: Figures) -> float | None:
    alone, flood = found.p99_ms("alone"), found.p99_ms(FLOOD)
    return flood / alone if alone and flood else None


def _beyond_hash(found: Figures) -> float | None:
    both = [r for r in found.rounds if "password CPU ms" in r]
    values = sorted(r["password CPU ms"] - r[f"{HASH} CPU ms"] for r in both)
    return values[len(values) // 2] if values else None
