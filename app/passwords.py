"""Passwords: their normal form, and argon2id behind the gate.

The normal form is PRECIS OpaqueString (RFC 8265 4.2): what a phone and a desktop type for the same password is the
same bytes. Its name is kept beside each hash, so that it can change one day.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import precis_i18n
from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import error_to_str

from app import foreign_hashes
from app.errors import TemporarilyUnavailable
from app.gate import Gate, GateFull

log = logging.getLogger("belay.passwords")

FORM = "OpaqueString"
MAX_CHARACTERS = 256  # code points, after which nobody types a password
MAX_BYTES = 1024
TOO_LONG = f"a password has at most {MAX_CHARACTERS} characters"

NO_MEMORY = error_to_str(-22)  # libargon2's ARGON2_MEMORY_ALLOCATION_ERROR

T = TypeVar("T")

_PROFILE = precis_i18n.get_profile(FORM)


class PasswordUnusable(ValueError):
    """A text that cannot be a password: empty, too long, or with control characters."""


@dataclass(frozen=True)
class Verdict:
    is_right: bool
    is_stale: bool = False
    """The stored hash is another system's, or cheaper than configured today, and wants to be made anew."""


def normal_form(password: str) -> str:
    """Raises PasswordUnusable."""
    if len(password) > 4 * MAX_CHARACTERS:  # decomposed spellings are longer than what they become
        raise PasswordUnusable(TOO_LONG)
    try:
        text = str(_PROFILE.enforce(password))
    except UnicodeEncodeError as error:
        raise PasswordUnusable("a password needs at least one character and no control characters") from error
    if len(text) > MAX_CHARACTERS or len(text.encode()) > MAX_BYTES:
        raise PasswordUnusable(TOO_LONG)
    return text


def _check_memory(error: Exception) -> None:
    """Without memory nobody can say whether a password is right. Raises TemporarilyUnavailable."""
    if str(error) == NO_MEMORY:
        log.error("a password could not be hashed: out of memory")
        raise TemporarilyUnavailable(reason="out_of_memory") from None


def _is_spelled(stored: str, typed: str, text: str) -> bool:
    return any(foreign_hashes.verify(stored, spelling) for spelling in dict.fromkeys((typed, text)))


class Passwords:
    """Hashes and verifies. `milliseconds` is what one hash was measured to take at start."""

    def __init__(self, gate: Gate, *, memory_kib: int, passes: int, lanes: int) -> None:
        self._gate = gate
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        # Nobody's password: what an unknown user's guess is compared with, at the same cost.
        self._nobody = self._hasher.hash("nobody")
        started = time.perf_counter()
        self._compare("somebody", None)
        self.milliseconds = (time.perf_counter() - started) * 1000

    def hash(self, password: str) -> str:
        """Raises PasswordUnusable, TemporarilyUnavailable."""
        return self._in_turn(partial(self._hash, normal_form(password)))

    def verify(
        self, password: str, stored: str | None, decoy: str | None = None, *, tells_nothing: bool = False
    ) -> Verdict:
        """Compare; without a stored hash the same work is done for nothing, so that time tells no names.

        `decoy` is a foreign hash of somebody else's: a wrong password that is compared with none of its own is compared
        with that. `tells_nothing`: a right one, too. Raises TemporarilyUnavailable when the gate stays full.
        """
        try:
            text = normal_form(password)
        except PasswordUnusable:
            text, stored = "", None
        if stored is not None and foreign_hashes.is_foreign(stored):
            return self._in_turn(partial(self._compare_foreign, password, text, stored))
        return self._in_turn(partial(self._compare_ours, password, text, stored, decoy, tells_nothing))

    def _hash(self, text: str) -> str:
        try:
            return self._hasher.hash(text)
        except HashingError as error:
            _check_memory(error)
            raise

    def _compare(self, text: str, stored: str | None) -> Verdict:
        try:
            self._hasher.verify(self._nobody if stored is None else stored, text)
        except VerifyMismatchError:
            return Verdict(False)
        except (InvalidHashError, VerificationError) as error:
            _check_memory(error)
            return Verdict(False)
        if stored is None:
            return Verdict(False)
        return Verdict(True, self._hasher.check_needs_rehash(stored))

    def _compare_ours(
        self, typed: str, text: str, stored: str | None, decoy: str | None, tells_nothing: bool
    ) -> Verdict:
        verdict = self._compare(text, stored)
        if decoy is not None and (tells_nothing or not verdict.is_right):
            _is_spelled(decoy, typed, text)
        return verdict

    def _compare_foreign(self, typed: str, text: str, stored: str) -> Verdict:
        """Another system hashed what was typed there; what a person types here may be spelled in another way."""
        if _is_spelled(stored, typed, text):
            return Verdict(True, is_stale=True)
        # An MD5 takes no time at all: without the work that is done for nobody, time tells who was imported (T4).
        return self._compare(text, None)

    def _in_turn(self, work: "partial[T]") -> T:
        try:
            return self._gate.run(work)
        except GateFull:
            raise TemporarilyUnavailable(reason="hashing_gate_full") from None
