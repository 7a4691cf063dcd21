"""Second factors, as administrators look after them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyotp
from sqlalchemy import Connection

from app.accounts import changes, people
from app.channels import alerts, notices
from app.context import Context
from app.crypto import digest, owner_of, random_id
from app.errors import Conflict, InvalidRequest, Missing, NotPossible
from app.factors import FACTORS, oob_code, recovery_code, ways, webauthn
from app.factors.ceremony import Wrong
from app.factors.totp import DIGITS, PERIOD_SECONDS
from app.store import authenticators, passkeys, users
from app.store.authenticators import Authenticator
from app.store.passkeys import Passkey
from app.store.users import User

LIMIT = 20  # authenticators of one person and kind
MIN_SECRET_CHARACTERS = 16  # 80 bits in base32, the shortest that authenticator apps were ever given
BY_ADMINISTRATOR = "removed_by_administrator"
EXISTS = "Authentication method already exists."


@dataclass(frozen=True)
class Device:
    """A second factor that is brought along: an authenticator app's secret, or where codes are sent."""

    kind: str
    value: str = field(repr=False)
    details: dict[str, object] = field(default_factory=dict)
    """Of an authenticator app: `algorithm`, `digits`, `period` where they are not the usual ones."""


def add_device(conn: Connection, ctx: Context, user: User, device: Device, name: str | None) -> Authenticator:
    """Give somebody a second factor, confirmed from the start. Raises NotPossible, Conflict."""
    if len(_owned(conn, user, device.kind)) >= LIMIT:
        raise NotPossible("You reached the limit of entities of this type for this user.")
    if not unknown_devices(conn, ctx, user, (device,)):
        raise Conflict(EXISTS, reason="authentication_method_already_exists")
    new = new_device(ctx, user.id, device, name)
    authenticators.add_authenticator(conn, new)
    ctx.facts.user_id = user.id
    notices.put(conn, ctx, user, "factor_added", factor=FACTORS[new.kind].type)
    changes.record(conn, ctx, "authentication_method_added", user.id, after={"id": new.id, "name": name})
    return new


def add_security_key(
    conn: Connection,
    ctx: Context,
    user: User,
    *,
    key_id: str,
    public_key: str,
    rp_id: str | None,
    name: str | None,
) -> Authenticator:
    """Give somebody a security key that was registered elsewhere. Raises NotPossible, Conflict."""
    try:
        new = webauthn.brought_along(ctx, conn, user.id, key_id=key_id, public_key=public_key, rp_id=rp_id)
    except Wrong as wrong:
        member = "key_id" if wrong.reason == "bad_key_id" else "public_key"
        raise NotPossible(f"Payload validation error: 'Not accepted' on property {member}.") from None
    if len(_owned(conn, user, new.kind)) >= LIMIT:
        raise NotPossible("You reached the limit of entities of this type for this user.")
    if authenticators.find_by_credential(conn, str(new.credential_id)) is not None:
        raise Conflict(EXISTS, reason="authentication_method_already_exists")
    authenticators.add_authenticator(conn, replace(new, name=name))
    ctx.facts.user_id = user.id
    notices.put(conn, ctx, user, "factor_added", factor=FACTORS[new.kind].type)
    changes.record(conn, ctx, "authentication_method_added", user.id, after={"id": new.id, "name": name})
    return replace(new, name=name)


def new_device(ctx: Context, user_id: str, device: Device, name: str | None = None) -> Authenticator:
    """The value of a confirmed second factor; nothing is stored."""
    new_id = f"{FACTORS[device.kind].id_prefix}|dev_{random_id()}"
    new = Authenticator(new_id, user_id, device.kind, ctx.now, name=name, confirmed_at=ctx.now)
    if device.kind != "totp":
        return replace(new, details={"destination": device.value})
    sealed = ctx.server.keyring.seal(device.value.encode(), owner_of("authenticators", new_id))
    usual: dict[str, object] = {"digits": DIGITS, "period": PERIOD_SECONDS}
    return replace(new, sealed_secret=sealed, details=usual | device.details)


def unknown_devices(conn: Connection, ctx: Context, user: User, devices: Iterable[Device]) -> list[Device]:
    """Which of these the person does not have yet, as many as the limit leaves room for."""
    found: list[Device] = []
    for device in devices:
        owned = _owned(conn, user, device.kind)
        known = {_value_of(ctx, a) for a in owned} | {d.value for d in found if d.kind == device.kind}
        room = LIMIT - len(owned) - sum(d.kind == device.kind for d in found)
        if device.value not in known and room > 0:
            found.append(device)
    return found


def _value_of(ctx: Context, known: Authenticator) -> str:
    if known.sealed_secret is None:
        return str(known.details.get("destination"))
    return ctx.server.keyring.open(known.sealed_secret, owner_of("authenticators", known.id)).decode()


def _owned(conn: Connection, user: User, kind: str) -> list[Authenticator]:
    """Those of that kind, and devices that can be asked as one."""
    kinds = ways.kinds_like(kind)
    return [a for a in authenticators.list_authenticators(conn, user.id) if a.kind in kinds]


def destination(kind: str, text: str) -> Device:
    """Where codes of that kind are sent. Raises NotPossible."""
    try:
        return Device(kind, oob_code.checked(kind, text))
    except InvalidRequest as refusal:
        raise NotPossible(f"Payload validation error: '{refusal.description}'") from None


def checked_secret(text: str | None) -> str:
    """A base32 secret without padding, or a new one. Raises NotPossible."""
    if text is None:
        return pyotp.random_base32()
    secret = text.replace(" ", "").rstrip("=").upper()
    try:
        if len(secret) < MIN_SECRET_CHARACTERS:
            raise ValueError
        base64.b32decode(secret + "=" * (-len(secret) % 8))
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


def prefer(conn: Connection, ctx: Context, user: User, known: Authenticator, kind: str) -> Authenticator:
    """By which of its ways a telephone is reached where nobody chooses. Raises NotPossible."""
    if kind not in ways.kinds_like(known.kind):
        raise NotPossible("preferred_authentication_method is for telephones only.")
    if kind == known.kind:
        return known
    authenticators.prefer_kind(conn, known.id, kind)
    ctx.facts.user_id = user.id
    name = "preferred_authentication_method"
    before, after = {"id": known.id, name: known.kind}, {"id": known.id, name: kind}
    changes.record(conn, ctx, "authentication_method_updated", user.id, before=before, after=after)
    return replace(known, kind=kind)


def remove(
    conn: Connection,
    ctx: Context,
    user: User,
    authenticator_id: str,
    reason: str = BY_ADMINISTRATOR,
) -> None:
    """Remove one; the recovery code goes with the last factor. Raises Missing.

    What is open ends where an administrator takes a factor away, maybe because somebody else has it: nobody can tell
    what was opened with it. A phone that signs itself off leaves the rest alone.
    """
    users.lock_user(conn, user.id)
    owned = {a.id: a for a in authenticators.list_authenticators(conn, user.id)}
    gone = owned.pop(authenticator_id, None)
    if gone is None or not authenticators.remove_authenticator(conn, user.id, authenticator_id):
        raise Missing(
            "The authentication method could not be found.", reason="inexistent_authentication_method"
        )
    ctx.facts.user_id = user.id
    if gone.confirmed_at is not None:  # else nobody had it yet: nothing is reset by its going
        if not any(a.confirmed_at and FACTORS[a.kind].is_challengeable for a in owned.values()):
            authenticators.remove_authenticators(conn, user.id)
            users.note_reset(conn, user.id, ctx.now)
        if reason == BY_ADMINISTRATOR:
            people.log_out(conn, ctx, user)
            alerts.tell(conn, ctx, user.realm_id, "reset", user.id)
        notices.put(conn, ctx, user, "factor_removed")
    _record_removal(conn, ctx, user, reason, gone.id, gone.name)


def _record_removal(
    conn: Connection, ctx: Context, user: User, reason: str, gone_id: str, name: str | None
) -> None:
    before, details = {"id": gone_id, "name": name}, {"id": gone_id}
    changes.record(conn, ctx, reason, user.id, before=before, type="gd_unenroll", details=dict(details))


def rename_passkey(conn: Connection, ctx: Context, user: User, known: Passkey, name: str) -> Passkey:
    passkeys.rename_passkey(conn, known.id, name)
    ctx.facts.user_id = user.id
    before, after = {"name": known.name}, {"name": name}
    changes.record(conn, ctx, "authentication_method_updated", user.id, before=before, after=after)
    return replace(known, name=name)


def remove_passkey(conn: Connection, ctx: Context, user: User, known: Passkey) -> None:
    """It opens no login any more. Raises Missing."""
    users.lock_user(conn, user.id)
    if not passkeys.remove_passkey(conn, user.id, known.id):
        raise Missing(
            "The authentication method could not be found.", reason="inexistent_authentication_method"
        )
    ctx.facts.user_id = user.id
    notices.put(conn, ctx, user, "factor_removed")
    _record_removal(conn, ctx, user, "passkey_removed", known.id, known.name)


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
    after = {"id": new.id, "recovery_code": changes.MASK}
    changes.record(conn, ctx, "recovery_code_regenerated", user.id, after=after)
    return code
