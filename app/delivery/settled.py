"""Which events may be delivered already: those behind which no earlier one can still appear.

PostgreSQL hands out ids before commits: 8 may be seen while 7 is still being written, and a cursor that went to 8
would never come back for it. Ids without a gap are safe. A gap is waited for until every transaction that could fill
it has ended; then it is the trace of one that was rolled back.
"""

import time
from dataclasses import dataclass

from sqlalchemy import Connection

from app.store import events
from app.store.database import STATEMENT_SECONDS
from app.store.events import Event

# An INSERT that took an id has a transaction id soon after, or was ended by the limit on statements.
PATIENCE_SECONDS = STATEMENT_SECONDS + 0.5


@dataclass
class _Gap:
    until: int
    """The first id that was seen behind it."""
    seen_at: float
    begun_before: int | None = None
    """Transactions that matter are older than this one."""


class Settled:
    """What one process knows of gaps; nothing is lost with it but a little patience."""

    def __init__(self) -> None:
        self._gaps: dict[int, _Gap] = {}

    def list_settled(self, conn: Connection, after: int, limit: int) -> list[Event]:
        """The next events in order of their ids, as far as that order is final."""
        is_final_until = self._closed_until(conn, after)
        found = list(events.list_events(conn, limit=limit, after=after))
        if conn.dialect.name == "sqlite":  # one writer at a time: ids are in the order of commits
            return found
        settled: list[Event] = []
        expected = after + 1
        for event in found:
            number = event.id or 0
            if number != expected and number > is_final_until:
                break
            settled.append(event)
            expected = number + 1
        if settled or not found:
            self._gaps.pop(after, None)
        elif after not in self._gaps:
            self._forget_old()
            self._gaps[after] = _Gap(found[0].id or 0, time.monotonic())
        return settled

    def _closed_until(self, conn: Connection, after: int) -> int:
        gap = self._gaps.get(after)
        if gap is None or time.monotonic() < gap.seen_at + PATIENCE_SECONDS:
            return 0
        oldest, first = events.running_transactions(conn)
        if gap.begun_before is None:
            gap.begun_before = first
        return gap.until if oldest >= gap.begun_before else 0

    def _forget_old(self) -> None:
        if len(self._gaps) > 1000:
            self._gaps.clear()
