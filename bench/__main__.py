"""`python -m bench`: measure, print one line a goal, exit 0; with --check exit 1 where a goal is not met."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.goals import Verdict, judge
from bench.rounds import FLOOD, ORDER, OTHERS, Figures, Plan, measure, percentile
from bench.servers import ROOT, serving

CORES = 2
KINDS = (
    "hash",
    "bare+hash",
    "password",
    "mfa_required",
    "two-step",
    "flooding logins",
    "bare",
    "refresh",
    "client_credentials",
    "challenge",
    "jwks",
    "early error",
    "wrong password",
    "unknown user",
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Belay against its goals.")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument(
        "--db", default="sqlite", help="sqlite, or the URL of a PostgreSQL in which a database can be made"
    )
    parser.add_argument(
        "--limit", type=float, default=600, metavar="SECONDS", help="begin no round that would end later"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is not met")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures")
    parser.add_argument("--only", choices=list(ORDER), metavar="WORKLOAD", help=", ".join(ORDER))
    asked = parser.parse_args()
    if asked.db != "sqlite" and not asked.db.startswith(("postgresql://", "postgresql+psycopg://")):
        parser.error("--db is sqlite or a postgresql:// address")
    return asked


def main() -> int:
    asked = arguments()
    # Two cores on any machine, for everything that is started here: figures of two machines can be compared.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    plan = (
        Plan(3, 0.6, 2.0, asked.limit, asked.only)
        if asked.quick
        else Plan(5, 2.5, 6.0, asked.limit, asked.only)
    )
    started = time.monotonic()
    found = Figures()
    with serving(asked.db) as servers:
        for number in measure(servers, plan, found):
            print(f"round {number} of {plan.rounds}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    verdicts = judge(found, is_sqlite=asked.db == "sqlite")
    about = _about(asked.db, found, time.monotonic() - started)
    _show(verdicts, found, about)
    if asked.json:
        _write(asked.json, verdicts, found, about)
    return int(asked.check and not all(verdict.is_met for verdict in verdicts))


def _about(db: str, found: Figures, seconds: float) -> dict[str, str]:
    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    packages = " ".join(
        f"{name} {version(name)}" for name in ("flask", "granian", "sqlalchemy", "argon2-cffi")
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{cpu.partition(': ')[2]}, {CORES} of {os.cpu_count()} cores, {platform.system()}",
        "versions": f"Python {platform.python_version()} {packages}",
        "database": "SQLite" if db == "sqlite" else "PostgreSQL",
        # Above a few percent nothing here is worth much.
        "others": f"{found.once[OTHERS]:.0f} % of the machine went to other processes, a database among them",
        "took": f"{len(found.rounds)} rounds, {seconds:.0f} s",
    }


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _show(verdicts: list[Verdict], found: Figures, about: dict[str, str]) -> None:
    for verdict in verdicts:
        print(verdict)
    print(f"\n{'':<22}{'per second':>12}{'p50 ms':>9}{'CPU ms each':>13}")
    for kind in KINDS:
        if (rate := found.middle(kind)) is None:
            continue
        others = [found.middle(f"{kind} {what}") for what in ("p50 ms", "CPU ms")]
        shown = [f"{value:.2f}" if value is not None else "" for value in others]
        print(f"{kind:<22}{rate:>12.1f}{shown[0]:>9}{shown[1]:>13}")
    for which in ("alone", FLOOD):
        if latencies := found.paced.get(which):
            parts = [f"{name} {percentile(latencies, part):.1f}" for name, part in PARTS]
            print(f"paced refreshes, {which}: {len(latencies)} answered, ms: {', '.join(parts)}")
    for answer, number in sorted(found.unexpected.items()):
        print(f"unexpected: {number} x {answer}")
    print()
    for name, text in about.items():
        print(f"{name}: {text}")


PARTS = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


def _write(file: Path, verdicts: list[Verdict], found: Figures, about: dict[str, str]) -> None:
    ratios = [
        {
            "goal": v.goal.name,
            "value": v.value,
            "at_least": v.goal.at_least,
            "at_most": v.goal.at_most,
            "ok": v.is_met,
        }
        for v in verdicts
    ]
    file.write_text(json.dumps({"about": about, "goals": ratios, "figures": asdict(found)}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
