"""The offline file of leaked passwords: what is in it is found, nothing else, fast, and without loading it."""

import hashlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import leaked_file
from app.leaked_file import NoSuchFile
from tests.evidence import report, size

MANY = size(100_000, 10_000_000)
LOOK_UPS = 2_000


def sha1(text: str) -> bytes:
    return hashlib.sha1(text.encode()).digest()


def generated(made: list[int]) -> Iterator[bytes]:
    for number in range(MANY):
        line = sha1(f"leaked {number}").hex().upper().encode() + b":%d\r\n" % (number % 7 + 1)
        made[0] += len(line)
        yield line


def resident_kib() -> int:
    """Memory of this process's own, not what it has mapped of files."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


@pytest.mark.timeout(3600)
def test_every_leaked_password_is_found_in_no_time_and_no_memory(tmp_path: Path) -> None:
    path, heard, made = tmp_path / "leaks", list[int](), [0]
    started = time.perf_counter()
    assert leaked_file.build(generated(made), path, progress=heard.append) == MANY
    took = time.perf_counter() - started
    assert sum(heard) == made[0]
    assert os.listdir(tmp_path) == ["leaks"], "nothing is left over"
    before = resident_kib()
    opened = leaked_file.open_file(path)
    assert opened.count == MANY
    chosen = [random.randrange(MANY) for _ in range(LOOK_UPS)]
    known = [sha1(f"leaked {number}") for number in chosen]
    others = [sha1(f"not leaked {number}") for number in chosen]
    started = time.perf_counter()
    assert all(opened.has(digest) for digest in known)
    assert not any(opened.has(digest) for digest in others)
    each = (time.perf_counter() - started) / (2 * LOOK_UPS)
    assert each < 0.001
    grown = resident_kib() - before
    assert grown < 4096
    assert leaked_file.open_file(path, opened) is opened
    report(
        "offline file of leaked passwords",
        tried=f"{MANY:,} hashes, {2 * LOOK_UPS} look-ups",
        held=f"{each * 1e6:.0f} us each, {grown} KiB more memory; built in {took:.0f} s",
    )


def test_a_list_may_hold_digests_or_passwords(tmp_path: Path) -> None:
    path = tmp_path / "leaks"
    digest = sha1("from a digest")
    almost = b"g" * 40
    spaced = b"ab " * 13 + b"a"
    lines = [digest.hex().encode(), b"from a text\n", b"\r\n", almost, spaced, b"twice", b"twice\n"]
    assert leaked_file.build(lines, path) == 5
    opened = leaked_file.open_file(path)
    assert opened.has(digest)
    for text in ("from a text", almost.decode(), spaced.decode(), "twice"):
        assert opened.has(sha1(text))
    assert not opened.has(sha1(""))


def test_the_first_and_the_last_of_each_prefix_are_found(tmp_path: Path) -> None:
    path = tmp_path / "leaks"
    digests = [bytes([a, b]) + ends * 18 for a in (0, 255) for b in (0, 255) for ends in (b"\0", b"\xff")]
    assert leaked_file.build([digest.hex().encode() for digest in digests], path) == 8
    opened = leaked_file.open_file(path)
    assert all(opened.has(digest) for digest in digests)
    assert not opened.has(b"\0\0" + b"\x01" * 18) and not opened.has(b"\x80" * 20)


def test_a_new_file_is_taken_and_a_broken_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "leaks"
    leaked_file.build([b"first"], path)
    first = leaked_file.open_file(path)
    leaked_file.build([b"second"], path)
    second = leaked_file.open_file(path, first)
    assert first.has(sha1("first")) and second.has(sha1("second")) and not second.has(sha1("first"))
    whole = path.read_bytes()
    for broken in (b"", b"no file of ours", whole[:-1], b"x" + whole[1:], whole + b"0123456789"):
        path.write_bytes(broken)
        with pytest.raises(NoSuchFile):
            leaked_file.open_file(path)
    path.unlink()
    with pytest.raises(NoSuchFile):
        leaked_file.open_file(path)
