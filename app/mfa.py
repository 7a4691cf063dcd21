"""The MFA transaction: begun by a login, opened by its token, and what may be done with it."""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit
from app.context import Context
from app.errors import AccessDenied, ExpiredToken, InvalidGrant, InvalidRequest, NotFound
from app.errors import UnsupportedChallengeType as Unsupported
from app.factors import FACTORS, vocabulary
from app.store import authenticators, clients, realms, users
from app.store.authenticators import Authenticator
from app.store.clients import Client
from app.store.realms import Place
from app.store.users import User
from app.tokens import mfa_token
from app.tokens.methods import has_second_factor
from app.tokens.mfa_token import MALFORMED, Open

log = logging.getLogger("belay.mfa")

PENDING_LIMIT = 5  # unconfirmed authenticators of a person; the oldest falls out

BAD_BEARER = "The mfa_token provided is invalid. Try getting a new token."
NOT_ENROLLED = "User is not enrolled. You can use /mfa/associate endpoint to enroll the first authenticator."
ALREADY_ENROLLED = "User is already enrolled."
NO_RECOVERY_CODE = "User does not have a recovery-code."
NOT_SUPPORTED = "The user does not support the requested challenge type ({asked}). Supported type: {has}."
UNKNOWN_AUTHENTICATOR = "The authenticator_id does not belong to an active authenticator of the user."


def enrollable_types(ctx: Context) -> list[dict[str, str]]:
    """`mfa_requirements.enroll`: what a person without a factor may begin with."""
    with ctx.db.read() as conn:
        enabled = vocabulary.enabled_kinds(ctx, conn)
    found = [f.wire_type for f in FACTORS.values() if f.is_challengeable and f.kind in enabled]
    if not found:
        log.error("a second factor is owed and no factor is enabled: see PUT /api/v2/guardian/factors/otp")
    return [{"type": wire_type} for wire_type in found]


@dataclass(frozen=True)
class Bearer:
    """Who came with a token to look after the own authenticators."""

    opened: Open
    user: User
    owned: tuple[Authenticator, ...]
    issuer_name: str

    @property
    def has_factor(self) -> bool:
        return any(a.confirmed_at is not None for a in self.owned)


def _holder(ctx: Context, conn: Connection, opened: Open) -> tuple[User, Place] | None:
    """Whose transaction it is and where, unless person, client or realm may not go on."""
    user = users.find_user(conn, opened.user_id)
    client = ctx.look_up(conn, clients.find_client, opened.client_id)
    place = ctx.look_up(conn, realms.get_place_by_id, opened.realm_id, opened.client_id)
    if user is None or user.is_blocked or client is None or not client.is_enabled:
        return None
    if place.realm is None or not place.realm.is_enabled or not place.is_for_client:
        return None
    ctx.facts.user_id, ctx.facts.client_id, ctx.facts.realm = user.id, client.id, place.realm.name
    return user, place


def open_bearer(
    ctx: Context, conn: Connection, token: str, scope: str, *, accepts_stored: bool = True
) -> Bearer:
    """Open for `/mfa/associate` and `/mfa/authenticators`. Raises InvalidGrant (401), AccessDenied."""
    try:
        is_jwt = token.count(".") == 2
        open_token = mfa_token.open_access_token if is_jwt else mfa_token.open_stored
        opened = open_token(ctx, conn, token)
    except (InvalidGrant, ExpiredToken) as refusal:
        raise InvalidGrant(BAD_BEARER, reason=refusal.reason, status=401) from None
    holder = _holder(ctx, conn, opened)
    if holder is None:
        raise InvalidGrant(BAD_BEARER, reason="holder_gone", status=401)
    user, place = holder
    if opened.is_stored and not accepts_stored:
        raise InvalidGrant(BAD_BEARER, reason="needs_access_token", status=401)
    if not opened.is_stored and scope not in opened.scope.split():
        raise AccessDenied(f"Insufficient scope, expected: {scope}", reason="insufficient_scope")
    owned = tuple(authenticators.list_authenticators(conn, user.id))
    return Bearer(opened, user, owned, place.tenant.name)


# --- what can be done ----------------------------------------------------------------------------------------------


def candidates(opened: Open, owned: tuple[Authenticator, ...], kind: str) -> list[Authenticator]:
    """The authenticators that an answer of this kind may prove. Raises UnsupportedChallengeType.

    One that waits for its confirmation counts only in the login that enrolled it, and only where there was no factor
    before or one was proven: else a password alone could put a new factor beside the old.
    """
    of_kind = [a for a in owned if a.kind == kind]
    active = [a for a in of_kind if a.is_active]
    has_factor = any(a.confirmed_at is not None for a in owned)
    if not has_factor or has_second_factor(opened.methods):
        active += [a for a in of_kind if a.confirmed_at is None and a.transaction_id == opened.id]
    if kind == "recovery_code":
        active = [a for a in active if a.is_active]
    if not active:
        if kind == "recovery_code":
            raise Unsupported(NO_RECOVERY_CODE, reason="no_recovery_code", status=403)
        raise Unsupported(NOT_ENROLLED, reason="authenticator_disabled" if of_kind else "not_enrolled")
    return active


def challenge(
    ctx: Context, client: Client, token: str, wire_types: tuple[str, ...], authenticator_id: str | None
) -> dict[str, object]:
    """Choose the factor that the client shall ask for; the answer of `/mfa/challenge`."""
    with ctx.db.read() as conn:
        if token.count(".") == 2:
            raise InvalidGrant(MALFORMED, reason="access_token_as_mfa_token")
        opened = mfa_token.open_for_client(ctx, conn, token, client)
        if _holder(ctx, conn, opened) is None:
            raise InvalidGrant(MALFORMED, reason="holder_gone")
        owned = authenticators.list_authenticators(conn, opened.user_id)
    usable = [a for a in owned if a.is_active and FACTORS[a.kind].is_challengeable]
    if not usable:
        raise Unsupported(NOT_ENROLLED, reason="not_enrolled")
    if authenticator_id is not None:
        usable = [a for a in usable if a.id == authenticator_id]
        if not usable:
            raise InvalidGrant(UNKNOWN_AUTHENTICATOR, reason="unknown_authenticator")
    fitting = [a for a in usable if FACTORS[a.kind].wire_type in wire_types]
    if not fitting:
        has = " ".join(sorted({FACTORS[a.kind].wire_type for a in usable}))
        text = NOT_SUPPORTED.format(asked=" ".join(wire_types), has=has)
        raise Unsupported(text, reason="challenge_type_not_supported")
    ctx.facts.factor = fitting[-1].kind
    with ctx.db.write() as conn:
        audit.record(conn, ctx, "gd_start_auth")
    return {"challenge_type": FACTORS[fitting[-1].kind].wire_type}


def associate(ctx: Context, bearer: Bearer, wire_types: tuple[str, ...]) -> dict[str, object]:
    """Enrol a new authenticator, unconfirmed until its first success; the answer of `/mfa/associate`."""
    if bearer.has_factor and not has_second_factor(bearer.opened.methods):
        raise AccessDenied(ALREADY_ENROLLED, reason="factor_exists")
    with ctx.db.read() as conn:
        enabled = vocabulary.enabled_kinds(ctx, conn)
    factor = next((f for f in FACTORS.values() if f.wire_type in wire_types and f.kind in enabled), None)
    if factor is None or (factor.kind == "recovery_code" and not bearer.has_factor):
        raise InvalidRequest(
            f"authenticator_types not available: {' '.join(wire_types)}", reason="factor_unavailable"
        )
    ctx.facts.factor = factor.kind
    enrolling = {"transaction_id": bearer.opened.id, "issuer_name": bearer.issuer_name}
    enrollment = factor.enroll(ctx, bearer.user, **enrolling)
    new = enrollment.authenticator
    shown: dict[str, object] = {"authenticator_type": factor.wire_type, "id": new.id} | enrollment.shown
    with ctx.db.write() as conn:
        _hold(conn, bearer)
        if factor.kind == "recovery_code":
            # A person who proved another factor replaces a code that was lost.
            authenticators.replace_recovery_code(conn, new, ctx.now)
        else:
            authenticators.add_authenticator(conn, new)
            authenticators.drop_oldest_pending(conn, new, PENDING_LIMIT)
            recovery = FACTORS["recovery_code"].enroll(ctx, bearer.user, **enrolling)
            if "recovery_code" in enabled and authenticators.add_first_recovery_code(
                conn, recovery.authenticator
            ):
                shown |= recovery.shown
        audit.record(conn, ctx, "gd_start_enroll")
    return shown


def _hold(conn: Connection, bearer: Bearer) -> None:
    """Changes of one person's factors come one after the other. Raises InvalidGrant (401)."""
    if not users.is_unchanged(conn, bearer.user):
        raise InvalidGrant(BAD_BEARER, reason="changed_meanwhile", status=401)


def listed(bearer: Bearer) -> list[dict[str, object]]:
    """The answer of `GET /mfa/authenticators`: factors first, the code for emergencies last."""
    return [
        {
            "id": a.id,
            "authenticator_type": FACTORS[a.kind].wire_type,
            "active": a.is_active,
            "type": FACTORS[a.kind].wire_type,
        }
        for a in sorted(_shown(bearer), key=lambda a: not FACTORS[a.kind].is_challengeable)
    ]


def _shown(bearer: Bearer) -> list[Authenticator]:
    """All but the recovery codes that other logins were shown and never confirmed."""
    own = bearer.opened.id
    return [a for a in bearer.owned if a.kind != "recovery_code" or a.confirmed_at or a.transaction_id == own]


def remove(ctx: Context, bearer: Bearer, authenticator_id: str) -> None:
    """Remove one of the own authenticators; the recovery code goes with the last factor."""
    if bearer.has_factor and not has_second_factor(bearer.opened.methods):
        raise AccessDenied("A second factor is needed to remove one.", reason="factor_not_proven")
    gone = next((a for a in bearer.owned if a.id == authenticator_id), None)
    if gone is None:
        raise NotFound("The authenticator does not exist.", reason="unknown_authenticator")
    ctx.facts.factor = gone.kind
    with ctx.db.write() as conn:
        _hold(conn, bearer)
        if not authenticators.remove_authenticator(conn, bearer.user.id, gone.id):
            raise NotFound("The authenticator does not exist.", reason="unknown_authenticator")
        left = authenticators.list_authenticators(conn, bearer.user.id)
        if not any(a.confirmed_at and FACTORS[a.kind].is_challengeable for a in left):
            authenticators.remove_authenticators(conn, bearer.user.id)
        audit.record(conn, ctx, "gd_unenroll", gone.id)
