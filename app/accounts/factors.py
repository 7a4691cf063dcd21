"""Second factors, as administrators look after them."""

from collections.abc import Iterable
from dataclasses import replace

import pyotp
from sqlalchemy import Connection

from app import audit
from app.accounts import changes
from app.context import Context
from app.crypto import digest, owner_of, random_id
from app.errors import Conflict, Missing, NotPossible
from app.factors import FACTORS, recovery_code
from app.factors.totp import DIGITS, PERIOD_SECONDS
from app.store import authenticators, users
from app.store.authenticators import Authenticator
from app.store.users import User

LIMIT = 20  # authenticators of one person and kind
MIN_SECRET_CHARACTERS = 16  # 80 bits in base32, the shortest that authenticator apps were ever given
EXISTS = "Authentication method already exists."


def add_totp(conn: Connection, ctx: Context, user: User, secret: str, name: str | None) -> Authenticator:
    """An authenticator app whose secret is brought along, confirmed from the start. Raises NotPossible, Conflict."""
    if len(_owned_totp(conn, user)) >= LIMIT:
        raise NotPossible("You reached the limit of entities of this type for this user.")
    if not unknown_totp(conn, ctx, user, (secret,)):
        raise Conflict(EXISTS, reason="authentication_method_already_exists")
    new = new_totp(ctx, user.id, secret, name)
    authenticators.add_authenticator(conn, new)
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "authentication_method_added", user.id, after={"id": new.id, "name": name})
    return new


def new_totp(ctx: Context, user_id: str, secret: str, name: str | None = None) -> Authenticator:
    """The value of a confirmed authenticator app; nothing is stored."""
    new_id = f"{FACTORS['totp'].id_prefix}|dev_{random_id()}"
    return Authenticator(
        new_id,
        user_id,
        "totp",
        ctx.now,
        name=name,
        sealed_secret=ctx.server.keyring.seal(secret.encode(), owner_of("authenticators", new_id)),
        details={"digits": DIGITS, "period": PERIOD_SECONDS},
        confirmed_at=ctx.now,
    )


def unknown_totp(conn: Connection, ctx: Context, user: User, secrets: Iterable[str]) -> list[str]:
    """Which of these secrets none of the person's authenticator apps has, as many as the limit leaves room for."""
    owned = _owned_totp(conn, user)
    known = {
        ctx.server.keyring.open(a.sealed_secret, owner_of("authenticators", a.id)).decode()
        for a in owned
        if a.sealed_secret
    }
    return [secret for secret in secrets if secret not in known][: max(0, LIMIT - len(owned))]


def _owned_totp(conn: Connection, user: User) -> list[Authenticator]:
    return [a for a in authenticators.list_authenticators(conn, user.id) if a.kind == "totp"]


def checked_secret(text: str | None) -> str:
    """A base32 secret without padding, or a new one. Raises NotPossible."""
    if text is None:
        return pyotp.random_base32()
    secret = text.replace(" ", "").rstrip("=").upper()
    try:
        if len(secret) < MIN_SECRET_CHARACTERS:
            raise ValueError
        pyotp.TOTP(secret).now()
    except ValueError:
        raise NotPossible(
            "Payload validation error: 'Not a base32 secret' on property totp_secret."
        ) from None
    return secret


def rename(conn: Connection, ctx: Context, user: User, known: Authenticator, name: str) -> Authenticator:
    authenticators.rename_authenticator(conn, known.id, name)
    ctx.facts.user_id = user.id
    before, after = {"name": known.name}, {"name": name}
    changes.record(conn, ctx, "authentication_method_updated", user.id, before=before, after=after)
    return replace(known, name=name)


def remove(conn: Connection, ctx: Context, user: User, authenticator_id: str) -> None:
    """Remove one; the recovery code goes with the last factor. Raises Missing."""
    users.lock_user(conn, user.id)
    if not authenticators.remove_authenticator(conn, user.id, authenticator_id):
        raise Missing(
            "The authentication method could not be found.", reason="inexistent_authentication_method"
        )
    left = authenticators.list_authenticators(conn, user.id)
    if not any(a.confirmed_at and FACTORS[a.kind].is_challengeable for a in left):
        authenticators.remove_authenticators(conn, user.id)
    ctx.facts.user_id = user.id
    audit.record(conn, ctx, "gd_unenroll", "removed_by_administrator", {"id": authenticator_id})


def remove_kinds(conn: Connection, ctx: Context, user: User, kinds: tuple[str, ...]) -> None:
    """Remove every authenticator of these kinds."""
    for owned in authenticators.list_authenticators(conn, user.id):
        if owned.kind in kinds:
            remove(conn, ctx, user, owned.id)


def regenerate_recovery_code(conn: Connection, ctx: Context, user: User) -> str:
    """A new code in the place of the old one, shown this once. Raises Missing for somebody who never enrolled."""
    users.lock_user(conn, user.id)
    owned = authenticators.list_authenticators(conn, user.id)
    if not any(a.confirmed_at for a in owned):
        raise Missing("Enrollment not found.", reason="inexistent_enrollment")
    code = recovery_code.new_code()
    prefix = FACTORS["recovery_code"].id_prefix
    new = Authenticator(
        f"{prefix}|dev_{random_id()}", user.id, "recovery_code", ctx.now, code_digest=digest(code)
    )
    authenticators.replace_recovery_code(conn, new, ctx.now)
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "recovery_code_regenerated", user.id)
    return code
