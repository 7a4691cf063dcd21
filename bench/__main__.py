"""`python -m bench`: measure, print one line a goal, exit 0; with --check exit 1 where a goal is not met."""

import argparse
import os
import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from bench.figures import Figures
from bench.goals import judge
from bench.growth import BIG, SIZES, grow
from bench.limit import CLOSING_SECONDS, LimitReached, within
from bench.multitude import count
from bench.report import about, show, write
from bench.rounds import MIX, ORDER, Plan, measure
from bench.servers import serving, told_of

CORES = 2
GROWTH, LISTS = "growth", "lists"
LEAST_SECONDS = 30.0
FULL_SECONDS, BIG_SECONDS = 720.0, 1800.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Belay against its goals.")
    parser.add_argument("--quick", action="store_true", help="about a minute: no mix, one flood, no growth")
    parser.add_argument("--big", action="store_true", help="growth to a million rows, too")
    parser.add_argument(
        "--db", default="sqlite", help="sqlite, or the URL of a PostgreSQL in which a database can be made"
    )
    parser.add_argument(
        "--limit",
        type=float,
        metavar="SECONDS",
        help=f"end by then, with what was measured so far (default {FULL_SECONDS:g}; with --big {BIG_SECONDS:g})",
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is not met")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the ratios, and every round's figures"
    )
    names = (*ORDER, GROWTH, LISTS)
    parser.add_argument("--only", choices=names, metavar="WORKLOAD", help=", ".join(names))
    asked = parser.parse_args()
    if asked.db != "sqlite" and not asked.db.startswith(("postgresql://", "postgresql+psycopg://")):
        parser.error("--db is sqlite or a postgresql:// address")
    if asked.limit is None:
        asked.limit = BIG_SECONDS if asked.big else FULL_SECONDS
    if asked.limit < LEAST_SECONDS:
        parser.error(f"--limit is at least {LEAST_SECONDS:g}: servers have to start and to end")
    return asked


def plan_of(asked: argparse.Namespace) -> Plan:
    # PostgreSQL commits as its server is set up: one reference says it.
    left_out = () if asked.db == "sqlite" else ("commit",)
    if asked.quick:
        return Plan(3, 0.58, 2.0, (200,), (*left_out, MIX), asked.only)
    return Plan(5, 2.5, 6.0, (50, 200, 400), left_out, asked.only)


def main() -> int:
    asked = arguments()
    # Two cores on any machine, for everything that is started here: figures of two machines can be compared.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    started = time.monotonic()
    database = told_of(asked.db)
    found = Figures()
    try:
        seconds = asked.limit - CLOSING_SECONDS
        with within(seconds), closing(_measure(asked, started + seconds, found)) as steps:
            for done in steps:
                print(f"{done}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    except LimitReached:
        found.cut.append("what was under way")
    verdicts = judge(found, is_sqlite=asked.db == "sqlite")
    told = about(found, database=database, cores=CORES, seconds=time.monotonic() - started)
    show(verdicts, found, told)
    if asked.json:
        write(asked.json, verdicts, found, told)
    return int(asked.check and not all(verdict.is_met for verdict in verdicts))


def _measure(asked: argparse.Namespace, deadline: float, found: Figures) -> Generator[str, None, None]:
    plan = plan_of(asked)
    if asked.only not in (GROWTH, LISTS):
        with serving(asked.db, reuse_tokens=plan.reuse_tokens) as servers:
            for number in measure(servers, plan, deadline, found):
                yield f"round {number} of {plan.rounds}"
    if asked.only == GROWTH or not (asked.only or asked.quick):
        yield from grow(asked.db, (*SIZES, BIG) if asked.big else SIZES, deadline, found)
    if asked.only == LISTS:
        yield from count(asked.db, found)


if __name__ == "__main__":
    sys.exit(main())
