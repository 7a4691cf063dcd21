"""The MFA transaction: begun by a login, opened by its token; which factor is asked for, and which was answered."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit, veil
from app.accounts import challenging
from app.asking import (
    Asking,
    Person,
    asking_again,
    name_in,
    permitted,
    standing_of,
)
from app.context import Context
from app.crypto import digest
from app.errors import (
    ExpiredToken,
    InvalidGrant,
    TemporarilyUnavailable,
)
from app.errors import UnsupportedChallengeType as Unsupported
from app.factors import ANSWERABLE, FACTORS, vocabulary, ways
from app.factors.contact import asked_at, contacts_of
from app.factors.factor import Begun, Challenging, Factor, demands_of, is_of
from app.factors.vocabulary import policy_name
from app.policy import Challenge as Owed
from app.policy import Enroll, Policy, decide
from app.store import authenticators, challenges, clients, realms, users
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge
from app.store.clients import Client
from app.store.realms import Place
from app.store.users import User
from app.tokens import mfa_token
from app.tokens.methods import has_second_factor
from app.tokens.mfa_token import MALFORMED, Open

log = logging.getLogger("belay.mfa")

NOT_ENROLLED = "User is not enrolled. You can use /mfa/associate endpoint to enroll the first authenticator."
NO_RECOVERY_CODE = "User does not have a recovery-code."
NOT_SUPPORTED = "The user does not support the requested challenge type ({asked}). Supported type: {has}."
MALFORMED_HANDLE = "Malformed {name}"
OTHER_TRANSACTION = "The {name} doesn't match the mfa_token"
EXPIRED_HANDLE = "{name} is expired"
UNKNOWN_AUTHENTICATOR = "The authenticator_id does not belong to an active authenticator of the user."


def requirements(
    ctx: Context, policy: Policy, person: Person, owed: Owed | Enroll
) -> tuple[str, dict[str, object]]:
    """What a login still asks for, in a word for the log, and `mfa_requirements`: empty where any factor will do."""
    if isinstance(owed, Enroll) and owed.by_contact:
        return "contact_owed", {"challenge": contact_types(person.user)}
    if isinstance(owed, Enroll):
        return "enrollment_owed", {"enroll": enrollable_types(ctx, policy, owed.kinds)}
    found = challengeable_types(policy, person.owned, owed.kinds)
    return "factor_owed", {"challenge": found} if found else {}


def enrollable_types(ctx: Context, policy: Policy, allowed: tuple[str, ...]) -> list[dict[str, str]]:
    """`mfa_requirements.enroll`: what a person without a factor may begin with, of what the policy allows."""
    with ctx.db.read() as conn:
        found = dict.fromkeys(f.type for f in enrollable(ctx, conn, policy, allowed) if f.is_challengeable)
    if not found:
        log.error(
            "a second factor is owed, and none that the policy allows is on and can be sent: see `belay doctor`"
        )
    return [{"type": type} for type in found]


def challengeable_types(
    policy: Policy, owned: tuple[Authenticator, ...], kinds: tuple[str, ...]
) -> list[dict[str, str]]:
    """`mfa_requirements.challenge`: which of somebody's factors will do, where not all of them do."""
    active = [a for a in owned if a.is_active and FACTORS[a.kind].is_challengeable]
    fitting = [FACTORS[a.kind] for a in active if name_in(policy, a) in kinds]
    if len(fitting) == len(active):
        return []
    return _types(fitting)


def contact_types(user: User) -> list[dict[str, str]]:
    """The same, for the contacts that may be proven before anything is enrolled."""
    return _types([ANSWERABLE[contact.kind] for contact in contacts_of(user)])


def _types(fitting: list[Factor]) -> list[dict[str, str]]:
    types = dict.fromkeys(factor.type for factor in fitting)
    if any(factor.oob_channel for factor in fitting):
        types["oob"] = None  # nextjs-auth0 compares with this word alone
    return [{"type": type} for type in types]


def enrollable(ctx: Context, conn: Connection, policy: Policy, allowed: tuple[str, ...]) -> list[Factor]:
    """Factors that the policy allows, that an administrator has switched on, and that the server can ask for."""
    enabled = vocabulary.enabled_kinds(ctx, conn) - policy.shunned_ways
    found = [f for f in FACTORS.values() if f.kind in enabled and policy_name(f.kind) in allowed]
    return [f for f in found if f.is_ready(ctx, conn)]


def holder_of(ctx: Context, conn: Connection, opened: Open) -> tuple[User, Place] | None:
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


def asking_of(ctx: Context, conn: Connection, opened: Open, user: User) -> Asking:
    """What the transaction is about, for the policy. Raises InvalidGrant."""
    client = ctx.look_up(conn, clients.find_client, opened.client_id)
    asking = asking_again(ctx, conn, client, opened) if client is not None else None
    if asking is None:
        raise InvalidGrant(MALFORMED, reason="holder_gone")
    return permitted(conn, asking, user)


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
    if found is None or found.kind not in ANSWERABLE or found.state in ("used", "void"):
        reason = f"challenge_{found.state}" if found else "unknown_challenge"
        raise InvalidGrant(MALFORMED_HANDLE.format(name=given.name), reason=reason)
    if found.transaction_id != opened.id or found.user_id != opened.user_id:
        raise InvalidGrant(OTHER_TRANSACTION.format(name=given.name), reason="foreign_challenge")
    if found.expires_at <= ctx.now:
        raise ExpiredToken(EXPIRED_HANDLE.format(name=given.name), reason="challenge_expired")
    return ANSWERABLE[found.kind], found


def _may_confirm(opened: Open, owned: tuple[Authenticator, ...]) -> bool:
    """Whether this login may confirm what it enrolled: only where there was no factor before, or one was proven.

    Else a password alone could put a new factor beside the old.
    """
    return not any(a.confirmed_at for a in owned) or has_second_factor(opened.methods)


def candidates(
    opened: Open,
    user: User,
    owned: tuple[Authenticator, ...],
    factor: Factor,
    challenge: Challenge | None = None,
) -> list[Authenticator]:
    """The authenticators that an answer for this factor may prove. Raises UnsupportedChallengeType, InvalidGrant."""
    kind = factor.kind
    if not factor.is_kept:
        if contacts := asked_at(user, challenge):
            return contacts
        raise InvalidGrant(MALFORMED_HANDLE.format(name="oob_code"), reason="contact_changed")
    of_kind = [a for a in owned if factor.is_kin(FACTORS[a.kind])]
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
        holder, begun = None, None
        if opened.veil is not None:
            factor = _veiled(ctx, conn, opened, wanted)
        else:
            holder = holder_of(ctx, conn, opened)
            if holder is None:
                raise InvalidGrant(MALFORMED, reason="holder_gone")
            devices = _fitting(ctx, conn, opened, holder[0], wanted)
            factor = ANSWERABLE[devices[0].kind]
            ctx.facts.factor = factor.kind
            begun = begin(ctx, conn, factor, devices, opened, holder, client)
    ctx.facts.factor = factor.kind
    with ctx.db.write() as conn:
        if begun is not None and holder is not None:
            user, place = holder
            if not users.is_unchanged(conn, user):
                raise InvalidGrant(MALFORMED, reason="changed_meanwhile")
            challenging.ask(conn, ctx, factor, devices[0], place.realm, begun)
        audit.record(conn, ctx, "gd_start_auth")
    return {"challenge_type": factor.challenge_type} | (begun.shown if begun else {})


def _fitting(
    ctx: Context, conn: Connection, opened: Open, user: User, wanted: Wanted
) -> tuple[Authenticator, ...]:
    """The devices that may answer, of those that the policy takes. Raises UnsupportedChallengeType, InvalidGrant."""
    owned = tuple(authenticators.list_authenticators(conn, opened.user_id))
    asking = asking_of(ctx, conn, opened, user)
    owed = decide(standing_of(ctx, asking, Person(user, owned, opened.methods)))
    if isinstance(owed, Enroll) and owed.by_contact:
        owned = contacts_of(user)
    elif isinstance(owed, Owed):
        owned = tuple(a for a in owned if not a.is_active or name_in(asking.policy, a) in owed.kinds)
    on = ways.kinds_on(ctx, conn, owned) - asking.policy.shunned_ways
    # The newest is taken where nobody chooses, and by its own kind.
    found = tuple(way for a in owned for way in reversed(ways.ways_to(a, on)))
    return _choose(opened, found, wanted, asking.policy.terms.factors.preferred)


def _veiled(ctx: Context, conn: Connection, opened: Open, wanted: Wanted) -> Factor:
    """What is asked for in a realm in blind mode, whoever it is. Raises UnsupportedChallengeType, InvalidGrant."""
    if veil.place_of(ctx, conn, opened) is None:
        raise InvalidGrant(MALFORMED, reason="holder_gone")
    device = veil.shown(ctx, opened, veil.nobody(ctx, opened))
    return FACTORS[_choose(opened, (device,), wanted)[0].kind]


def _choose(
    opened: Open, owned: tuple[Authenticator, ...], wanted: Wanted, preferred: str | None = None
) -> tuple[Authenticator, ...]:
    """The devices that may answer: of the preferred factor, else the newest first.

    Raises UnsupportedChallengeType, InvalidGrant.
    """
    usable = [a for a in owned if a.is_active and ANSWERABLE[a.kind].is_challengeable]
    if wanted.authenticator_id is not None and _may_confirm(opened, owned):
        usable += [a for a in owned if a.confirmed_at is None and a.transaction_id == opened.id]
    if not usable:
        raise Unsupported(NOT_ENROLLED, reason="not_enrolled")
    if wanted.authenticator_id is not None:
        usable = [a for a in usable if ways.shown_id(a) == wanted.authenticator_id]
        if not usable:
            raise InvalidGrant(UNKNOWN_AUTHENTICATOR, reason="unknown_authenticator")
    channels = (wanted.oob_channel,) if wanted.oob_channel else ()
    fitting = [a for a in usable if is_of(ANSWERABLE[a.kind], wanted.wire_types, channels)]
    if not fitting:
        has = " ".join(sorted({ANSWERABLE[a.kind].challenge_type for a in usable}))
        text = NOT_SUPPORTED.format(asked=" ".join(wanted.wire_types), has=has)
        raise Unsupported(text, reason="challenge_type_not_supported")
    chosen = [a for a in fitting if policy_name(a.kind) == preferred][-1:] or fitting[-1:]
    kin = ANSWERABLE[chosen[0].kind].is_kin
    return (*chosen, *(a for a in fitting if kin(ANSWERABLE[a.kind]) and a is not chosen[0]))


def begin(
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
