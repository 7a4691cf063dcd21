"""`belay keys`: signing keys, and the key ring that seals secrets at rest."""

import time

import click
from sqlalchemy import Connection

from app.cli.shared import Failed, confirm, json_option, opened, show_all, yes_option
from app.context import Context
from app.crypto import SealBroken, owner_of
from app.store import reseal as rows
from app.store import signing_keys, tenant
from app.store.database import WAIT_SECONDS
from app.tokens import signing

LONGEST_WRITE_SECONDS = 2 * WAIT_SECONDS + 1  # waiting for the lock and for the statement, and a little


@click.group()
def keys() -> None:
    """Signing keys and the key ring."""


@keys.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the signing keys."""
    with opened() as ctx, ctx.db.read() as conn:
        found = [
            {
                "kid": key.kid,
                "alg": key.alg,
                "state": key.state,
                "created_at": key.created_at,
                "current_since": key.current_since,
                "retired_at": key.retired_at,
                "thumbprint": signing.thumbprint(key.public_jwk),
            }
            for key in signing_keys.list_keys(conn)
        ]
    show_all(found, ("kid", "alg", "state", "created_at", "retired_at"), as_json)


@keys.command()
@click.option("--alg", default=signing.DEFAULT_ALGORITHM, show_default=True)
@click.option("--now", "at_once", is_flag=True, help="Even if the next key was published moments ago.")
def rotate(alg: str, at_once: bool) -> None:
    """Sign with the next key from now on; the present one verifies until its tokens have run out."""
    with opened() as ctx, ctx.db.write() as conn:
        if alg not in signing_keys.list_signers(conn):
            raise Failed(f"there is no {alg} key; an API that signs with {alg} makes one")
        tenant.lock_tenant(conn)
        if not at_once and signing.was_published_recently(conn, alg, ctx.now):
            raise Failed(
                "the next key was made less than five minutes ago and some caches do not know it yet; "
                "wait, or use --now"
            )
        click.echo(f"signing with {signing.rotate(ctx.server, conn, alg, ctx.now)}")


@keys.command()
@click.argument("kid")
@yes_option
def revoke(kid: str, yes: bool) -> None:
    """Drop a key at once: every token that it signed is refused from now on."""
    confirm(f"Refuse every token signed with {kid}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        if not signing.revoke(ctx.server, conn, kid, ctx.now):
            raise Failed(f"there is no live key {kid}; `belay keys list` shows them")
    click.echo(f"revoked {kid}")


@keys.command()
@click.option("--forget-old", is_flag=True, help="Drop the old keys from the ring when nothing needs them.")
def reseal(forget_old: bool) -> None:
    """Put a new key in front of the ring and seal every stored secret with it, while the server runs."""
    with opened() as ctx:
        ring = ctx.server.keyring
        new = ring.add_key()
        total = _reseal_all(ctx, new)
        if forget_old:
            # A worker may have sealed with the old key just before and be about to commit.
            time.sleep(LONGEST_WRITE_SECONDS)
            total += _reseal_all(ctx, new)
        with ctx.db.read() as conn:
            left = sum(rows.count_left(conn, column, new) for column in rows.SEALED)
        if forget_old and left == 0:
            ring.forget_keys_before(new)
    click.echo(f"sealed {total} secrets with key {new}; {left} are left on older keys")


def _reseal_all(ctx: Context, kid: str) -> int:
    """Seal everything that another key sealed; what cannot be opened is left and told."""
    total = 0
    for column in rows.SEALED:
        batch: list[tuple[str, str]] = [("", "")]
        while batch:
            with ctx.db.read() as conn:
                batch = rows.list_batch(conn, column, kid, after=batch[-1][0])
            fresh = [(row_id, old, _sealed_anew(ctx, column, row_id, old)) for row_id, old in batch]
            with ctx.db.write() as conn:
                _write(conn, column, [(row_id, old, new) for row_id, old, new in fresh if new is not None])
            total += sum(new is not None for _, _, new in fresh)
    return total


def _sealed_anew(ctx: Context, column: rows.Sealed, row_id: str, old: str) -> str | None:
    owner = owner_of(column.table.name, row_id)
    try:
        return ctx.server.keyring.seal(ctx.server.keyring.open(old, owner), owner)
    except SealBroken as error:
        click.echo(f"belay: {error}", err=True)
        return None


def _write(conn: Connection, column: rows.Sealed, fresh: list[tuple[str, str, str]]) -> None:
    for row_id, old, new in fresh:
        rows.replace_sealed(conn, column, row_id, old, new)
