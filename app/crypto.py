"""Randomness, digests, and sealing of secrets at rest.

Passwords have a file of their own (`passwords.py`); signatures live in `tokens/`.
"""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12  # the size AES-GCM is specified for; random per seal, far below 2**32 seals a key


def owner_of(table: str, key: str) -> str:
    """Whom a stored secret is sealed for: its row, so that a ciphertext copied to another row does not open."""
    return f"{table}/{key}"


class SealBroken(Exception):
    """A sealed secret cannot be opened: wrong key, another row's secret, or damage."""


def random_token() -> str:
    """256 random bits, base64url."""
    return secrets.token_urlsafe(32)


def random_id(length: int = 16, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def digest(secret: str) -> str:
    """SHA-256, hex: how every secret of 112 bits or more is kept. Too fast for anything a person chose."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Keyring:
    """The keys that seal secrets: a file outside the database, first key seals, all of them open.

    The file is read again when it changes, so a key is added without restarting anything.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._ring: tuple[str, dict[str, AESGCM]] = ("", {})
        self._load()

    @staticmethod
    def create(path: Path) -> None:
        """Make a ring with one key unless the file exists; of several at once, one ring stays."""
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = _write_file(path, [_new_key()])
            with suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()

    def _load(self) -> None:
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return
        try:
            entries = json.loads(self._path.read_text("ascii"))["keys"]
            keys = {entry["kid"]: AESGCM(base64.b64decode(entry["key"])) for entry in entries}
            current = entries[0]["kid"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise SealBroken(f"the key ring {self._path} is damaged") from error
        self._ring, self._stamp = (current, keys), stamp

    def _refresh(self) -> None:
        """Losing the file while running must not lose logins: keys already read keep serving."""
        try:
            self._load()
        except (OSError, SealBroken):
            if not self._ring[1]:
                raise

    @property
    def current(self) -> str:
        self._refresh()
        return self._ring[0]

    def seal(self, secret: bytes, owner: str) -> str:
        """Encrypt for one owner, e.g. `authenticators/totp|dev_x`, to which the ciphertext is bound."""
        self._refresh()
        kid, keys = self._ring  # together: another thread may read the file again meanwhile
        nonce = os.urandom(NONCE_BYTES)
        sealed = keys[kid].encrypt(nonce, secret, owner.encode())
        return f"{kid}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, owner: str) -> bytes:
        """Decrypt, or raise SealBroken."""
        kid, _, text = sealed.partition(".")
        if kid not in self._ring[1]:
            self._refresh()
        try:
            raw = base64.urlsafe_b64decode(text)
            if base64.urlsafe_b64encode(raw).decode() != text:
                raise ValueError("stray bits")
            return self._ring[1][kid].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode())
        except (KeyError, ValueError, InvalidTag) as error:
            raise SealBroken(f"cannot open the secret of {owner} with key {kid}") from error

    def add_key(self) -> str:
        """Put a new key in front; it seals from now on. Returns its id."""
        entry = _new_key()
        with self._alone():
            _write_file(self._path, [entry, *self._entries()]).replace(self._path)
        self._load()
        return entry["kid"]

    def forget_keys_before(self, kid: str) -> None:
        """Drop the keys that are older than this one."""
        with self._alone():
            entries = self._entries()
            newer = [entry["kid"] for entry in entries].index(kid) + 1
            _write_file(self._path, entries[:newer]).replace(self._path)
        self._load()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two changes of the ring at once would lose a key."""
        handle = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _entries(self) -> list[dict[str, str]]:
        return list(json.loads(self._path.read_text("ascii"))["keys"])


def _new_key() -> dict[str, str]:
    key = base64.b64encode(AESGCM.generate_key(256)).decode()
    return {"kid": random_id(8, string.ascii_lowercase + string.digits), "key": key}


def _write_file(path: Path, entries: list[dict[str, str]]) -> Path:
    """The ring in a new file beside its place."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"keys": entries}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return fresh
