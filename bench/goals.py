"""What is asked of the figures. Ratios first, because they hold on other machines; absolute figures beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.driver import HASH
from bench.figures import Figures
from bench.flood import ALONE, GOAL_FLOOD, beside
from bench.growth import BIG, SIZES, size_name
from bench.lists import FIRST_PAGES, FROM_FAR, FROM_THE_START
from bench.workloads import RULED

Look = Callable[[Figures], float | None]


@dataclass(frozen=True)
class Goal:
    name: str
    look: Look
    at_least: float | None = None
    at_most: float | None = None
    """Neither: the figure is shown, and nothing is asked of it."""
    unit: str = ""
    """Empty for a ratio."""
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
        low, high, unit = self.goal.at_least, self.goal.at_most, self.goal.unit
        shown = f"{self.goal.name + (f', {unit}' if unit else ''):<44}{self.value:>8.{self.goal.digits}f}"
        if low is None and high is None:
            return shown
        if low is not None and high is not None:
            asked = f"{low:g} to {high:g}"
        else:
            asked = f"{low:g}" if low is not None else f"at most {high:g}"
        said = "ok" if self.is_met else "NOT MET"
        return f"{shown}  {f'(goal {asked})':<18} {said}"


def goals(*, is_sqlite: bool) -> list[Goal]:
    """The database takes its part of a login, so PostgreSQL in its own process has other goals."""
    paced, logins = beside(GOAL_FLOOD), f"{GOAL_FLOOD} logins in flight"
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
        Goal("refresh p99 in flood / alone", _p99_over(paced, ALONE), at_most=2.0),
        Goal("logins/s in flood / 16 connections", _over(logins, "password"), 0.9),
        Goal("memory after 400 logins / after 200", _memory_grows, at_most=1.1),
        *_growth_ratios(),
        *_list_goals(),
        Goal("mix, its hashes / two hashing threads", _over("mix hashes", HASH)),
        Goal("refresh reuse / refresh", _over("refresh reuse", "refresh")),
        Goal("refresh / one commit after the other", _over("refresh", "commit")),
        Goal("refresh / one durable commit after the other", _over("refresh", "durable commit")),
        Goal("refresh p99 beside 50 logins / alone", _p99_over(beside(50), ALONE)),
        Goal("refresh p99 beside 400 logins / alone", _p99_over(beside(400), ALONE)),
        Goal("refused in flood (503)", _once(f"{paced}: refused"), at_most=0, unit="answers", digits=0),
        Goal("unanswered in flood", _once(f"{paced}: unanswered"), at_most=0, unit="refreshes", digits=0),
        Goal("refresh p99 in flood", lambda found: found.p99_ms(paced), at_most=50, unit="ms", digits=1),
        Goal("CPU of a login beyond the hash", _beyond_hash, at_most=1.5 if is_sqlite else 3.0, unit="ms"),
        Goal("three rules in a login", _rules_cost, at_most=5.0, unit="ms"),
        Goal("start to first answer", _once("start s"), at_most=0.7, unit="s"),
        Goal("memory (PSS) at start", _once("PSS at start MiB"), at_most=130, unit="MiB", digits=0),
        Goal("memory (PSS) after flood", _memory_after_flood, at_most=260, unit="MiB", digits=0),
        *_purge_goals(),
    ]


REFUSED = ("unknown user p50 ms", "wrong password p50 ms")
GROWN = [size_name(rows) for rows in (*SIZES, BIG)]


def judge(found: Figures, *, is_sqlite: bool) -> list[Verdict]:
    """One verdict for each goal whose figures were measured, ratios first."""
    looked = [(goal, goal.look(found)) for goal in goals(is_sqlite=is_sqlite)]
    verdicts = [Verdict(goal, value) for goal, value in looked if value is not None]
    return sorted(verdicts, key=lambda verdict: verdict.goal.unit != "")


def _growth_ratios() -> list[Goal]:
    return [
        Goal(f"{name} p50 with {size} rows / {GROWN[0]}", _grown(size, f"{name} / {GROWN[0]}"), at_most=1.3)
        for size in GROWN[1:]
        for name in ("refresh", "login")
    ]


def _list_goals() -> list[Goal]:
    firsts = [
        Goal(f"{name}, first page, {size} rows", _grown(size, f"{name} ms"), None, 50, "ms", 1)
        for size in GROWN
        for name in FIRST_PAGES
    ]
    depth = [
        Goal(
            f"{FROM_FAR} / the start, {size} rows", _grown_ratio(size, FROM_FAR, FROM_THE_START), at_most=1.5
        )
        for size in GROWN
    ]
    return firsts + depth


def _grown_ratio(size: str, name: str, reference: str) -> Look:
    def look(found: Figures) -> float | None:
        one, other = _grown(size, f"{name} ms")(found), _grown(size, f"{reference} ms")(found)
        return one / other if one and other else None

    return look


def _purge_goals() -> list[Goal]:
    return [
        goal
        for size in GROWN
        for goal in (
            Goal(f"purge, longest lock, {size} rows", _grown(size, "longest lock ms"), None, 20, "ms", 1),
            Goal(f"purge, slowest step, {size} rows", _grown(size, "slowest step ms"), unit="ms", digits=1),
            Goal(f"purge, {size} rows", _grown(size, "purged a second"), unit="rows/s", digits=0),
        )
    ]


def _over(name: str, reference: str) -> Look:
    return lambda found: found.ratio(name, reference)


def _once(name: str) -> Look:
    return lambda found: found.once.get(name)


def _grown(size: str, name: str) -> Look:
    return lambda found: found.growth.get(size, {}).get(name)


def _p99_over(name: str, reference: str) -> Look:
    def look(found: Figures) -> float | None:
        one, other = found.p99_ms(name), found.p99_ms(reference)
        return one / other if one and other else None

    return look


def _rules_cost(found: Figures) -> float | None:
    """What a login takes longer, round by round: a noisy minute hits both."""
    with_rules, without = f"{RULED} p50 ms", "lone login p50 ms"
    both = [each for each in found.rounds if with_rules in each and without in each]
    return median(each[with_rules] - each[without] for each in both) if both else None


def _memory_after_flood(found: Figures) -> float | None:
    """The most that any flood left behind."""
    after = [mib for figures in found.rounds for name, mib in figures.items() if name.startswith("PSS after")]
    return max(after, default=None)


def _memory_grows(found: Figures) -> float | None:
    """In the first round: memory that was taken once may stay."""
    first = found.rounds[0] if found.rounds else {}
    small, big = first.get("PSS after 200 logins MiB"), first.get("PSS after 400 logins MiB")
    return big / small if small and big else None


def _beyond_hash(found: Figures) -> float | None:
    both = [r for r in found.rounds if "password CPU ms" in r]
    values = sorted(r["password CPU ms"] - r[f"{HASH} CPU ms"] for r in both)
    return values[len(values) // 2] if values else None
