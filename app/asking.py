"""What a login is about: what the client asks for, who the person is, and how both stand before the policy."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.context import Context
from app.factors.contact import contacts_of
from app.factors.vocabulary import policy_name
from app.policy import Policy, Risk, Seen, Standing, Wish, policy_of, risk_of
from app.policy_terms import Counted
from app.store import events, realms, tickets
from app.store.authenticators import Authenticator
from app.store.clients import Client
from app.store.realms import Realm
from app.store.roles import list_granted, list_roles_of
from app.store.tenant import Tenant
from app.store.tickets import ACCESS_PASS, Ticket
from app.store.users import User
from app.tokens import audience
from app.tokens.audience import Audience
from app.tokens.methods import FIRST_FACTORS, NO_FACTORS, PASSKEY, VERIFIED_PASSKEY, Methods, has_contact
from app.tokens.mfa_token import Open
from app.tokens.scope import OIDC_SCOPES, still_granted

HISTORY = 50  # logins that are looked back on


@dataclass(frozen=True)
class Asking:
    """What a client asks for in a login, from its first request to the tokens."""

    client: Client
    realm: Realm
    is_realm_for_client: bool
    tenant: Tenant
    audience: Audience
    scope: tuple[str, ...]
    requested_scope: str | None
    gty: tuple[str, ...]
    permissions: tuple[str, ...] = ()
    """What the person may do with an API that enforces policies, asked for or not."""
    demanded: tuple[str, ...] = ()
    """The factors that rules limited the second step to, by the policy's names; none: whatever the policy takes."""
    transaction_id: str | None = None
    """The MFA transaction that it goes on with."""
    roles: tuple[str, ...] = ()
    """The person's, where the policy distinguishes by roles."""
    passes: tuple[Ticket, ...] = ()
    """Access passes that an administrator made for the person, where they matter."""
    history: tuple[Seen, ...] = ()
    """The person's last logins, where the policy is adaptive."""

    @property
    def policy(self) -> Policy:
        return policy_of(self.realm.mfa_policy, self.tenant.mfa_policies)


@dataclass(frozen=True)
class Person:
    """Somebody in the middle of a login: who, with which authenticators, having proven what."""

    user: User
    owned: tuple[Authenticator, ...]
    methods: Methods


def asking_again(ctx: Context, conn: Connection, client: Client, opened: Open) -> Asking | None:
    """The first request, as the transaction remembers it; client and realm as they are today."""
    place = ctx.look_up(conn, realms.get_place_by_id, opened.realm_id, client.id)
    if place.realm is None:
        return None
    target = audience.resolve_for_user(ctx, conn, opened.audience, client)
    return Asking(
        client=client,
        realm=place.realm,
        is_realm_for_client=place.is_for_client,
        tenant=place.tenant,
        audience=target,
        scope=still_granted(tuple(opened.scope.split()), target),
        requested_scope=opened.requested_scope,
        gty=opened.gty,
        demanded=opened.demanded,
        transaction_id=opened.id,
    )


def permitted(conn: Connection, asking: Asking, user: User) -> Asking:
    """Cut to what roles and administrators gave the person, where the API enforces it: anew at every step.

    What the realm's policy wants to know of the person is looked up as well, and only that: a login under a policy
    without roles and passes costs nothing more.
    """
    terms = asking.policy.terms
    if terms.mentions_roles:
        asking = replace(asking, roles=tuple(role.id for role in list_roles_of(conn, user.id)))
    if terms.minds_passes or (user.mfa_counts is not None and user.mfa_counts.factors_reset_at is not None):
        asking = replace(asking, passes=tuple(tickets.list_tickets(conn, user.id, ACCESS_PASS)))
    if asking.policy.mode == "adaptive":
        logins = events.list_logins_of(conn, user.id, HISTORY)
        seen = (Seen(e.at, e.type != "fp", e.ip, e.user_agent) for e in logins)
        asking = replace(asking, history=tuple(seen))
    if not asking.audience.enforces_policies:
        return asking
    granted = tuple(list_granted(conn, user.id, asking.audience.api_id))
    free = {*OIDC_SCOPES, "offline_access", *granted}
    return replace(asking, scope=tuple(word for word in asking.scope if word in free), permissions=granted)


def standing_of(
    ctx: Context,
    asking: Asking,
    person: Person,
    *,
    proving: Authenticator | None = None,
    is_refresh: bool = False,
) -> Standing:
    """How they stand before the policy; `proving` is the authenticator that has just proven itself."""
    user, policy = person.user, asking.policy
    confirmed = [a for a in person.owned if a.confirmed_at is not None]
    if proving is not None and proving.confirmed_at is None:
        confirmed.append(proving)
    return Standing(
        policy=policy,
        now=ctx.now,
        is_user_blocked=user.is_blocked,
        is_realm_enabled=asking.realm.is_enabled and _takes_first_factor(asking.realm, person.methods),
        is_realm_for_client=asking.is_realm_for_client,
        is_client_enabled=asking.client.is_enabled,
        is_switched_off=not asking.realm.wants_mfa,
        confirmed=tuple(name_in(policy, a) for a in confirmed),
        usable=tuple(name_in(policy, a) for a in confirmed if a.disabled_at is None),
        proven=_proven(ctx, policy, person, proving, is_refresh=is_refresh),
        has_verified_passkey=_has_verified_passkey(ctx, policy, person, is_refresh=is_refresh),
        is_for_own_factors=asking.audience.kind == "mfa",
        is_refresh=is_refresh,
        user_id=user.id,
        email=user.email if user.email_verified else None,
        user_created_at=user.created_at,
        roles=asking.roles,
        client_id=asking.client.id,
        audience=asking.audience.identifier,
        scope=asking.scope,
        ip=ctx.ip,
        counted=user.mfa_counts or Counted(),
        risk=_risk(ctx, asking, user, confirmed),
        contacts=tuple(a.kind for a in contacts_of(user)),
        has_proven_contact=has_contact(person.methods) and not is_refresh,
        has_access_pass=any(is_good(ctx, found, asking.transaction_id) for found in asking.passes),
        wish=Wish("demand", asking.demanded) if asking.demanded else None,
    )


PLAIN_PUSH = "plain push-notification"  # no name of a policy: it counts for nothing


def name_in(policy: Policy, authenticator: Authenticator) -> str:
    """What the policy takes an authenticator for."""
    name = policy_name(authenticator.kind)
    is_plain = name == "push-notification" and not authenticator.details.get("matches_numbers")
    return PLAIN_PUSH if is_plain and policy.terms.wants_transfer else name


def _risk(ctx: Context, asking: Asking, user: User, confirmed: list[Authenticator]) -> Risk | None:
    if asking.policy.mode != "adaptive":
        return None
    changes = [a.confirmed_at for a in confirmed if a.confirmed_at] + [user.last_password_reset]
    return risk_of(
        asking.history,
        now=ctx.now,
        ip=ctx.ip,
        user_agent=ctx.user_agent[:300],
        last_login=user.last_login,
        changed_at=max((at for at in changes if at is not None), default=None),
        assessors=tuple(asking.policy.terms.adaptive.assessors),
    )


def _proven(
    ctx: Context, policy: Policy, person: Person, proving: Authenticator | None, *, is_refresh: bool
) -> tuple[str, ...]:
    """The second factors of this login. Those of a refreshed one count while they are young enough."""
    none = (*FIRST_FACTORS, *NO_FACTORS)
    earlier = [(name, at) for name, at in person.methods if name not in none]
    last: list[str] = []
    if proving is not None and proving.kind not in none:
        earlier = [(name, at) for name, at in earlier if name != proving.kind]
        last = [name_in(policy, proving)]
    oldest = _oldest(ctx, policy, is_refresh=is_refresh)
    return (*(policy_name(name) for name, at in earlier if at >= oldest), *last)


def is_opened_by_passkey(methods: Methods) -> bool:
    return any(name in (PASSKEY, VERIFIED_PASSKEY) for name, _ in methods)


def _takes_first_factor(realm: Realm, methods: Methods) -> bool:
    return realm.takes_passkeys if is_opened_by_passkey(methods) else realm.takes_passwords


def _has_verified_passkey(ctx: Context, policy: Policy, person: Person, *, is_refresh: bool) -> bool:
    """A refreshed login's counts as long as a second factor's would."""
    oldest = _oldest(ctx, policy, is_refresh=is_refresh)
    return any(name == VERIFIED_PASSKEY and at >= oldest for name, at in person.methods)


def _oldest(ctx: Context, policy: Policy, *, is_refresh: bool) -> float:
    most = policy.terms.refresh.max_mfa_age_seconds
    return ctx.now.timestamp() - most if is_refresh and most is not None else 0.0


def is_opened_by_pass(asking: Asking) -> bool:
    """Whether an access pass was used up for this very login."""
    return asking.transaction_id is not None and any(
        found.details.get("transaction_id") == asking.transaction_id for found in asking.passes
    )


def is_good(ctx: Context, found: Ticket, transaction_id: str | None) -> bool:
    """Whether an access pass lets its person enrol in this login: unused, or used by this very login."""
    if found.expires_at <= ctx.now:
        return False
    return found.consumed_at is None or found.details.get("transaction_id") == (transaction_id or "")
