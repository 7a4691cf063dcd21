"""RFC 6749 6 with rotation: each token once, and a token that comes again ends its family."""

from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from app import accounts, audit, login, ruling
from app.asking import Asking, Person, permitted, standing_of
from app.context import Context
from app.errors import InvalidGrant, Refusal, Unauthorized
from app.explaining import note
from app.grants.grant import Grant, Param, TokenRequest
from app.policy import Allow, Challenge, Deny, Enroll, decide, is_proven
from app.ruling import Ruled
from app.store import authenticators, opaque_tokens, realms, refresh_families, signing_keys
from app.store.clients import Client
from app.store.refresh_families import RefreshFamily
from app.store.rules import RuleSet
from app.store.signing_keys import Signer
from app.tokens import audience, issue, refresh, scope
from app.tokens.issue import Grantee, TokenSet
from app.tokens.methods import FIRST_FACTORS
from app.tokens.mfa_token import LIFETIME
from app.tokens.refresh import Presented

UNKNOWN = "Unknown or invalid refresh token."
USER_DELETED = "The refresh_token was generated for a user who doesn't exist anymore."


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    token = request.params["refresh_token"]
    presented = refresh.read(token)
    if presented is None:
        raise InvalidGrant(UNKNOWN, reason="not_a_refresh_token")
    wanted = scope.parse(request.params.get("scope", ""))
    family, asking, person, signers, rules = _read(ctx, request.client, presented)

    # A scope can only shrink; what is not in the original is left out in silence (RFC 6749 6 lets us).
    given = tuple(word for word in asking.scope if word in wanted) if wanted else asking.scope
    narrowed = replace(asking, scope=given)
    standing = standing_of(ctx, narrowed, person, is_refresh=True)
    ruled = ruling.ask(ctx, rules, narrowed, person, standing, ruling.REFRESH_PROTOCOL)
    standing = replace(standing, wish=ruled.wish)
    decision = decide(standing)
    note(ctx, asking, person, standing, decision)
    match decision:
        case Deny("user_blocked"):
            raise Unauthorized("user is blocked", reason="user_blocked", status=403)
        case Deny(reason):
            raise InvalidGrant(UNKNOWN, reason=reason)
        case Challenge() | Enroll():
            narrowed = replace(narrowed, demanded=ruled.wish.kinds if ruled.wish else ())
            _demand(ctx, narrowed, person, decision)
        case Allow():
            pass
    if not accounts.is_still_there(ctx, asking.realm, person.user):
        raise Unauthorized("user is blocked", reason="gone_from_directory", status=403)

    grantee = Grantee(
        person.user,
        request.client,
        asking.audience,
        given,
        None,
        person.methods,
        ("refresh_token", *family.gty),
        asking.permissions,
        ruled.access_scope,
        ruled.access_claims,
        ruled.id_claims,
    )
    minted = issue.mint(ctx, signers, grantee, family)
    client = request.client
    if not client.refresh_rotates:
        with ctx.db.write() as conn:
            ruling.hold(conn, person.user.id, ruled)
            idle = refresh.idle_end(client, ctx.now)
            if not refresh_families.touch_family(conn, family.handle_digest, idle, refresh.seen(ctx)):
                raise InvalidGrant(UNKNOWN, reason="family_ended")
            ruling.save(conn, ctx, person.user.id, ruled)
            issue.save(conn, minted)
            audit.record(conn, ctx, ctx.facts.success_event)
        return minted.token_set

    successor = _rotate(ctx, client, family, presented, token, minted, ruled)
    return replace(minted.token_set, refresh_token=successor)


def _demand(ctx: Context, asking: Asking, person: Person, owed: Challenge | Enroll) -> NoReturn:
    """Raises MfaRequired, InvalidGrant.

    Of what was proven at the login only the password is taken over: a factor proven long ago must not open the way
    to a new one. And a first factor takes a password of just now, which a stolen refresh token has not.
    """
    person = replace(
        person, methods=tuple((name, at) for name, at in person.methods if name in FIRST_FACTORS)
    )
    newest = max((at for _, at in person.methods), default=0)
    if isinstance(owed, Enroll) and ctx.now.timestamp() - newest > LIFETIME.total_seconds():
        raise InvalidGrant(UNKNOWN, reason="enrollment_needs_password")
    login.demand_factor(ctx, asking, person, owed)


def _read(
    ctx: Context, client: Client, presented: Presented
) -> tuple[RefreshFamily, Asking, Person, dict[str, Signer], RuleSet]:
    """The family, and its login as if it were asked for anew. Raises InvalidGrant."""
    with ctx.db.read() as conn:
        family, user = refresh_families.find_family_with_user(conn, presented.handle_digest)
        if family is None or family.client_id != client.id:
            raise InvalidGrant(UNKNOWN, reason="foreign_refresh_token" if family else "unknown_refresh_token")
        ctx.facts.user_id = family.user_id
        if user is None:
            raise InvalidGrant(USER_DELETED, reason="user_deleted")
        place = ctx.look_up(conn, realms.get_place_by_id, family.realm_id, client.id)
        if place.realm is None:
            raise InvalidGrant(UNKNOWN, reason="realm_gone")
        ctx.facts.realm = place.realm.name
        _check_alive(ctx, family)
        target = audience.resolve_for_user(ctx, conn, family.audience, client)
        asking = Asking(
            client=client,
            realm=place.realm,
            is_realm_for_client=place.is_for_client,
            tenant=place.tenant,
            audience=target,
            scope=scope.still_granted(tuple(family.scope.split()), target),
            requested_scope=None,
            gty=family.gty,
        )
        asking = permitted(conn, asking, user)
        person = Person(user, (), family.methods)
        # Whoever proved a factor that still counts owes none now; only else it matters what there is to prove.
        if not is_proven(standing_of(ctx, asking, person, is_refresh=True)):
            person = replace(person, owned=tuple(authenticators.list_authenticators(conn, user.id)))
        signers = ctx.look_up(conn, signing_keys.list_signers)
        rules = ruling.in_force(ctx, conn)
    if client.refresh_rotates and presented.secret_digest != family.current_digest:
        if not _is_within_leeway(ctx, client, family, presented):
            _end_family(ctx, family)
    elif presented.secret_digest != family.current_digest:
        raise InvalidGrant(UNKNOWN, reason="unknown_refresh_token")
    return family, asking, person, signers, rules


def _check_alive(ctx: Context, family: RefreshFamily) -> None:
    if family.revoked_at is not None:
        raise InvalidGrant(UNKNOWN, reason="family_revoked")
    if family.expires_at is not None and family.expires_at <= ctx.now:
        raise InvalidGrant(UNKNOWN, reason="refresh_token_expired")
    if family.idle_expires_at is not None and family.idle_expires_at <= ctx.now:
        raise InvalidGrant(UNKNOWN, reason="refresh_token_idle")


def _is_within_leeway(ctx: Context, client: Client, family: RefreshFamily, presented: Presented) -> bool:
    """A client whose answer got lost repeats the direct parent of the newest token, soon.

    A clock that was set back must not stretch that; of two servers whose clocks differ, one may be behind a little.
    """
    leeway = timedelta(seconds=client.refresh_leeway_seconds)
    return presented.secret_digest == family.parent_digest and abs(ctx.now - family.rotated_at) < leeway


def _rotate(
    ctx: Context,
    client: Client,
    family: RefreshFamily,
    presented: Presented,
    token: str,
    minted: issue.Minted,
    ruled: Ruled,
) -> str:
    """Replace the token, or hand out its successor again within the leeway. Raises InvalidGrant."""
    successor = refresh.successor_of(token)
    sealed = refresh.seal_successor(ctx, client, family, successor)
    presented_new = refresh.read(successor)
    assert presented_new is not None  # noqa: S101 - we have just made it
    with ctx.db.write() as conn:
        ruling.hold(conn, family.user_id, ruled)
        has_won = presented.secret_digest == family.current_digest and refresh_families.rotate_family(
            conn,
            family.handle_digest,
            old=presented.secret_digest,
            new=presented_new.secret_digest,
            sealed_successor=sealed,
            idle_expires_at=refresh.idle_end(client, ctx.now),
            seen=refresh.seen(ctx),
        )
        if has_won:
            ruling.save(conn, ctx, family.user_id, ruled)
            issue.save(conn, minted)
            audit.record(conn, ctx, ctx.facts.success_event)
            return successor
        now_there = refresh_families.hold_family(conn, family.handle_digest)
        if now_there is not None:
            _check_alive(ctx, now_there)
            same = refresh.open_successor(ctx, now_there)
            if same is not None and _is_within_leeway(ctx, client, now_there, presented):
                ruling.save(conn, ctx, family.user_id, ruled)
                issue.save(conn, minted)
                audit.record(conn, ctx, ctx.facts.success_event, "leeway")
                return same
    _end_family(ctx, family)


def _end_family(ctx: Context, family: RefreshFamily) -> NoReturn:
    """A token came a second time: one of its two holders is a thief, and nobody can tell which."""
    refusal: Refusal = InvalidGrant(UNKNOWN, reason="refresh_token_reused", event="ferrt")
    with ctx.db.write() as conn:
        refresh_families.revoke_family(conn, family.handle_digest, ctx.now)
        opaque_tokens.remove_opaque_tokens_of_family(conn, family.handle_digest)
        audit.record(conn, ctx, "ferrt", refusal.reason)
    refusal.recorded = True
    raise refusal


GRANT = Grant(
    "refresh_token",
    (
        Param("refresh_token", is_required=True, is_secret=True),
        Param("scope", is_list=True),
        Param("audience"),
    ),
    handle,
    "sertft",
    "fertft",
)
