"""How far people have come with a second factor, in the words of exported files."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.factors.vocabulary import policy_name
from app.policy import Standing, devices, grace_of, policy_of
from app.policy_terms import Counted
from app.store import authenticators, realms
from app.store.authenticators import Authenticator
from app.store.realms import Realm
from app.store.tenant import Tenant, get_tenant
from app.store.users import User

MEMBERS = ("state", "factors", "enrolled_at", "last_used_at", "grace_ends_at")


def mfa_of(conn: Connection, people: Sequence[User], now: datetime) -> Mapping[str, dict[str, Any]]:
    """MEMBERS of each, by id."""
    owned = authenticators.list_of_many(conn, [user.id for user in people])
    of_realms = {realm.id: realm for realm in realms.list_realms(conn)}
    tenant = get_tenant(conn)
    return {
        user.id: _told(user, owned.get(user.id, ()), of_realms.get(user.realm_id), tenant, now)
        for user in people
    }


def _told(
    user: User, owned: tuple[Authenticator, ...], realm: Realm | None, tenant: Tenant, now: datetime
) -> dict[str, Any]:
    confirmed = [a for a in owned if a.confirmed_at is not None]
    names = tuple(dict.fromkeys(policy_name(a.kind) for a in confirmed))
    held = [a.confirmed_at for a in confirmed if a.confirmed_at and devices((policy_name(a.kind),))]
    is_pending = any(a.confirmed_at is None and devices((policy_name(a.kind),)) for a in owned)
    ends_at = _grace_ends_at(user, realm, tenant, now) if not held else None
    in_grace = ends_at is not None and now < ends_at
    return {
        "state": "enrolled" if held else "pending" if is_pending else "in_grace" if in_grace else "none",
        "factors": list(names),
        "enrolled_at": min(held, default=None),
        "last_used_at": max((a.last_used_at for a in confirmed if a.last_used_at), default=None),
        "grace_ends_at": ends_at,
    }


def _grace_ends_at(user: User, realm: Realm | None, tenant: Tenant, now: datetime) -> datetime | None:
    """None where the realm asks nobody for a factor, or gives no time to a date."""
    if realm is None:
        return None
    policy = policy_of(realm.mfa_policy, tenant.mfa_policies)
    is_off = not realm.wants_mfa and not policy.terms.locked
    if is_off or policy.mode not in ("always", "adaptive"):
        return None
    counted = user.mfa_counts or Counted()
    period = grace_of(Standing(policy, now, user_created_at=user.created_at, counted=counted))
    return period.ends_at if period is not None else None
