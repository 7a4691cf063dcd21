"""The shape of a factor: a kind of authenticator. It knows nothing of logins, HTTP or tokens.

`verify` only looks; what it finds is a Proof, and the proof counts once `consume` says so inside the transaction
that issues tokens. So a proof is used up exactly when it is paid for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from app.context import Context
from app.store.authenticators import Authenticator
from app.store.users import User


@dataclass(frozen=True)
class Enrollment:
    """A new authenticator, not yet confirmed, and what its owner must be shown, this once."""

    authenticator: Authenticator
    shown: dict[str, object]


@dataclass(frozen=True)
class Proof:
    """A right answer. `consume` says whether it is the first one to count."""

    authenticator: Authenticator
    consume: Callable[[Connection, datetime], bool]
    new_recovery_code: str | None = None


class Enroll(Protocol):
    def __call__(self, ctx: Context, user: User, *, transaction_id: str, issuer_name: str) -> Enrollment: ...


class Verify(Protocol):
    def __call__(self, ctx: Context, authenticator: Authenticator, answer: str) -> "Proof | str": ...


@dataclass(frozen=True)
class Factor:
    kind: str
    """Ours and unique; the name under which a login remembers it."""
    wire_type: str
    """`authenticator_type` and `type` on the wire."""
    id_prefix: str
    is_challengeable: bool
    """Whether `/mfa/challenge` offers it; a recovery code is for emergencies and is not offered."""
    enroll: Enroll
    verify: Verify
    """A Proof, or the private reason why it is none."""
    wrong_answer: str
    """What a client hears for every wrong answer, whatever the reason."""
    limit_event: str
    """The log code of a guess over the limit."""
