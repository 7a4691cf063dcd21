"""Tickets: made by administrators or asked for by their owner, and what happens when one is used."""

from datetime import timedelta

from sqlalchemy import Connection

from app import audit
from app.accounts import passwords
from app.channels import notices
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import InvalidGrant
from app.guards import brute_force
from app.store import realms, tickets, users
from app.store.realms import Realm
from app.store.tickets import Ticket
from app.store.users import User

DEFAULT_SECONDS = 432000  # Auth0's, for tickets that an administrator makes
ASKED_SECONDS = 3600  # for a link that somebody asked for without proof
ASKED_PAUSE = timedelta(seconds=1)
SPENT = "This link has been used or has run out. Please ask for a new one."


def create_ticket(
    conn: Connection,
    ctx: Context,
    user: User,
    kind: str,
    *,
    seconds: int,
    result_url: str | None = None,
    marks_verified: bool = False,
    allows_more: bool = False,
    kinds: tuple[str, ...] = (),
) -> tuple[Ticket, str]:
    """A ticket and its token, which is told this once. It takes the place of older ones of its kind."""
    ticket, token = _new_ticket(
        ctx,
        user,
        kind,
        seconds,
        result_url=result_url,
        marks_verified=marks_verified,
        allows_more=allows_more,
        kinds=list(kinds),
    )
    tickets.add_ticket(conn, ticket, voids=True)
    return ticket, token


def _new_ticket(ctx: Context, user: User, kind: str, seconds: int, **details: object) -> tuple[Ticket, str]:
    token = random_token()
    details = {"email": user.email, **details}
    ticket = Ticket(
        f"tkt_{random_id(22)}",
        digest(token),
        kind,
        user.id,
        ctx.now,
        ctx.now + timedelta(seconds=seconds),
        {name: value for name, value in details.items() if value},
    )
    return ticket, token


def send_reset(conn: Connection, ctx: Context, realm: Realm, user: User | None) -> None:
    """Mail somebody a link that sets a password, because a stranger asked for it: it voids no other.

    For nobody the same is done for nothing, and the mail waits a moment for whoever sends it: neither may the time of
    the answer tell who is there.
    """
    holder = user or User(
        f"auth0|{random_id(24)}", realm.id, ctx.now, ctx.now, email="nobody@example.invalid"
    )
    ticket, token = _new_ticket(ctx, holder, "password", ASKED_SECONDS)
    tickets.add_ticket_if_there(conn, ticket)
    notices.put(
        conn,
        ctx,
        holder,
        "reset_email",
        valid_for=timedelta(seconds=ASKED_SECONDS),
        is_for_nobody=user is None,
        waits_for=ASKED_PAUSE,
        url=address(ctx, "password", token),
    )


def address(ctx: Context, kind: str, token: str) -> str:
    return f"{ctx.issuer}ticket/{kind}?ticket={token}"


def open_ticket(ctx: Context, conn: Connection, kind: str, token: str) -> tuple[Ticket, User, Realm]:
    """Raises InvalidGrant: used, run out, voided by a newer one or by another e-mail address, or never made."""
    ticket = tickets.find_ticket(conn, digest(token))
    user = users.find_user(conn, ticket.user_id) if ticket else None
    realm = ctx.look_up(conn, realms.find_realm, user.realm_id) if user else None
    if ticket is None or user is None or realm is None or ticket.kind != kind or user.is_blocked:
        raise InvalidGrant(SPENT, reason="unknown_ticket")
    if not realm.is_enabled or (kind == "password" and not realm.takes_passwords):
        raise InvalidGrant(SPENT, reason="realm_closed")
    if ticket.consumed_at is not None or ticket.expires_at <= ctx.now:
        raise InvalidGrant(SPENT, reason="ticket_spent")
    if ticket.details.get("email") != user.email:
        raise InvalidGrant(SPENT, reason="address_changed")
    ctx.facts.user_id, ctx.facts.realm = user.id, realm.name
    return ticket, user, realm


def change_password(ctx: Context, token: str, password: str) -> Ticket:
    """Set a new password with a ticket. Everything opened with the old one ends; a second factor is still owed.

    Raises InvalidGrant, PasswordRefused (the ticket stays good), NotPossible.
    """
    with ctx.db.read() as conn:
        ticket, user, realm = open_ticket(ctx, conn, "password", token)
    new_hash = passwords.hash_checked(ctx, realm, user, password)
    with ctx.db.write() as conn:
        if not users.is_unchanged(conn, user):
            raise InvalidGrant(SPENT, reason="changed_meanwhile")
        open_ticket(ctx, conn, "password", token)  # the address may have changed while we hashed
        if not tickets.consume_ticket(conn, ticket.id, ctx.now):
            raise InvalidGrant(SPENT, reason="ticket_spent")
        passwords.set_password(conn, ctx, realm, user, new_hash)
        if ticket.details.get("marks_verified") and user.email:
            users.update_user(conn, user.id, email_verified=True)
    return ticket


def verify_email(ctx: Context, token: str) -> Ticket:
    """Believe an e-mail address because its link came back. Raises InvalidGrant."""
    with ctx.db.write() as conn:
        _, user, _ = open_ticket(ctx, conn, "verification", token)
        users.lock_user(conn, user.id)
        ticket, user, _ = open_ticket(ctx, conn, "verification", token)
        if not tickets.consume_ticket(conn, ticket.id, ctx.now):
            raise InvalidGrant(SPENT, reason="ticket_spent")
        users.update_user(conn, user.id, email_verified=True, updated_at=ctx.now)
        audit.record(conn, ctx, "sv")
    return ticket


def unblock(ctx: Context, token: str) -> Ticket:
    """Forget wrong passwords because the person asks by the link of the notice; guesses at factors stay counted.

    Raises InvalidGrant.
    """
    with ctx.db.write() as conn:
        ticket, user, _ = open_ticket(ctx, conn, "unblock", token)
        if not tickets.consume_ticket(conn, ticket.id, ctx.now):
            raise InvalidGrant(SPENT, reason="ticket_spent")
        brute_force.forget(conn, user)
        audit.record(conn, ctx, "ublkdu", "asked_by_link")
    return ticket
