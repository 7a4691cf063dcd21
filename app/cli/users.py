"""`belay users`: people."""

import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import click

from app import accounts
from app.accounts import passwords, resetting
from app.accounts.recovering import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from app.accounts.resetting import Wanted
from app.cli.shared import (
    Failed,
    confirm,
    get_realm,
    get_user,
    json_option,
    opened,
    show,
    show_all,
    yes_option,
)
from app.policy_terms import FACTOR_NAMES
from app.search import BadQuery
from app.store import authenticators
from app.store import users as rows
from app.store.users import User

PASS_SECONDS = click.IntRange(SHORTEST_SECONDS, LONGEST_SECONDS)
realm_option = click.option("--realm", "realm_name", required=True, help="The realm they are in.")


def _view(user: User) -> dict[str, object]:
    return {
        "user_id": user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        "username": user.username,
        "phone_number": user.phone_number,
        "name": user.name,
        "blocked": user.is_blocked,
        "created_at": user.created_at,
    }


def _read_password(password_stdin: bool) -> str:
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@click.group()
def users() -> None:
    """People: accounts, blocks, second factors."""


@users.command("list")
@realm_option
@click.option("--limit", default=100, show_default=True)
@json_option
def list_(realm_name: str, limit: int, as_json: bool) -> None:
    """List the people of a realm."""
    with opened() as ctx, ctx.db.read() as conn:
        found = [_view(user) for user in rows.list_users(conn, get_realm(conn, realm_name).id, limit)]
    show_all(found, ("user_id", "email", "username", "blocked", "created_at"), as_json)


@users.command("show")
@click.argument("who")
@realm_option
@json_option
def show_(who: str, realm_name: str, as_json: bool) -> None:
    """Show one person, with second factors."""
    with opened() as ctx, ctx.db.read() as conn:
        user = get_user(conn, get_realm(conn, realm_name), who)
        factors = [
            {"id": a.id, "state": "active" if a.is_active else "disabled" if a.disabled_at else "unconfirmed"}
            for a in authenticators.list_authenticators(conn, user.id)
        ]
    show(_view(user) | {"authenticators": factors}, as_json)


@users.command()
@click.argument("identifier")
@realm_option
@click.option("--username", default=None, help="A username beside the e-mail address.")
@click.option("--phone", default=None, help="A phone number like +491701234567.")
@click.option("--name", default=None)
@click.option("--verified", is_flag=True, help="The e-mail address is known to be theirs.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make up a password and print it, this once.")
@json_option
def create(
    identifier: str,
    realm_name: str,
    username: str | None,
    phone: str | None,
    name: str | None,
    verified: bool,
    password_stdin: bool,
    generate: bool,
    as_json: bool,
) -> None:
    """Create a person, by e-mail address or username."""
    password = accounts.initial_password() if generate else _read_password(password_stdin)
    with opened() as ctx:
        with ctx.db.read() as conn:
            realm = get_realm(conn, realm_name)
        is_email = "@" in identifier
        user = accounts.new_user(
            realm,
            ctx.now,
            email=identifier if is_email else None,
            email_verified=verified,
            username=username if is_email else identifier,
            phone_number=phone,
            name=name,
        )
        password_hash = passwords.hash_checked(ctx, realm, user, password)
        with ctx.db.write() as conn:
            accounts.create_user(conn, ctx, user, password_hash)
    show(_view(user) | ({"password": password} if generate else {}), as_json)


@users.command()
@click.argument("who")
@realm_option
@click.option("--password-stdin", is_flag=True, help="Set a password, read from standard input.")
@click.option("--block/--unblock", "is_blocked", default=None, help="A blocked person gets in nowhere.")
@json_option
def update(who: str, realm_name: str, password_stdin: bool, is_blocked: bool | None, as_json: bool) -> None:
    """Change a person. A new password or a block ends all their tokens."""
    if not password_stdin and is_blocked is None:
        raise Failed("nothing to change; see --help", 2)
    password = _read_password(True) if password_stdin else None
    with opened() as ctx:
        with ctx.db.read() as conn:
            realm = get_realm(conn, realm_name)
            user = get_user(conn, realm, who)
        new_hash = passwords.hash_checked(ctx, realm, user, password) if password is not None else None
        with ctx.db.write() as conn:
            if new_hash is not None:
                passwords.set_password(conn, ctx, realm, user, new_hash)
            if is_blocked is not None:
                accounts.set_blocked(conn, ctx, user, is_blocked)
            user = get_user(conn, realm, user.id)
    show(_view(user), as_json)


@users.command()
@click.argument("who")
@realm_option
@yes_option
def delete(who: str, realm_name: str, yes: bool) -> None:
    """Delete a person."""
    confirm(f"Delete {who}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        accounts.remove_user(conn, ctx, get_user(conn, get_realm(conn, realm_name), who))


@users.command("reset-mfa")
@click.argument("who", required=False)
@realm_option
@click.option("--everybody", is_flag=True, help="The whole realm, in the place of one person.")
@click.option("--query", default=None, help="Those of the realm that a search finds, e.g. 'mfa.factors:sms'.")
@click.option(
    "--factor", "factors", multiple=True, type=click.Choice(FACTOR_NAMES), help="Those of many alone."
)
@click.option("--keep-sessions", is_flag=True, help="Of many: leave their refresh tokens alone.")
@click.option("--reason", default="asked for at the command line", help="Why; it goes into the log.")
@click.option("--access-pass", "seconds", type=PASS_SECONDS, help="Also make a pass that lives SECONDS.")
@yes_option
@json_option
def reset_mfa(
    who: str | None,
    realm_name: str,
    everybody: bool,
    query: str | None,
    factors: tuple[str, ...],
    keep_sessions: bool,
    reason: str,
    seconds: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove every second factor of a person, or of many, and end their tokens and open logins."""
    if sum((who is not None, everybody, query is not None)) != 1:
        raise Failed("give one of WHO, --everybody and --query", 2)
    if who is None:
        if seconds is not None:
            raise Failed("an access pass is for one person", 2)
        wanted = Wanted(reason, q=query, factors=factors, ends_access=not keep_sessions)
        _reset_many(realm_name, wanted, yes, as_json)
        return
    if factors or keep_sessions:
        raise Failed("--factor and --keep-sessions go with --everybody or --query", 2)
    confirm(f"Remove every second factor of {who}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        user = get_user(conn, get_realm(conn, realm_name), who)
        done = accounts.reset_mfa(conn, ctx, user, reason=reason, by=ctx.user_agent, pass_seconds=seconds)
    told = {
        "removed": done.removed,
        "ended_refresh_tokens": done.ended_refresh_tokens,
        "access_pass": done.access_pass,
        "expires_at": done.expires_at,
    }
    show({name: value for name, value in told.items() if value is not None}, as_json)


def _reset_many(realm_name: str, wanted: Wanted, yes: bool, as_json: bool) -> None:
    """The job of the management API, worked off here."""
    what = ", ".join(wanted.factors) or "every second factor"
    whose = f"those found by {wanted.q}" if wanted.q else "everybody"
    with opened() as ctx:
        with ctx.db.read() as conn:
            wanted = replace(wanted, realm_id=get_realm(conn, realm_name).id)
        confirm(f"Remove {what} of {whose} in {realm_name}?", yes)
        done = Counter[bool]()
        try:
            done.update(
                resetting.reset_all(
                    ctx.server,
                    wanted,
                    by=ctx.user_agent,
                    new_context=lambda facts: replace(ctx, now=datetime.now(UTC), facts=facts),
                )
            )
        except BadQuery as error:
            raise Failed(f"the search cannot be read: {error}", 2) from None
    show({"reset": done[True], "unchanged": done[False]}, as_json)


@users.command("access-pass")
@click.argument("who")
@realm_option
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.option(
    "--seconds", type=PASS_SECONDS, default=DEFAULT_SECONDS, show_default=True, help="How long it lives."
)
@json_option
def access_pass(who: str, realm_name: str, reason: str, seconds: int, as_json: bool) -> None:
    """Make a pass, printed this once, with which somebody without a second factor enrols one."""
    with opened() as ctx, ctx.db.write() as conn:
        user = get_user(conn, get_realm(conn, realm_name), who)
        made, text = accounts.make_pass(conn, ctx, user, seconds=seconds, reason=reason, by=ctx.user_agent)
    show({"access_pass": text, "expires_at": made.expires_at}, as_json)


@users.command()
@click.argument("who")
@realm_option
def unblock(who: str, realm_name: str) -> None:
    """Forget the wrong passwords and guesses of a person or name."""
    with opened() as ctx, ctx.db.write() as conn:
        forgotten = accounts.unblock(conn, ctx, get_realm(conn, realm_name), who)
    click.echo(f"forgotten: {forgotten} address{'' if forgotten == 1 else 'es'}")
