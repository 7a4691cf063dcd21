"""A queue in which those who send much wait for each other, and nobody else waits for them."""

import queue
import threading
from collections import Counter, OrderedDict, deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")

A_FEW = 4  # places of one address at one client that are not thought of as a flood


class Whose(NamedTuple):
    client: str = ""
    address: str = ""


class FairQueue(Generic[T]):
    """Clients take turns, and at one client its addresses do; what one address sent is taken in its order."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, whose: Whose, item: T) -> None:
        with self._changed:
            addresses = self._lines.setdefault(whose.client, OrderedDict())
            addresses.setdefault(whose.address, deque()).append(item)
            self._changed.notify()

    def get(self) -> T:
        """The next one; waits for it."""
        with self._changed:
            while not self._lines:
                self._changed.wait()
            return self._take()

    def get_nowait(self) -> T:
        """Raises queue.Empty."""
        with self._changed:
            if not self._lines:
                raise queue.Empty
            return self._take()

    def empty(self) -> bool:
        return not self._lines

    def _take(self) -> T:
        client, addresses = self._lines.popitem(last=False)
        address, line = addresses.popitem(last=False)
        item = line.popleft()
        if line:
            addresses[address] = line
        if addresses:
            self._lines[client] = addresses
        return item


class Places:
    """Room to wait in. While it is plentiful anybody takes it; the rest is for those who are not the flood."""

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._lock = threading.Lock()
        self._held: Counter[Whose] = Counter()
        self._held_by_client: Counter[str] = Counter()

    def take(self, whose: Whose) -> bool:
        with self._lock:
            if not self._has_room(whose):
                return False
            self._free -= 1
            self._held[whose] += 1
            self._held_by_client[whose.client] += 1
            return True

    def _has_room(self, whose: Whose) -> bool:
        if self._free <= self._count // 8:  # whatever addresses a client's flood comes from, others find room
            return self._free > 0 and self._held_by_client[whose.client] < self._count // 4
        if self._free <= self._count // 4:
            return self._held[whose] < A_FEW
        return True

    def give_back(self, whose: Whose) -> None:
        with self._lock:
            self._free += 1
            _take_one(self._held, whose)
            _take_one(self._held_by_client, whose.client)


def _take_one(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]  # or names of strangers would pile up
