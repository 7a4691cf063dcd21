"""One device, several ways to it: a telephone that gets text messages can be called as well.

It is one row, of the kind by which it is asked where nobody chooses. For each other way that is on it has a twin, the
same authenticator as another kind, so that guesses, pauses between messages and removal are one. Only the names that
clients see tell them apart: `sms|dev_…` and `voice|dev_…`.
"""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from app.context import Context
from app.factors import ANSWERABLE, FACTORS, vocabulary
from app.store.authenticators import Authenticator


def kinds_like(kind: str) -> tuple[str, ...]:
    """The kinds that reach a device of that kind, its own first."""
    reaches = ANSWERABLE[kind].reaches
    others = (f.kind for f in FACTORS.values() if reaches and f.reaches == reaches and f.kind != kind)
    return (kind, *others)


def kinds_on(ctx: Context, conn: Connection, owned: Iterable[Authenticator]) -> frozenset[str]:
    """By which kinds the twins of these devices may be asked: those switched on that have a gateway."""
    wanted = {kind for a in owned for kind in kinds_like(a.kind)[1:]}
    if not wanted:
        return frozenset()
    enabled = vocabulary.enabled_kinds(ctx, conn)
    return frozenset(kind for kind in wanted & enabled if FACTORS[kind].is_ready(ctx, conn))


def ways_to(device: Authenticator, on: frozenset[str]) -> tuple[Authenticator, ...]:
    """The device itself, and its twins."""
    return (device, *(replace(device, kind=kind) for kind in kinds_like(device.kind)[1:] if kind in on))


def shown_id(device: Authenticator) -> str:
    """What clients call it: a twin has the name of its own kind."""
    _, bar, rest = device.id.partition("|")
    return f"{ANSWERABLE[device.kind].id_prefix}|{rest}" if bar else device.id


def is_called(device: Authenticator, name: str) -> bool:
    """Whether the name is its own, or that of a twin, switched on or not."""
    return name == device.id or name in {shown_id(replace(device, kind=k)) for k in kinds_like(device.kind)}
