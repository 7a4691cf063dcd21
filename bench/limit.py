"""The time that a run may take: whatever is under way when it is over is cut off, and what was measured is shown."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

CLOSING_SECONDS = 5.0
"""What it takes to end servers and remove databases; the cut comes so much before the limit."""


class LimitReached(Exception):
    """The time is over."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises LimitReached inside the block when it runs longer."""

    def reach(_signal: int, _frame: object) -> None:
        raise LimitReached

    before = signal.signal(signal.SIGALRM, reach)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """The cut waits until this block is done: servers that are being ended must not be left behind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
