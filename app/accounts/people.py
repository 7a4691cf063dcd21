"""People: accounts, passwords, blocks, and the end of their access.

Whatever ends access ends it here completely: tokens, open logins and sessions go in the same transaction.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.accounts import changes
from app.channels import alerts, notices
from app.context import Context, Server
from app.crypto import random_id
from app.errors import Conflict, NotPossible
from app.guards import brute_force, second_factor
from app.identifiers import is_phone_number, normal_key
from app.passwords import FORM, PasswordUnusable, normal_form
from app.store import authenticators, opaque_tokens, passkeys, refresh_families, tickets, transactions, users
from app.store.realms import Realm
from app.store.refresh_families import RefreshFamily
from app.store.users import User

HEX = "0123456789abcdef"
MIN_PASSWORD_CHARACTERS = 8
TAKEN = "The user already exists."
LOOKS_TAKEN = "An identifier looks too much like one that is taken."


def new_user(realm: Realm, now: datetime, *, id: str | None = None, **profile: object) -> User:
    """A user's value; nothing is stored. Raises NotPossible for unusable identifiers, or a directory outside."""
    if realm.kind != "database":
        text = "the people of this realm are those of its directory; they come by logging in"
        raise NotPossible(text, reason="operation_not_supported")
    user = User(id or f"auth0|{random_id(24, HEX)}", realm.id, now, now, **profile)  # type: ignore[arg-type]
    check_identifiers(user)
    return user


def with_defaults(user: User) -> User:
    """Name and nickname as Auth0 fills them in where nobody gave one."""
    if user.email is None:
        return user
    return replace(user, name=user.name or user.email, nickname=user.nickname or user.email.partition("@")[0])


def check_identifiers(user: User) -> None:
    """Raises NotPossible."""
    if not (user.email or user.username or user.phone_number):
        raise NotPossible("a user needs an e-mail address, a username or a phone number")
    for name in ("email", "username"):
        text = getattr(user, name)
        if text is not None and normal_key(text) is None:
            raise NotPossible(f"this {name} cannot be used: {text!r}")
    if user.username is not None and ("@" in user.username or is_phone_number(user.username)):
        raise NotPossible(
            "a username is no e-mail address and no phone number: those are other people's names"
        )
    if user.email is not None and not (0 < user.email.find("@") < len(user.email) - 1):
        raise NotPossible(f"this is not an e-mail address: {user.email!r}")
    if user.phone_number is not None and not is_phone_number(user.phone_number):
        raise NotPossible("a phone number is written like +491701234567")


def hash_new_password(server: Server, password: str) -> str:
    """Hash a password that is being set; before any transaction, because it takes a turn at the gate."""
    try:
        text = normal_form(password)
    except PasswordUnusable as error:
        raise NotPossible(str(error)) from None
    if len(text) < MIN_PASSWORD_CHARACTERS:
        raise NotPossible(f"a password has at least {MIN_PASSWORD_CHARACTERS} characters")
    return server.passwords.hash(password)


def create_user(conn: Connection, ctx: Context, user: User, password_hash: str | None) -> User:
    """Raises Conflict when an identifier is taken, or looks as if it were."""
    user = replace(user, password_hash=password_hash, password_form=FORM)
    try:
        users.add_user(conn, user)
    except IntegrityError:
        raise Conflict(TAKEN, reason="auth0_idp_error") from None
    except users.LooksTaken:
        raise Conflict(LOOKS_TAKEN, reason="auth0_idp_error") from None
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "user_created", user.id, after=user)
    return user


def sign_up(conn: Connection, ctx: Context, user: User, password_hash: str | None) -> None:
    """Somebody makes an account for themselves. Raises Conflict when an identifier is taken."""
    try:
        with conn.begin_nested():
            form = FORM if password_hash is not None else None
            users.add_user(conn, replace(user, password_hash=password_hash, password_form=form))
    except (IntegrityError, users.LooksTaken):
        raise Conflict(TAKEN, reason="auth0_idp_error") from None
    ctx.facts.user_id = user.id
    audit.record(conn, ctx, "ss")


def update_user(conn: Connection, ctx: Context, user: User, **changed: object) -> User:
    """Change a profile, identifiers included. Blocking and passwords have functions of their own.

    Raises Conflict when an identifier is taken or looks as if it were, NotPossible when it cannot be one.
    """
    after = replace(user, updated_at=ctx.now, **changed)  # type: ignore[arg-type]
    check_identifiers(after)
    try:
        users.replace_user(conn, user, after)
    except IntegrityError:
        raise Conflict(TAKEN, reason="auth0_idp_error") from None
    except users.LooksTaken:
        raise Conflict(LOOKS_TAKEN, reason="auth0_idp_error") from None
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "user_updated", user.id, before=user, after=after)
    return after


def set_password(conn: Connection, ctx: Context, user: User, password_hash: str) -> None:
    """Change a password: everything that was opened with the old one ends, failures are forgiven."""
    users.update_user(
        conn,
        user.id,
        password_hash=password_hash,
        password_form=FORM,
        last_password_reset=ctx.now,
        tokens_valid_after=ctx.now,
        updated_at=ctx.now,
    )
    end_access(conn, ctx, user)
    tickets.void_tickets(conn, user.id)
    brute_force.forget(conn, user)
    ctx.facts.user_id = user.id
    notices.put(conn, ctx, user, "password_changed")
    changes.record(conn, ctx, "", user.id, after={"password": changes.MASK}, type="scp")


def set_blocked(conn: Connection, ctx: Context, user: User, is_blocked: bool) -> None:
    users.update_user(conn, user.id, is_blocked=is_blocked, updated_at=ctx.now)
    if is_blocked:
        log_out(conn, ctx, user)
    ctx.facts.user_id = user.id
    what = "user_blocked" if is_blocked else "user_unblocked"
    changes.record(
        conn, ctx, what, user.id, before={"blocked": user.is_blocked}, after={"blocked": is_blocked}
    )


def end_access(conn: Connection, ctx: Context, user: User) -> None:
    """Every refresh token, opaque token and open login of a person."""
    refresh_families.revoke_families(conn, user.id, ctx.now)
    opaque_tokens.remove_opaque_tokens(conn, user.id)
    transactions.void_transactions(conn, user.id)


def log_out(conn: Connection, ctx: Context, user: User) -> None:
    """End access, that of tokens which an API can verify by itself as far as they are asked about here."""
    users.update_user(conn, user.id, tokens_valid_after=ctx.now)
    end_access(conn, ctx, user)


def revoke_access(conn: Connection, ctx: Context, user: User, *, keeps_refresh_tokens: bool = False) -> None:
    """End what a person is logged in with: access tokens are no longer taken here, refresh tokens end."""
    if keeps_refresh_tokens:
        opaque_tokens.remove_opaque_tokens(conn, user.id)
    else:
        log_out(conn, ctx, user)
    ctx.facts.user_id = user.id
    after = {"refresh_tokens": "kept" if keeps_refresh_tokens else "ended"}
    changes.record(conn, ctx, "access_revoked", user.id, after=after, type="srrt")


def revoke_refresh_tokens(conn: Connection, ctx: Context, families: list[RefreshFamily]) -> None:
    for family in families:
        refresh_families.revoke_family(conn, family.handle_digest, ctx.now)
        opaque_tokens.remove_opaque_tokens_of_family(conn, family.handle_digest)
        ctx.facts.user_id = family.user_id
        token_id = family.handle_digest
        before = {"client_id": family.client_id, "audience": family.audience, "scope": family.scope}
        told: dict[str, object] = {"refresh_token": token_id}
        changes.record(conn, ctx, "", token_id, before=before, type="srrt", details=told)


def revoke_refresh_tokens_of(
    conn: Connection, ctx: Context, *, user_id: str | None = None, client_id: str | None = None
) -> None:
    """Every one of a person, of an application, or of one in the other."""
    ended = refresh_families.revoke_where(conn, ctx.now, user_id=user_id, client_id=client_id)
    opaque_tokens.remove_where(conn, user_id=user_id, client_id=client_id)
    ctx.facts.user_id = user_id
    told: dict[str, object] = {"ended": ended, "of_client": client_id}
    subject, before, after = user_id or client_id or "", {"refresh_tokens": ended}, {"refresh_tokens": 0}
    changes.record(conn, ctx, "", subject, before=before, after=after, type="srrt", details=told)


def label_refresh_token(
    conn: Connection, ctx: Context, family: RefreshFamily, labels: dict[str, str]
) -> None:
    refresh_families.label_family(conn, family.handle_digest, labels)
    ctx.facts.user_id = family.user_id
    changes.record(
        conn, ctx, "refresh_token_updated", family.handle_digest, before=family.labels or {}, after=labels
    )


def reset_factors(
    conn: Connection, ctx: Context, user: User, only: Collection[str] = (), *, ends_access: bool = True
) -> list[str]:
    """Remove every authenticator of a person, passkeys too, or those of some kinds `only`, and end all access.

    Returns the kinds that were confirmed. The recovery code goes with the last factor. Open logins end in any case:
    they were begun by what goes now.
    """
    if ends_access:
        log_out(conn, ctx, user)
    else:
        transactions.void_transactions(conn, user.id)
    second_factor.reopen_contacts(conn, user.id)
    kinds = authenticators.remove_authenticators(conn, user.id, only)
    if not authenticators.list_enrolled(conn, [user.id]):
        users.note_reset(conn, user.id, ctx.now)
        kinds += authenticators.remove_authenticators(conn, user.id)
    if not only and passkeys.remove_passkeys(conn, user.id):
        kinds.append("passkey")
    ctx.facts.user_id = user.id
    if kinds:
        notices.put(conn, ctx, user, "factor_removed")
    changes.record(
        conn,
        ctx,
        "factors_reset",
        user.id,
        before={"kinds": kinds},
        after={"kinds": []},
        type="gd_unenroll",
        details={"kinds": kinds},
    )
    alerts.tell(conn, ctx, user.realm_id, "reset", user.id)
    return kinds


def unblock(conn: Connection, ctx: Context, realm: Realm, username: str) -> int:
    """Forget wrong passwords and guesses of a person, or of a name that nobody has."""
    user = users.find_user_by_key(conn, realm.id, normal_key(username) or "")
    forgotten = brute_force.unblock(conn, realm, user, username)
    ctx.facts.user_id, ctx.facts.user_name = user.id if user else None, username
    ctx.facts.realm = realm.name
    if user is not None or forgotten:
        subject = user.id if user else username
        changes.record(conn, ctx, "", subject, before={"failures": forgotten}, type="ublkdu")
    return forgotten


def remove_user(conn: Connection, ctx: Context, user: User) -> None:
    end_access(conn, ctx, user)
    users.remove_user(conn, user.id)
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "", user.id, before=user, type="sdu")
