"""Refresh tokens: `v1.` and 48 random bytes, of which 16 name the family and 32 are the secret of the generation."""

import base64
import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import Context
from app.crypto import SealBroken, digest, owner_of
from app.store.clients import Client
from app.store.refresh_families import RefreshFamily, Seen

PREFIX = "v1."
HANDLE_BYTES = 16
SECRET_BYTES = 32


@dataclass(frozen=True)
class Presented:
    """A refresh token as a client sent it: digests only."""

    handle_digest: str
    secret_digest: str


def _text(raw: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(raw).decode()


def new_token() -> str:
    return _text(os.urandom(HANDLE_BYTES + SECRET_BYTES))


def successor_of(token: str) -> str:
    """The next token of the same family."""
    raw = base64.urlsafe_b64decode(token.removeprefix(PREFIX))
    return _text(raw[:HANDLE_BYTES] + os.urandom(SECRET_BYTES))


def read(token: str) -> Presented | None:
    """None for a text that never was a refresh token."""
    if not token.startswith(PREFIX) or len(token) != len(PREFIX) + 64:
        return None
    try:
        raw = base64.urlsafe_b64decode(token.removeprefix(PREFIX).encode("ascii"))
    except ValueError:
        return None
    if len(raw) != HANDLE_BYTES + SECRET_BYTES or _text(raw) != token:
        return None
    return Presented(digest(raw[:HANDLE_BYTES].hex()), digest(token))


def idle_end(client: Client, now: datetime) -> datetime | None:
    return now + timedelta(seconds=client.refresh_idle_seconds) if client.refresh_idle_seconds else None


def absolute_end(client: Client, now: datetime) -> datetime | None:
    return now + timedelta(seconds=client.refresh_seconds) if client.refresh_seconds else None


def seen(ctx: Context) -> Seen:
    return Seen(ctx.now, ctx.ip, ctx.user_agent[:300])


def seal_successor(ctx: Context, client: Client, family: RefreshFamily, token: str) -> str | None:
    """Kept only while the client's leeway lets the direct parent ask for it again."""
    if not client.refresh_leeway_seconds:
        return None
    return ctx.server.keyring.seal(token.encode(), owner_of("refresh_families", family.handle_digest))


def open_successor(ctx: Context, family: RefreshFamily) -> str | None:
    if family.sealed_successor is None:
        return None
    try:
        owner = owner_of("refresh_families", family.handle_digest)
        return ctx.server.keyring.open(family.sealed_successor, owner).decode()
    except SealBroken:
        return None
