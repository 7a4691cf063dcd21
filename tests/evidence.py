"""Figures of what was tried and what held: small in `make test`, full in `make evidence`, which prints the table."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)

FULL = bool(os.environ.get("BELAY_EVIDENCE"))
FILE = Path(__file__).parents[1] / "instance" / "evidence.jsonl"


def size(small: Number, full: Number) -> Number:
    """How much a test tries: the small figure in `make test`, the full one in `make evidence`."""
    return full if FULL else small


def within(seconds: float) -> float:
    """A bound on time: as asked in `make evidence`, four times that in `make test`, which shares its machine."""
    return seconds if FULL else 4 * seconds


def report(demand: str, *, tried: str, held: str) -> None:
    """Note one measured row; kept only in `make evidence`."""
    if FULL:
        FILE.parent.mkdir(exist_ok=True)
        with FILE.open("a") as file:
            file.write(json.dumps({"demand": demand, "tried": tried, "held": held}) + "\n")


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"commit {commit.stdout.strip()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    rows = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
    widths = [max([len(row[name]) for row in rows] + [len(name)]) for name in ("demand", "tried", "held")]
    for row in [{"demand": "demand", "tried": "tried", "held": "held"}, *rows]:
        print("  ".join(row[name].ljust(width) for name, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
