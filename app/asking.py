"""What a login is about: what the client asks for, who the person is, and how both stand before the policy."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.context import Context
from app.policy import Standing, effective_mode
from app.store import realms
from app.store.authenticators import Authenticator
from app.store.clients import Client
from app.store.realms import Realm
from app.store.roles import list_granted
from app.store.tenant import Tenant
from app.store.users import User
from app.tokens import audience
from app.tokens.audience import Audience
from app.tokens.methods import Methods, has_second_factor
from app.tokens.mfa_token import Open
from app.tokens.scope import OIDC_SCOPES, still_granted


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
    )


def permitted(conn: Connection, asking: Asking, user: User) -> Asking:
    """Cut to what roles and administrators gave the person, where the API enforces it: anew at every step."""
    if not asking.audience.enforces_policies:
        return asking
    granted = tuple(list_granted(conn, user.id, asking.audience.api_id))
    free = {*OIDC_SCOPES, "offline_access", *granted}
    return replace(asking, scope=tuple(word for word in asking.scope if word in free), permissions=granted)


def standing_of(asking: Asking, person: Person) -> Standing:
    confirmed = [a for a in person.owned if a.confirmed_at is not None]
    return Standing(
        mode=effective_mode(
            asking.realm.mfa_mode, asking.tenant.mfa_policies, is_exempt=not asking.realm.wants_mfa
        ),
        is_user_blocked=person.user.is_blocked,
        is_realm_enabled=asking.realm.is_enabled and asking.realm.takes_passwords,
        is_realm_for_client=asking.is_realm_for_client,
        is_client_enabled=asking.client.is_enabled,
        confirmed_kinds=tuple(a.kind for a in confirmed),
        usable_kinds=tuple(a.kind for a in confirmed if a.is_active),
        is_factor_proven=has_second_factor(person.methods),
        is_for_own_factors=asking.audience.kind == "mfa",
    )
