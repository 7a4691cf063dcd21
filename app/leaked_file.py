"""Leaked passwords as a file on this machine: sorted ends of SHA-1 digests, looked at through a memory map.

A header, an index by the first two bytes of a digest, then of each digest the next ten: 96 bits in all, so that one in
10^20 other passwords is taken for a leaked one. Workers share the pages that the system keeps; none loads the file.
"""

import hashlib
import mmap
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAGIC = b"belay leaks 1\n\0\0"
PREFIXES = 1 << 16
INDEX = struct.Struct(f"<{PREFIXES + 1}I")
RECORD = 10
BEGIN = len(MAGIC) + INDEX.size
_SLOT = struct.Struct("<II")
PARTS = 256  # files in between, each sorted in memory by itself


class NoSuchFile(Exception):
    """The file is missing or is none of ours. The text is for the operator."""


@dataclass(frozen=True)
class LeakedFile:
    identity: tuple[int, int, int]
    content: mmap.mmap
    count: int

    def has(self, digest: bytes) -> bool:
        """Whether a SHA-1 digest is in the list."""
        content, wanted = self.content, digest[2 : 2 + RECORD]
        place = len(MAGIC) + 4 * int.from_bytes(digest[:2], "big")
        low, high = _SLOT.unpack_from(content, place)
        while low < high:
            middle = (low + high) // 2
            start = BEGIN + middle * RECORD
            found = content[start : start + RECORD]
            if found == wanted:
                return True
            low, high = (middle + 1, high) if found < wanted else (low, middle)
        return False


def open_file(path: Path, known: LeakedFile | None = None) -> LeakedFile:
    """The file, mapped; `known` while it is still the same one. Raises NoSuchFile."""
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if known is not None and known.identity == identity:
                return known
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise NoSuchFile(f"{path}: {getattr(error, 'strerror', None) or 'empty'}") from None
    count = (len(content) - BEGIN) // RECORD
    is_whole = content[: len(MAGIC)] == MAGIC and len(content) == BEGIN + count * RECORD
    if not is_whole or struct.unpack_from("<I", content, BEGIN - 4)[0] != count:
        raise NoSuchFile(f"{path}: not made by `belay breaches build`")
    return LeakedFile(identity, content, count)


def digest_of(line: bytes) -> bytes:
    """Of a line of a list: a SHA-1 digest in hexadecimal, with or without `:count`, or else a password itself."""
    if len(line) >= 40 and line[40:41] in (b"", b":"):
        try:
            found = bytes.fromhex(line[:40].decode("ascii"))
        except ValueError:
            found = b""
        if len(found) == 20:
            return found
    return hashlib.sha1(line, usedforsecurity=False).digest()


def build(lines: Iterable[bytes], path: Path, *, progress: Callable[[int], None] = lambda _: None) -> int:
    """Make the file, in constant memory, and put it in the place of the old one. Returns how many it holds.

    `progress` hears of the bytes that were read, now and then.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".leaks-", dir=path.parent)))
        parts: list[IO[bytes]] = [
            stack.enter_context((folder / f"{number:02x}").open("w+b")) for number in range(PARTS)
        ]
        _spread(lines, parts, progress)
        made = folder / "made"
        with made.open("wb") as file:
            count = _merge(parts, file)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    return count


def _spread(lines: Iterable[bytes], parts: Sequence[IO[bytes]], progress: Callable[[int], None]) -> None:
    buffers = [bytearray() for _ in parts]
    read = 0
    for number, line in enumerate(lines):
        read += len(line)
        stripped = line.rstrip(b"\r\n")
        if stripped:
            digest = digest_of(stripped)
            buffer = buffers[digest[0]]
            buffer += digest[1 : 2 + RECORD]
            if len(buffer) > 1 << 16:
                parts[digest[0]].write(buffer)
                buffer.clear()
        if number % 10_000 == 9_999:
            progress(read)
            read = 0
    progress(read)
    for part, buffer in zip(parts, buffers, strict=True):
        part.write(buffer)


def _merge(parts: Sequence[IO[bytes]], file: IO[bytes]) -> int:
    """Sort each part, write its records, and note where each prefix begins."""
    width = RECORD + 1
    file.write(bytes(BEGIN))
    starts, count = [], 0
    for part in parts:
        part.seek(0)
        content = part.read()
        records = sorted({content[start : start + width] for start in range(0, len(content), width)})
        by_second: list[list[bytes]] = [[] for _ in range(256)]
        for record in records:
            by_second[record[0]].append(record[1:])
        for found in by_second:
            starts.append(count)
            count += len(found)
            file.write(b"".join(found))
    file.seek(0)
    file.write(MAGIC + INDEX.pack(*starts, count))
    return count
