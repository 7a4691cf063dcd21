"""Reads records one by one out of a stream of any size: a JSON array, or NDJSON, a record a line.

At no time is more in memory than one record and one chunk. A record that cannot be one, because of a stray byte or a
member that stands there twice, is handed on with its problem. Where an array stops being JSON nobody can say where
the next record begins: there reading ends.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import NotPossible

CHUNK = 64 * 1024  # bytes
MAX_RECORD = 1024 * 1024  # characters
MAX_DEPTH = 20
MAX_DIGITS = 300  # beyond, a whole number is none that anybody meant

_BLANK = re.compile(r"[ \t\r\n]*")
_UNCLEAN = re.compile("[\0\ud800-\udfff]")


class ByteSource(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Read:
    """One record as it stands in the file, or why it is none."""

    value: Any
    text: str
    problem: str | None = None


class Unreadable(NotPossible):
    """The stream is no list of records, or stops being one."""


class Records:
    """Iterates over the records, once; `count` and `bytes_read` tell how far it is."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        # A byte that is not UTF-8 becomes half a surrogate pair, which costs only its own record.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._json = json.JSONDecoder(
            object_pairs_hook=self._unique, parse_constant=float, parse_int=_whole_number
        )
        self._text, self._at, self._is_over = "", 0, False
        self._twice: str | None = None
        self.count = 0
        self.bytes_read = 0

    def __iter__(self) -> Iterator[Read]:
        first = self._peek()
        if first == "\ufeff":
            self._at += 1
            first = self._peek()
        if first == "[":
            self._at += 1
            records = self._array()
        else:
            records = self._lines()
        for record in records:
            self.count += 1
            yield record

    # --- an array --------------------------------------------------------------------------------------------------

    def _array(self) -> Iterator[Read]:
        if self._peek() == "]":
            self._at += 1
        else:
            while True:
                self._peek()
                yield self._element()
                mark = self._peek()
                self._at += 1
                if mark == "]":
                    break
                if mark != ",":
                    raise self._unreadable()
        if self._peek():
            raise self._unreadable()

    def _element(self) -> Read:
        size = CHUNK
        while True:
            self._twice = None
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except RecursionError:
                raise self._unreadable() from None
            except ValueError:
                end = -1
            # A number may go on in the next chunk; everything else knows its own end.
            if 0 <= end < len(self._text) or (end >= 0 and self._is_over):
                text = self._text[self._at : end]
                self._at = end
                return self._checked(value, text)
            if self._is_over or len(self._text) - self._at > MAX_RECORD:
                raise self._unreadable()
            self._fill(size)
            size *= 2

    def _unreadable(self) -> Unreadable:
        return Unreadable(f"The file stops being a JSON array of at most 1 MiB a record after {self.count}.")

    # --- lines -----------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[Read]:
        while (line := self._line()) is not None:
            self._twice = None
            if not line.strip():
                continue
            if len(line) > MAX_RECORD:
                yield Read(None, line[:MAX_RECORD], "The record is longer than 1 MiB")
                continue
            try:
                value = self._json.decode(line)
            except (ValueError, RecursionError):
                yield Read(None, line, "The line is not JSON")
                continue
            yield self._checked(value, line)

    def _line(self) -> str | None:
        """The next line; of one that is too long, a beginning that is too long as well."""
        kept = ""
        while True:
            end = self._text.find("\n", self._at)
            if end >= 0 or self._is_over:
                stop = end if end >= 0 else len(self._text)
                found = kept or self._text[self._at : stop]
                is_last = end < 0 and not found
                self._at = stop + 1 if end >= 0 else stop
                return None if is_last else found
            if len(self._text) - self._at > MAX_RECORD:
                kept = kept or self._text[self._at : self._at + MAX_RECORD + 1]
                self._at = len(self._text)
            self._fill(CHUNK)

    # --- both ------------------------------------------------------------------------------------------------------

    def _fill(self, size: int) -> None:
        raw = self._source.read(size)
        self.bytes_read += len(raw)
        self._is_over = not raw
        self._text = self._text[self._at :] + self._decoder.decode(raw, self._is_over)
        self._at = 0

    def _peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._is_over:
                return ""
            self._fill(CHUNK)

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            self._twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        return members

    def _checked(self, value: Any, text: str) -> Read:
        if self._twice is not None:
            return Read(value, text, "A member stands there twice")
        return Read(value, text, _problem(value))


def _whole_number(text: str) -> float | int:
    return int(text) if len(text) <= MAX_DIGITS else math.inf


def _problem(value: Any, depth: int = 0) -> str | None:
    """Text and numbers that every database can hold, nested no deeper than anybody needs."""
    if depth > MAX_DEPTH:
        return "The record is nested too deeply"
    if isinstance(value, str):
        return (
            "A text is not UTF-8, or holds a NUL or half a surrogate pair" if _UNCLEAN.search(value) else None
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else "A number is not finite"
    if isinstance(value, dict):
        return next((p for pair in value.items() for part in pair if (p := _problem(part, depth + 1))), None)
    if isinstance(value, list):
        return next((p for part in value if (p := _problem(part, depth + 1))), None)
    return None
