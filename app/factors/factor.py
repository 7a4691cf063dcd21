"""The shape of a factor: a kind of authenticator. It knows nothing of logins, HTTP or tokens.

`enroll` and `challenge` make values, which the MFA transaction writes; `verify` only looks. What it finds is a Proof,
and the proof counts once `consume` says so inside the transaction that issues tokens. So a proof is used up exactly
when it is paid for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from app.channels.channel import Message
from app.context import Context
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge
from app.store.clients import Client
from app.store.realms import Realm
from app.store.users import User


@dataclass(frozen=True)
class Enrolling:
    """Whose new authenticator it will be, in which login, and what was said of it."""

    user: User
    transaction_id: str
    issuer_name: str
    members: Mapping[str, str] = field(default_factory=dict)
    """`phone_number`, `email`, `name`: whatever a kind wants to know."""
    owned: tuple[Authenticator, ...] = ()
    """What the person has already."""


@dataclass(frozen=True)
class Demands:
    """What a realm asks of security keys beyond the tenant's settings."""

    user_verification: str = "discouraged"
    attachment: str = "any"
    synced: str = "allow"


def demands_of(realm: Realm | None) -> Demands:
    """Those of the realm's policy."""
    if realm is None or realm.mfa_policy is None:
        return Demands()
    keys = realm.mfa_policy.terms.factors.webauthn
    return Demands(keys.user_verification, keys.attachment, keys.synced)


@dataclass(frozen=True)
class Enrollment:
    """A new authenticator, not yet confirmed, and what its owner must be shown, this once."""

    authenticator: Authenticator
    shown: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Challenging:
    """Who is asked for a factor, in which login, and by which application."""

    user: User
    authenticators: tuple[Authenticator, ...]
    """Those of one kind or family that may answer; the one that is meant comes first."""
    transaction_id: str
    client: Client | None
    issuer_name: str
    demands: Demands = Demands()


@dataclass(frozen=True)
class Begun:
    """A challenge as it will be kept, what the client is shown of it, and what is sent to the person."""

    challenge: Challenge
    shown: dict[str, object] = field(repr=False)
    message: tuple[str, Message] | None = None
    """The channel's name, and what goes over it."""


@dataclass(frozen=True)
class Answer:
    """What a client presents as proof, and the challenge that it answers."""

    members: Mapping[str, str] = field(repr=False)
    challenge: Challenge | None = None
    client: Client | None = None


@dataclass(frozen=True)
class Proof:
    """A right answer. `consume` says whether it is the first one to count."""

    authenticator: Authenticator
    consume: Callable[[Connection, datetime], bool]
    new_recovery_code: str | None = None
    traits: tuple[str, ...] = ()
    """How it was proven, in words of RFC 8176 that the kind does not tell: `hwk`, `user`."""


class Enroll(Protocol):
    def __call__(self, ctx: Context, enrolling: Enrolling) -> Enrollment:
        """Raises InvalidRequest for what was said of the device."""


class Begin(Protocol):
    def __call__(self, ctx: Context, conn: Connection, challenging: Challenging) -> Begun: ...


class Verify(Protocol):
    def __call__(self, ctx: Context, authenticator: Authenticator, answer: Answer) -> "Proof | str":
        """A Proof, or the private reason why it is none; empty where the answer names another authenticator.

        Raises a Refusal where the answer is not there yet.
        """


@dataclass(frozen=True)
class Factor:
    kind: str
    """Ours and unique; the name under which a login remembers it."""
    wire_type: str
    """`authenticator_type` on the wire: `otp`, `oob`, …"""
    id_prefix: str
    is_challengeable: bool
    """Whether `/mfa/challenge` offers it; a recovery code is for emergencies and is not offered."""
    enroll: Enroll
    verify: Verify
    wrong_answer: str
    """What a client hears for every wrong answer, whatever the reason."""
    limit_event: str
    """The log code of a guess over the limit."""
    challenge: Begin | None = None
    """For those that must be asked before they can answer."""
    family: str = ""
    """One `challenge_type` for several kinds, whose authenticators answer the same challenge."""
    reaches: str = ""
    """What several kinds reach, a telephone say: a device of one may be asked by another (`ways.py`)."""
    listed_type: str = ""
    """`type` in lists, where it differs from `wire_type`."""
    oob_channel: str | None = None
    """`oob_channels` by which a client asks for it, and under which it is listed."""
    is_guessable: bool = True
    """Whether an answer may be a guess, which is counted. A push is answered on a device of its own."""
    is_kept: bool = True
    """Whether its authenticators are kept, and count what is wrong on their own beside the person's count."""
    costs: str | None = None
    """The name of what each challenge costs the realm or the person: a message over that channel."""
    is_ready: Callable[[Context, Connection], bool] = lambda ctx, conn: True
    """Whether the server has what it needs, a gateway say."""
    shown_name: Callable[[Authenticator], str | None] = lambda authenticator: None
    """`name` in lists, masked where it tells where a message goes."""

    @property
    def type(self) -> str:
        return self.listed_type or self.wire_type

    @property
    def challenge_type(self) -> str:
        return self.family or self.wire_type

    def is_kin(self, other: "Factor") -> bool:
        """Whether one's authenticators may answer for the other's."""
        is_of_family = self.family != "" and self.family == other.family
        return (
            self.kind == other.kind or is_of_family or (self.reaches != "" and self.reaches == other.reaches)
        )


def is_of(factor: Factor, wire_types: tuple[str, ...], oob_channels: tuple[str, ...] = ()) -> bool:
    """Whether a client that names these means this kind; without channels it means any of them."""
    if factor.wire_type not in wire_types and factor.challenge_type not in wire_types:
        return False
    return factor.oob_channel is None or not oob_channels or factor.oob_channel in oob_channels


def text_of(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
