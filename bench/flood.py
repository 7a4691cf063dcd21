"""Refreshes at a fixed pace, alone and beside ever more logins in flight: what those who need no hash have to bear.

A refresh's latency counts from the moment at which it was meant to start (bench.wire), so one that the server or the
client could not begin in time has waited nevertheless.
"""

from collections.abc import Sequence

from bench.driver import Driver, Job
from bench.figures import Figures
from bench.servers import Running

PACED = "refresh"
ALONE = "refresh alone"
GOAL_FLOOD = 200  # the one that the goals speak of


def beside(logins: int) -> str:
    """The name of its paced refreshes."""
    return f"refresh beside {logins} logins"


def flood(
    driver: Driver,
    belay: Running,
    sizes: Sequence[int],
    seconds: float,
    found: Figures,
    figures: dict[str, float],
) -> None:
    for logins in (0, *sizes):
        name = beside(logins) if logins else ALONE
        measured = driver.run(Job(PACED, belay.port, tuple(belay.pids), seconds, flooding=logins))
        found.latencies.setdefault(name, []).extend(measured.latencies.get(PACED, ()))
        found.surprise(measured.unexpected)
        found.count(f"{name}: unanswered", measured.unanswered)
        if logins:
            refused = sum(n for kind, n in measured.unexpected.items() if kind.endswith(" 503"))
            found.count(f"{name}: refused", refused)
            figures[f"{logins} logins in flight"] = measured.rate("password")
            figures[f"PSS after {logins} logins MiB"] = belay.pss_mib()
