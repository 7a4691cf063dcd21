"""What was measured, and how rounds become one number."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median

OTHERS = "taken by others %"


@dataclass
class Figures:
    rounds: list[dict[str, float]] = field(default_factory=list)
    """By kind of answer: a second; and the processor milliseconds and median latency of each."""
    once: dict[str, float] = field(default_factory=dict)
    growth: dict[str, dict[str, float]] = field(default_factory=dict)
    """By number of rows: latencies, their ratios to the fewest rows, and the purge."""
    unexpected: dict[str, int] = field(default_factory=dict)
    """Answers with another status, by kind and status."""
    cut: list[str] = field(default_factory=list)
    """What the limit left out."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Seconds, all rounds together because a p99 needs many: of the mix by kind, of paced refreshes by flood."""

    def surprise(self, answers: Counter[str]) -> None:
        for name, number in answers.items():
            self.unexpected[name] = self.unexpected.get(name, 0) + number

    def count(self, name: str, number: int) -> None:
        self.once[name] = self.once.get(name, 0) + number

    def middle(self, name: str) -> float | None:
        values = [found[name] for found in self.rounds if name in found]
        return median(values) if values else self.once.get(name)

    def ratio(self, name: str, reference: str) -> float | None:
        """The median of the rounds' ratios, which is not the ratio of the medians."""
        both = [found for found in self.rounds if name in found and found.get(reference)]
        return median(found[name] / found[reference] for found in both) if both else None

    def p99_ms(self, which: str) -> float | None:
        return percentile(self.latencies.get(which, []), 0.99)


def percentile(seconds: list[float], part: float) -> float | None:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * part))] * 1000 if seconds else None
