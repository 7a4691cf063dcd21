"""Which fields of people and of events can be searched, under their names on the wire, and what each one means.

The lists are closed: what is not named here, secrets above all, cannot be asked for.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Column,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy import Text as TextType

from app.identifiers import normal_key
from app.store.authenticators import authenticators
from app.store.clients import clients
from app.store.dialects import is_like
from app.store.events import events
from app.store.realms import realms
from app.store.search import ROWS_COST, Condition, Field, Flag, Json, Number, Text, Through, Time
from app.store.users import identifiers, users

PROVIDER = "auth0"
_PREFIX = f"{PROVIDER}|"
_U = users.c
_E = events.c


def _by_identifier(values: Sequence[str]) -> Condition:
    """E-mail addresses, usernames and numbers stand in `identifiers`, whose key begins with the realm."""
    keys = sorted({key for value in values if (key := normal_key(value)) is not None})
    everywhere = select(realms.c.id).correlate(None)
    found = select(identifiers.c.user_id).where(
        identifiers.c.realm_id.in_(everywhere), identifiers.c.key.in_([literal(k, TextType()) for k in keys])
    )
    return _U.id.in_(found.correlate(None)) if keys else false()


def _by_ending(domains: Sequence[str]) -> Condition:
    """An address ends with its domain, which is cheaper to see than where the domain begins."""
    possible = [domain for domain in domains if "@" not in domain]
    return or_(false(), *(is_like(_U.email, ("", f"@{domain}"), is_folded=True) for domain in possible))


def _by_id(values: Sequence[str]) -> Condition:
    return _U.id.in_([literal(_PREFIX + value, TextType()) for value in values])


def _by_log_id(values: Sequence[str]) -> Condition:
    numbers = [int(v) for v in values if v.isascii() and v.isdigit() and len(v) <= 18]
    return _E.id.in_([literal(number, _E.id.type) for number in numbers]) if numbers else false()


def _in_realm(wanted: Condition) -> Condition:
    return _U.realm_id.in_(select(realms.c.id).where(wanted).correlate(None))


def _has_factor(wanted: Condition) -> Condition:
    confirmed = authenticators.c.confirmed_at.is_not(None)
    return exists().where(authenticators.c.user_id == _U.id, confirmed, wanted).correlate(users)


def _by_client(wanted: Condition) -> Condition:
    return _E.client_id.in_(select(clients.c.id).where(wanted).correlate(None))


def _by_realm_name(wanted: Condition) -> Condition:
    return _E.realm.in_(select(realms.c.name).where(wanted).correlate(None))


def _name(column: Column[str]) -> Text:
    return Text(column, is_folded=True, has_words=True, is_bare=True)


def _always(value: str) -> Text:
    return Text(literal(value, TextType()))


# What stands behind the last @: strip from the right all that is none.
_LOCAL = func.rtrim(_U.email, func.replace(_U.email, "@", ""))
_DOMAIN = func.substr(_U.email, func.length(_LOCAL) + 1)
_KIND = authenticators.c.kind
# As Auth0 names factors.
_FACTOR = case((_KIND == "totp", "otp"), (_KIND == "recovery_code", "recovery-code"), else_=_KIND)
_NEVER = Text(cast(null(), TextType()))

USER_FIELDS: Mapping[str, Field] = {
    "user_id": Text(_U.id),
    "email": Text(_U.email, is_folded=True, is_bare=True, look_up=_by_identifier),
    "email.domain": Text(_DOMAIN, is_folded=True, look_up=_by_ending, cost=90),
    "email_verified": Flag(_U.email_verified),
    "name": _name(_U.name),
    "given_name": _name(_U.given_name),
    "family_name": _name(_U.family_name),
    "nickname": _name(_U.nickname),
    "username": Text(_U.username, look_up=_by_identifier),
    "phone_number": Text(_U.phone_number, look_up=_by_identifier),
    "phone_verified": Flag(_U.phone_verified),
    "identities.connection": Through(_in_realm, Text(realms.c.name)),
    "identities.provider": _always(PROVIDER),
    "identities.user_id": Text(func.substr(_U.id, len(_PREFIX) + 1), look_up=_by_id),
    "blocked": Flag(_U.is_blocked, is_shown_when_false=False),
    "logins_count": Number(_U.logins_count, is_shown_when_zero=False),
    "last_login": Time(_U.last_login),
    "last_ip": Text(_U.last_ip),
    "last_password_reset": Time(_U.last_password_reset),
    "created_at": Time(_U.created_at),
    "updated_at": Time(_U.updated_at),
    "user_metadata": Json(_U.user_metadata),
    "app_metadata": Json(_U.app_metadata),
    "multifactor": Through(_has_factor, _always("guardian"), cost=ROWS_COST),
    "mfa.factors": Through(_has_factor, Text(_FACTOR), cost=ROWS_COST),
    "mfa.enrolled_at": Through(_has_factor, Time(authenticators.c.confirmed_at), cost=ROWS_COST),
    "organization_id": _NEVER,
}

EVENT_FIELDS: Mapping[str, Field] = {
    "log_id": Text(cast(_E.id, TextType), is_bare=True, look_up=_by_log_id),
    "date": Time(_E.at),
    "type": Text(_E.type, is_bare=True),
    "connection": Text(_E.realm, is_bare=True),
    "connection_id": Through(_by_realm_name, Text(realms.c.id)),
    "client_id": Text(_E.client_id),
    "client_name": Through(_by_client, Text(clients.c.name), is_bare=True),
    "user_id": Text(_E.user_id),
    "user_name": Text(_E.user_name, is_bare=True),
    "ip": Text(_E.ip, is_bare=True),
    "user_agent": Text(_E.user_agent),
    "organization_id": _NEVER,
}
