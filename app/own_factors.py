"""One's own authenticators: enrolled, listed and removed by whoever holds a token of a login.

The token is an `mfa_token`, which opens the way to a first factor only, or an access token for `{issuer}mfa/`, which
says what its bearer has proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app import audit, veil
from app.accounts import challenging
from app.asking import Asking, Person, is_good, is_opened_by_pass, name_in, standing_of
from app.channels import notices
from app.context import Context
from app.crypto import digest
from app.errors import AccessDenied, ExpiredToken, InsufficientScope, InvalidGrant, InvalidRequest, NotFound
from app.factors import ANSWERABLE, FACTORS, recovery_code, ways
from app.factors.contact import contacts_of
from app.factors.factor import Enrolling, is_of
from app.mfa import asking_of, begin, enrollable, holder_of
from app.policy import CLOSED, Deny, Enroll, decide, may_enroll, may_unenroll
from app.store import authenticators, clients, tickets, users
from app.store.authenticators import Authenticator
from app.store.realms import Place
from app.store.tickets import Ticket
from app.store.users import User
from app.tokens import mfa_token
from app.tokens.methods import has_second_factor
from app.tokens.mfa_token import Open

PENDING_LIMIT = 5  # unconfirmed authenticators of a person; the oldest falls out

BAD_BEARER = "The mfa_token provided is invalid. Try getting a new token."
ALREADY_ENROLLED = "User is already enrolled."
BAD_PASS = "The access pass is not valid."  # noqa: S105 - a text
LAST_FACTOR = "A second factor is required here: the last one cannot be removed."


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


def open_bearer(
    ctx: Context, conn: Connection, token: str, scope: str, *, accepts_stored: bool = True
) -> Bearer:
    """Open for `/mfa/associate` and `/mfa/authenticators`. Raises InvalidGrant (401), InsufficientScope."""
    try:
        is_jwt = token.count(".") == 2
        open_token = mfa_token.open_access_token if is_jwt else mfa_token.open_stored
        opened = open_token(ctx, conn, token)
    except (InvalidGrant, ExpiredToken) as refusal:
        raise InvalidGrant(BAD_BEARER, reason=refusal.reason, status=401) from None
    holder = _veiled_holder(ctx, conn, opened) if opened.veil is not None else holder_of(ctx, conn, opened)
    if holder is None:
        raise InvalidGrant(BAD_BEARER, reason="holder_gone", status=401)
    user, place = holder
    if opened.is_stored and not accepts_stored:
        raise InvalidGrant(BAD_BEARER, reason="needs_access_token", status=401)
    if opened.veil is not None:
        device = veil.shown(ctx, opened, user)
        return Bearer(opened, user, (device,), place, asking_of(ctx, conn, opened, user))
    if not opened.is_stored and scope not in opened.scope.split():
        raise InsufficientScope(f"Insufficient scope, expected: {scope}", reason="insufficient_scope")
    owned = tuple(authenticators.list_authenticators(conn, user.id))
    return Bearer(opened, user, owned, place, asking_of(ctx, conn, opened, user))


def _veiled_holder(ctx: Context, conn: Connection, opened: Open) -> tuple[User, Place] | None:
    place = veil.place_of(ctx, conn, opened)
    return (veil.nobody(ctx, opened), place) if place is not None else None


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
        available = enrollable(ctx, conn, bearer.asking.policy, allowed)
        factor = next((f for f in available if is_of(f, wire_types, oob_channels)), None)
        if factor is None or (factor.kind == "recovery_code" and not bearer.has_factor):
            asked = " ".join(wire_types + oob_channels)
            raise InvalidRequest(f"authenticator_types not available: {asked}", reason="factor_unavailable")
        ctx.facts.factor = factor.kind
        enrolling = Enrolling(user, opened.id, tenant_name, members, bearer.owned)
        enrollment = factor.enroll(ctx, enrolling)
        new = enrollment.authenticator
        client = ctx.look_up(conn, clients.find_client, opened.client_id)
        begun = begin(ctx, conn, factor, (new,), opened, (user, bearer.place), client)
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
                challenging.ask(conn, ctx, factor, new, bearer.place.realm, begun)
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


def listed(ctx: Context, bearer: Bearer) -> list[dict[str, object]]:
    """The answer of `GET /mfa/authenticators`: factors first, the code for emergencies last.

    Where a contact must be proven first, there are the contacts: what a client may ask for is found here.
    """
    person = Person(bearer.user, bearer.owned, bearer.opened.methods)
    owed = decide(standing_of(ctx, bearer.asking, person)) if bearer.opened.is_stored else None
    contacts = contacts_of(bearer.user) if isinstance(owed, Enroll) and owed.by_contact else ()
    own = _shown(bearer)
    with ctx.db.read() as conn:
        on = ways.kinds_on(ctx, conn, own) - bearer.asking.policy.shunned_ways
    found = [*contacts, *(way for a in own for way in ways.ways_to(a, on))]
    return [_listed(a) for a in sorted(found, key=lambda a: not ANSWERABLE[a.kind].is_challengeable)]


def _listed(authenticator: Authenticator) -> dict[str, object]:
    factor = ANSWERABLE[authenticator.kind]
    found = {
        "id": ways.shown_id(authenticator),
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
    """Remove one of the own authenticators, by whichever of its names; the recovery code goes with the last factor."""
    if bearer.has_factor and not has_second_factor(bearer.opened.methods):
        raise AccessDenied("A second factor is needed to remove one.", reason="factor_not_proven")
    gone = next((a for a in bearer.owned if ways.is_called(a, authenticator_id)), None)
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
        if gone.confirmed_at is not None:
            if not any(a.confirmed_at and FACTORS[a.kind].is_challengeable for a in left):
                authenticators.remove_authenticators(conn, bearer.user.id)
            notices.put(conn, ctx, bearer.user, "factor_removed")
        else:  # and the code that was shown with it; what other logins began is not touched
            authenticators.remove_pending_code(conn, bearer.user.id, gone.transaction_id)
        audit.record(conn, ctx, "gd_unenroll", gone.id)
