"""How a run is told: lines for people, JSON for programs. Ratios first, absolute figures after them."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.figures import OTHERS, Figures, percentile
from bench.goals import Verdict
from bench.servers import ROOT

KINDS = (
    "hash",
    "bare+hash",
    "password",
    "mfa_required",
    "lone login",
    "lone login through rules",
    "two-step",
    "bare",
    "refresh",
    "refresh reuse",
    "client_credentials",
    "challenge",
    "jwks",
    "early error",
    "wrong password",
    "unknown user",
    "mix",
    "50 logins in flight",
    "200 logins in flight",
    "400 logins in flight",
    "commit",
    "durable commit",
)
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
GROWTH = ("refresh p50 ms", "login p50 ms", "purged a second", "longest lock ms", "slowest step ms")


def show(verdicts: list[Verdict], found: Figures, about: dict[str, str]) -> None:
    for verdict in verdicts:
        print(verdict)
    if found.rounds:
        _show_rates(found)
    if found.latencies:
        _show_latencies(found)
    if any("refresh p50 ms" in figures for figures in found.growth.values()):
        _show_growth(found)
    for answer, number in sorted(found.unexpected.items()):
        print(f"unexpected: {number} x {answer}")
    print()
    for name, told in about.items():
        print(f"{name}: {told}")


def _show_rates(found: Figures) -> None:
    print(f"\n{'':<30}{'per second':>12}{'p50 ms':>9}{'CPU ms each':>13}")
    for kind in KINDS:
        if (rate := found.middle(kind)) is not None:
            others = [found.middle(f"{kind} {what}") for what in ("p50 ms", "CPU ms")]
            _row(kind, f"{rate:>12.1f}", f"{_number(others[0]):>9}", f"{_number(others[1]):>13}")


def _show_latencies(found: Figures) -> None:
    print(f"\n{'milliseconds':<30}{'answers':>12}" + "".join(f"{name:>9}" for name in PERCENTILES))
    for kind, values in _percentiles(found).items():
        _row(
            kind,
            f"{len(found.latencies[kind]):>12}",
            *(f"{_number(values[name]):>9}" for name in PERCENTILES),
        )


def _show_growth(found: Figures) -> None:
    print(f"\n{'rows':<30}" + "".join(f"{name:>17}" for name in GROWTH))
    for size, figures in found.growth.items():
        _row(size, *(f"{_number(figures.get(name)):>17}" for name in GROWTH))
        locks = [(ms, name) for name, ms in figures.items() if name.startswith("lock of ")]
        if locks:
            told = ", ".join(f"{name[8:-3]} {ms:.1f} ms" for ms, name in sorted(locks, reverse=True))
            print(f"  transactions, median: {told}")


def _row(*cells: str) -> None:
    print((f"{cells[0]:<30}" + "".join(cells[1:])).rstrip())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _percentiles(found: Figures) -> dict[str, dict[str, float | None]]:
    return {
        kind: {name: percentile(latencies, part) for name, part in PERCENTILES.items()}
        for kind, latencies in found.latencies.items()
        if latencies
    }


def write(file: Path, verdicts: list[Verdict], found: Figures, about: dict[str, str]) -> None:
    figures = asdict(found)
    told = {
        "ratios": _told(verdict for verdict in verdicts if not verdict.goal.unit),
        "about": about,
        "absolute": _told(verdict for verdict in verdicts if verdict.goal.unit),
        "milliseconds": _percentiles(found),
        "figures": figures,
    }
    file.write_text(json.dumps(told, indent=1) + "\n")


def _told(verdicts: Iterable[Verdict]) -> list[dict[str, object]]:
    return [
        {
            "name": v.goal.name,
            "value": v.value,
            **({"unit": v.goal.unit} if v.goal.unit else {}),
            "at_least": v.goal.at_least,
            "at_most": v.goal.at_most,
            "ok": v.is_met if (v.goal.at_least, v.goal.at_most) != (None, None) else None,
        }
        for v in verdicts
    ]


def about(found: Figures, *, database: str, cores: int, seconds: float) -> dict[str, str]:
    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    packages = " ".join(
        f"{name} {version(name)}" for name in ("flask", "granian", "sqlalchemy", "argon2-cffi")
    )
    told = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{cpu.partition(': ')[2]}, {cores} of {os.cpu_count()} cores, {platform.system()}",
        "versions": f"Python {platform.python_version()} {packages}",
        "database": database,
        "rounds": f"{len(found.rounds)}, {seconds:.0f} s in all",
    }
    if OTHERS in found.once:
        # Above a few percent nothing here is worth much.
        told["others"] = (
            f"{found.once[OTHERS]:.0f} % of the machine went to other processes, a database among them"
        )
    if found.cut:
        told["left out by the limit"] = ", ".join(found.cut)
    return told


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
