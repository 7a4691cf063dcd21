"""The shape of a directory: a backend that knows the people of a realm.

"No" is a value, and "could not ask" is an exception: the answer to the person, the failure count and the log differ.
"""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from app.context import Context
from app.store.realms import Realm
from app.store.users import User


@dataclass(frozen=True)
class Found:
    """What a directory says to a username and a password."""

    user: User | None
    is_right: bool
    new_password_hash: str | None = None
    """The same password under today's cost, to be kept once nothing else has changed."""


class Directory(Protocol):
    def look_up(self, conn: Connection, realm: Realm, username: str) -> User | None:
        """Who is meant; cheap, and without judging a password."""

    def authenticate(self, ctx: Context, user: User | None, password: str) -> Found:
        """Judge the password; equal work for nobody and for somebody.

        Raises errors.TemporarilyUnavailable when it could not be asked.
        """
