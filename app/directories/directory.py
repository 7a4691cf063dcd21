"""The shape of a directory: a backend that knows the people of a realm.

"No" is a value, and "could not ask" is an exception: the answer to the person, the failure count and the log differ.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from app.context import Context
from app.directories.bulkhead import Bulkhead, Full
from app.errors import TemporarilyUnavailable
from app.gate import GateFull
from app.store.realms import Realm
from app.store.users import User

# Why somebody whose password was right is not let in: what a directory says of an account.
ACCOUNT_REASONS = ("account_disabled", "account_expired", "logon_not_now", "logon_not_here")
PASSWORD_REASONS = ("password_expired", "password_change_required")


@dataclass(frozen=True)
class Identity:
    """Somebody as a directory outside knows them, at this moment."""

    user_id: str
    """Ours, made of what never changes and is never given to somebody else there."""
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool = False
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    first_metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`user_metadata` and `app_metadata` to begin with; what is here already stays."""
    roles: frozenset[str] = frozenset()
    """Names or ids of the roles that this person's groups give."""
    managed_roles: frozenset[str] = frozenset()
    """The roles that groups give and take; others are the administrators' business."""


@dataclass(frozen=True)
class Found:
    """What a directory says to a username and a password."""

    user: User | None
    is_right: bool
    new_password_hash: str | None = None
    """The same password under today's cost, to be kept once nothing else has changed."""
    identity: Identity | None = None
    """Who it is, where the people are kept elsewhere."""
    reason: str = ""
    """Why not, for the log alone; `unknown_user` is nobody, and some say that the password was right."""

    @property
    def denies_account(self) -> bool:
        """The password was right, and the person may not in."""
        return self.reason in ACCOUNT_REASONS or self.reason in PASSWORD_REASONS


class CannotAsk(TemporarilyUnavailable):
    """The directory is down, slow, or does not answer as a directory does; nobody failed."""

    description = "The user directory cannot be reached at the moment. Please try again shortly."

    def __init__(self, reason: str, *, says: str = "") -> None:
        """`says` is for administrators: what a check prints."""
        super().__init__(reason=reason, retry_after_seconds=5)
        self.event = "fc"
        self.says = says or reason
        self.details = {"directory": self.says}

    @property
    def error(self) -> str:
        return "temporarily_unavailable"


class Directory(Protocol):
    def place(self, ctx: Context, realm: Realm, user: User | None) -> AbstractContextManager[None]:
        """Where a login is judged: what it waits for in there must not cost other realms. Raises CannotAsk."""

    def look_up(self, conn: Connection, realm: Realm, username: str) -> User | None:
        """Who is meant, among those whom we know; cheap, and without judging a password."""

    def authenticate(
        self, ctx: Context, realm: Realm, user: User | None, username: str, password: str
    ) -> Found:
        """Judge the password; equal work for nobody and for somebody.

        Raises errors.TemporarilyUnavailable when it could not be asked.
        """

    def find(self, ctx: Context, realm: Realm, user: User) -> bool:
        """Whether somebody who logged in before is still there and may in. Raises as `authenticate` does."""

    def asks_again_after(self, realm: Realm) -> timedelta | None:
        """How old an answer about a person may be at a refresh; None where nobody needs to be asked again."""

    def check(self, ctx: Context, realm: Realm) -> str:
        """Ask something that needs no person; a few words on what answered. Raises CannotAsk."""


@contextmanager
def place(ctx: Context, bulkhead: Bulkhead, realm: Realm) -> Iterator[None]:
    """One of the few places of a realm; nobody waits for one where requests run. Raises CannotAsk."""
    with ExitStack() as stack:
        try:
            with ctx.server.gate.waiting():
                stack.enter_context(bulkhead.place(realm.id, ctx.waiting_threads))
        except (GateFull, Full):
            raise CannotAsk("directory_busy") from None
        yield
