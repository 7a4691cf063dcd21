"""The MFA transaction: begun by a login, opened by its token, and what may be done with it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app import audit
from app.asking import (
    Asking,
    Person,
    asking_again,
    is_good,
    is_opened_by_pass,
    name_in,
    permitted,
    standing_of,
)
from app.channels import notices, outbox
from app.context import Context
from app.crypto import digest
from app.errors import (
    AccessDenied,
    ExpiredToken,
    InvalidGrant,
    InvalidRequest,
    NotFound,
    TemporarilyUnavailable,
)
from app.errors import UnsupportedChallengeType as Unsupported
from app.factors import FACTORS, recovery_code, vocabulary
from app.factors.factor import Begun, Challenging, Enrolling, Factor, demands_of, is_of
from app.factors.vocabulary import policy_name
from app.guards import sends
from app.policy import CLOSED, Deny, decide, may_enroll, may_unenroll
from app.policy import Challenge as Owed
from app.store import authenticators, challenges, clients, realms, tickets, users
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge
from app.store.clients import Client
from app.store.realms import Place, Realm
from app.store.tickets import Ticket
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
BAD_PASS = "The access pass is not valid."  # noqa: S105 - a text
LAST_FACTOR = "A second factor is required here: the last one cannot be removed."
MALFORMED_HANDLE = "Malformed {name}"
OTHER_TRANSACTION = "The {name} doesn't match the mfa_token"
EXPIRED_HANDLE = "{name} is expired"
UNKNOWN_AUTHENTICATOR = "The authenticator_id does not belong to an active authenticator of the user."


def enrollable_types(ctx: Context, allowed: tuple[str, ...]) -> list[dict[str, str]]:
    """`mfa_requirements.enroll`: what a person without a factor may begin with, of what the policy allows."""
    with ctx.db.read() as conn:
        found = dict.fromkeys(f.type for f in enrollable(ctx, conn, allowed) if f.is_challengeable)
    if not found:
        log.error("a second factor is owed and no factor is enabled: see PUT /api/v2/guardian/factors/otp")
    return [{"type": type} for type in found]


def enrollable(ctx: Context, conn: Connection, allowed: tuple[str, ...]) -> list[Factor]:
    """Factors that the policy allows, that an administrator has switched on, and that the server can ask for."""
    enabled = vocabulary.enabled_kinds(ctx, conn)
    found = [f for f in FACTORS.values() if f.kind in enabled and policy_name(f.kind) in allowed]
    return [f for f in found if f.is_ready(ctx, conn)]


@dataclass(frozen=True)
class Bearer:
    """Who came with a token to look after the own authenticators."""

    opened: Open
    user: User
    owned: tuple[Authenticator, ...]
    place: Place
    asking: Asking

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


def _asking(ctx: Context, conn: Connection, opened: Open, user: User) -> Asking:
    """What the transaction is about, for the policy. Raises InvalidGrant."""
    client = ctx.look_up(conn, clients.find_client, opened.client_id)
    asking = asking_again(ctx, conn, client, opened) if client is not None else None
    if asking is None:
        raise InvalidGrant(MALFORMED, reason="holder_gone")
    return permitted(conn, asking, user)


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
    return Bearer(opened, user, owned, place, _asking(ctx, conn, opened, user))


# --- what can be done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """The proof in a token request: of a kind that the grant knows, or for a challenge that says which."""

    members: Mapping[str, str]
    kind: str = ""
    handle: str = ""
    name: str = "oob_code"
    """What the client calls the handle."""


def answered(ctx: Context, conn: Connection, opened: Open, given: Given) -> tuple[Factor, Challenge | None]:
    """Which factor the proof is for, and which challenge. Raises InvalidGrant, ExpiredToken."""
    if given.kind:
        return FACTORS[given.kind], None
    found = challenges.find_challenge(conn, digest(given.handle))
    if found is None or found.kind not in FACTORS or found.state in ("used", "void"):
        reason = f"challenge_{found.state}" if found else "unknown_challenge"
        raise InvalidGrant(MALFORMED_HANDLE.format(name=given.name), reason=reason)
    if found.transaction_id != opened.id or found.user_id != opened.user_id:
        raise InvalidGrant(OTHER_TRANSACTION.format(name=given.name), reason="foreign_challenge")
    if found.expires_at <= ctx.now:
        raise ExpiredToken(EXPIRED_HANDLE.format(name=given.name), reason="challenge_expired")
    return FACTORS[found.kind], found


def _may_confirm(opened: Open, owned: tuple[Authenticator, ...]) -> bool:
    """Whether this login may confirm what it enrolled: only where there was no factor before, or one was proven.

    Else a password alone could put a new factor beside the old.
    """
    return not any(a.confirmed_at for a in owned) or has_second_factor(opened.methods)


def candidates(
    opened: Open, owned: tuple[Authenticator, ...], kind: str, challenge: Challenge | None = None
) -> list[Authenticator]:
    """The authenticators that an answer of this kind may prove. Raises UnsupportedChallengeType."""
    of_kind = [a for a in owned if FACTORS[kind].is_kin(FACTORS[a.kind])]
    active = [a for a in of_kind if a.is_active]
    if kind != "recovery_code" and _may_confirm(opened, owned):
        active += [a for a in of_kind if a.confirmed_at is None and a.transaction_id == opened.id]
    if challenge is not None and challenge.authenticator_id is not None:
        active = [a for a in active if a.id == challenge.authenticator_id]
    if not active:
        if kind == "recovery_code":
            raise Unsupported(NO_RECOVERY_CODE, reason="no_recovery_code", status=403)
        raise Unsupported(NOT_ENROLLED, reason="authenticator_disabled" if of_kind else "not_enrolled")
    return active


@dataclass(frozen=True)
class Wanted:
    """Which factor a client can ask for, in the words of `/mfa/challenge`."""

    wire_types: tuple[str, ...]
    authenticator_id: str | None = None
    oob_channel: str | None = None


def challenge(ctx: Context, client: Client, token: str, wanted: Wanted) -> dict[str, object]:
    """Choose the factor that the client shall ask for, and ask; the answer of `/mfa/challenge`."""
    with ctx.db.read() as conn:
        if token.count(".") == 2:
            raise InvalidGrant(MALFORMED, reason="access_token_as_mfa_token")
        opened = mfa_token.open_for_client(ctx, conn, token, client)
        holder = _holder(ctx, conn, opened)
        if holder is None:
            raise InvalidGrant(MALFORMED, reason="holder_gone")
        owned = tuple(authenticators.list_authenticators(conn, opened.user_id))
        asking = _asking(ctx, conn, opened, holder[0])
        owed = decide(standing_of(ctx, asking, Person(holder[0], owned, opened.methods)))
        asked_for = owned
        if isinstance(owed, Owed):
            asked_for = tuple(a for a in owned if not a.is_active or name_in(asking.policy, a) in owed.kinds)
        devices = _choose(opened, asked_for, wanted)
        factor = FACTORS[devices[0].kind]
        ctx.facts.factor = factor.kind
        begun = _begin(ctx, conn, factor, devices, opened, holder, client)
    with ctx.db.write() as conn:
        if begun is not None:
            user, place = holder
            if not users.is_unchanged(conn, user):
                raise InvalidGrant(MALFORMED, reason="changed_meanwhile")
            _ask(conn, ctx, factor, devices[0], place.realm, begun)
        audit.record(conn, ctx, "gd_start_auth")
    return {"challenge_type": factor.challenge_type} | (begun.shown if begun else {})


def _choose(opened: Open, owned: tuple[Authenticator, ...], wanted: Wanted) -> tuple[Authenticator, ...]:
    """The devices that may answer, the newest first. Raises UnsupportedChallengeType, InvalidGrant."""
    usable = [a for a in owned if a.is_active and FACTORS[a.kind].is_challengeable]
    if wanted.authenticator_id is not None and _may_confirm(opened, owned):
        usable += [a for a in owned if a.confirmed_at is None and a.transaction_id == opened.id]
    if not usable:
        raise Unsupported(NOT_ENROLLED, reason="not_enrolled")
    if wanted.authenticator_id is not None:
        usable = [a for a in usable if a.id == wanted.authenticator_id]
        if not usable:
            raise InvalidGrant(UNKNOWN_AUTHENTICATOR, reason="unknown_authenticator")
    channels = (wanted.oob_channel,) if wanted.oob_channel else ()
    fitting = [a for a in usable if is_of(FACTORS[a.kind], wanted.wire_types, channels)]
    if not fitting:
        has = " ".join(sorted({FACTORS[a.kind].challenge_type for a in usable}))
        text = NOT_SUPPORTED.format(asked=" ".join(wanted.wire_types), has=has)
        raise Unsupported(text, reason="challenge_type_not_supported")
    chosen = fitting[-1]
    kin = FACTORS[chosen.kind].is_kin
    return (chosen, *(a for a in fitting if kin(FACTORS[a.kind]) and a is not chosen))


def _begin(
    ctx: Context,
    conn: Connection,
    factor: Factor,
    devices: tuple[Authenticator, ...],
    opened: Open,
    holder: tuple[User, Place],
    client: Client | None,
) -> Begun | None:
    """The challenge of a factor that must be asked first. Raises TemporarilyUnavailable."""
    if factor.challenge is None:
        return None
    if not factor.is_ready(ctx, conn):
        log.error("a code is owed by %s and there is nothing to send it through", factor.kind)
        raise TemporarilyUnavailable(reason="no_gateway")
    user, place = holder
    name, demands = place.tenant.name, demands_of(place.realm)
    return factor.challenge(ctx, conn, Challenging(user, devices, opened.id, client, name, demands))


def _ask(
    conn: Connection,
    ctx: Context,
    factor: Factor,
    device: Authenticator,
    realm: Realm | None,
    begun: Begun,
) -> None:
    """Write a challenge and what is sent with it, if there may be one more. Raises InvalidRequest (429)."""
    if factor.costs is not None and begun.message is not None:
        realm_id = realm.id if realm else ""
        sends.before(
            conn,
            ctx,
            realm_id=realm_id,
            device=device,
            channel=factor.costs,
            budget=sends.budget_of(realm),
            transaction_id=begun.challenge.transaction_id,
        )
    challenges.add_challenge(conn, begun.challenge)
    if begun.message is not None:
        channel, message = begun.message
        outbox.put(
            conn,
            ctx,
            channel,
            message,
            expires_at=begun.challenge.expires_at,
            user_id=begun.challenge.user_id,
            challenge_id=begun.challenge.id,
        )


def _opening(ctx: Context, bearer: Bearer, access_pass: str | None) -> tuple[tuple[str, ...], Ticket | None]:
    """The factors that the policy lets the bearer enrol, and the pass to use up for it. Raises AccessDenied."""
    person = Person(bearer.user, bearer.owned, bearer.opened.methods)
    standing = standing_of(ctx, bearer.asking, person)
    found = None
    if access_pass is not None:
        with ctx.db.read() as conn:
            found = tickets.find_ticket(conn, digest(recovery_code.plain(access_pass)))
        if found is not None and (found.user_id, found.kind) != (bearer.user.id, tickets.ACCESS_PASS):
            found = None
        if found is None or not is_good(ctx, found, bearer.opened.id):
            raise AccessDenied(BAD_PASS, reason="unknown_access_pass")
    has_pass = found is not None or is_opened_by_pass(bearer.asking)
    opening = may_enroll(replace(standing, has_access_pass=has_pass))
    if isinstance(opening, Deny):
        raise AccessDenied(CLOSED.get(opening.reason), reason=opening.reason)
    return opening, found if found is not None and found.consumed_at is None else None


def associate(
    ctx: Context,
    bearer: Bearer,
    wire_types: tuple[str, ...],
    oob_channels: tuple[str, ...],
    members: Mapping[str, str],
    access_pass: str | None = None,
) -> dict[str, object]:
    """Enrol a new authenticator, unconfirmed until its first success; the answer of `/mfa/associate`."""
    opened, user = bearer.opened, bearer.user
    if bearer.has_factor and not has_second_factor(opened.methods):
        raise AccessDenied(ALREADY_ENROLLED, reason="factor_exists")
    tenant_name = bearer.place.tenant.name
    allowed, spent = _opening(ctx, bearer, access_pass)
    with ctx.db.read() as conn:
        available = enrollable(ctx, conn, allowed)
        factor = next((f for f in available if is_of(f, wire_types, oob_channels)), None)
        if factor is None or (factor.kind == "recovery_code" and not bearer.has_factor):
            asked = " ".join(wire_types + oob_channels)
            raise InvalidRequest(f"authenticator_types not available: {asked}", reason="factor_unavailable")
        ctx.facts.factor = factor.kind
        enrolling = Enrolling(user, opened.id, tenant_name, members, bearer.owned)
        enrollment = factor.enroll(ctx, enrolling)
        new = enrollment.authenticator
        client = ctx.look_up(conn, clients.find_client, opened.client_id)
        begun = _begin(ctx, conn, factor, (new,), opened, (user, bearer.place), client)
    shown: dict[str, object] = {"authenticator_type": factor.wire_type, "id": new.id} | enrollment.shown
    if factor.oob_channel is not None:
        shown["oob_channel"] = factor.oob_channel
    with ctx.db.write() as conn:
        _hold(conn, bearer)
        if spent is not None and not tickets.bind_ticket(conn, spent, opened.id, ctx.now):
            raise AccessDenied(BAD_PASS, reason="access_pass_used")
        if factor.kind == "recovery_code":
            # A person who proved another factor replaces a code that was lost.
            authenticators.replace_recovery_code(conn, new, ctx.now)
        else:
            authenticators.add_authenticator(conn, new)
            authenticators.drop_oldest_pending(conn, new, PENDING_LIMIT)
            if begun is not None:
                _ask(conn, ctx, factor, new, bearer.place.realm, begun)
                shown |= begun.shown
            recovery = FACTORS["recovery_code"].enroll(ctx, enrolling)
            if any(f.kind == "recovery_code" for f in available) and authenticators.add_first_recovery_code(
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
    return [_listed(a) for a in sorted(_shown(bearer), key=lambda a: not FACTORS[a.kind].is_challengeable)]


def _listed(authenticator: Authenticator) -> dict[str, object]:
    factor = FACTORS[authenticator.kind]
    found = {
        "id": authenticator.id,
        "authenticator_type": factor.wire_type,
        "active": authenticator.is_active,
        "oob_channel": factor.oob_channel,
        "name": factor.shown_name(authenticator),
        "type": factor.type,
    }
    return {name: value for name, value in found.items() if value is not None}


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
    standing = standing_of(ctx, bearer.asking, Person(bearer.user, bearer.owned, bearer.opened.methods))
    with ctx.db.write() as conn:
        _hold(conn, bearer)
        if not authenticators.remove_authenticator(conn, bearer.user.id, gone.id):
            raise NotFound("The authenticator does not exist.", reason="unknown_authenticator")
        left = authenticators.list_authenticators(conn, bearer.user.id)
        names = tuple(name_in(standing.policy, a) for a in left if a.confirmed_at is not None)
        if gone.confirmed_at is not None and not may_unenroll(standing, names):
            raise AccessDenied(LAST_FACTOR, reason="last_factor")
        if not any(a.confirmed_at and FACTORS[a.kind].is_challengeable for a in left):
            authenticators.remove_authenticators(conn, bearer.user.id)
        if gone.confirmed_at is not None:
            notices.put(conn, ctx, bearer.user, "factor_removed")
        audit.record(conn, ctx, "gd_unenroll", gone.id)
