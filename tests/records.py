"""Records of an import, and files of them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bcrypt
from argon2 import PasswordHasher

from tests.making import PASSWORD

TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def record(email: str, **members: Any) -> dict[str, Any]:
    return {"email": email} | members


def md5_hash(password: str = PASSWORD) -> dict[str, Any]:
    value = hashlib.md5(password.encode()).hexdigest()
    return {"algorithm": "md5", "hash": {"value": value, "encoding": "hex"}}


def argon2_hash(password: str = PASSWORD) -> dict[str, Any]:
    value = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(password)
    return {"algorithm": "argon2", "hash": {"value": value}}


def bcrypt_hash(password: str = PASSWORD) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def people(count: int, first: int = 0) -> Iterable[dict[str, Any]]:
    """Everybody has a cheap hash, metadata, and each tenth an authenticator app."""
    for number in range(first, first + count):
        found = record(
            f"person{number}@example.org",
            name=f"Person {number}",
            email_verified=True,
            custom_password_hash=md5_hash(f"the password of {number}"),
            user_metadata={"number": number},
        )
        yield found | ({"mfa_factors": [{"totp": {"secret": TOTP}}]} if number % 10 == 0 else {})


def write(path: Path, records: Iterable[Any]) -> Path:
    """An array, written record by record."""
    with path.open("w") as file:
        for number, found in enumerate(records):
            file.write(("[" if number == 0 else ",\n") + json.dumps(found))
        file.write("]")
    return path
