"""Blind mode of a realm: who has no second factor in his hand does not learn whether the password was right.

A wrong password gets an `mfa_token` as well, a decoy, of the same table and by the same statements. Both kinds of
logins are *veiled*: until the right code comes, nothing that is said about them depends on whose they are.
"""

import string
from hashlib import sha256
from typing import NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.addresses import network_of
from app.asking import Asking, Person, permitted, standing_of
from app.context import Context
from app.crypto import random_id
from app.errors import InvalidGrant, MfaRequired
from app.factors import FACTORS
from app.factors.factor import Enrolling, Factor
from app.guards import brute_force, password_attempt, second_factor
from app.guards.password_attempt import Attempt
from app.guards.second_factor import Guess
from app.policy import Challenge, Decision, decide
from app.policy_terms import BLIND_FACTORS
from app.store import authenticators, clients, realms, transactions, users
from app.store.authenticators import Authenticator
from app.store.realms import Place, Realm
from app.store.users import User
from app.tokens import mfa_token
from app.tokens.methods import PASSWORD
from app.tokens.mfa_token import Open

SIGNS = string.ascii_letters + string.digits


def is_blind(asking: Asking) -> bool:
    return asking.policy.terms.blind and asking.realm.wants_mfa


def covers(asking: Asking, owed: Decision) -> bool:
    """Whether what is owed can be asked for in the words that a decoy has: by a one-time password."""
    return is_blind(asking) and isinstance(owed, Challenge) and set(owed.kinds) <= set(BLIND_FACTORS)


def pool_of(ctx: Context, realm: Realm, user: User | None, username: str) -> str:
    """What right and wrong passwords have in common: the name, whoever has it, and the address.

    Limits that showed whose login it is would end the disguise; without the address in them a stranger could use up
    those of an owner.
    """
    identity = brute_force.identity_of(realm, user, username)
    return sha256(f"veil\n{identity}\n{network_of(ctx.ip)}".encode()).hexdigest()


def nobody(ctx: Context, where: Asking | Open) -> User:
    """Somebody to ask the database about who is not there."""
    realm_id = where.realm_id if isinstance(where, Open) else where.realm.id
    id = f"auth0|{random_id(24, '0123456789abcdef')}"
    return User(id, realm_id, ctx.now, ctx.now, email="nobody@example.invalid")


def holder_of(ctx: Context, conn: Connection, opened: Open) -> User | None:
    """Whose second step it is; of a decoy, somebody who can prove nothing."""
    found = users.find_user(conn, opened.user_id)
    return nobody(ctx, opened) if found is None and opened.veil is not None else found


def refuse_password(
    ctx: Context, asking: Asking, user: User | None, username: str, attempt: Attempt, refusal: InvalidGrant
) -> NoReturn:
    """Answer a wrong password as a right one of somebody with an authenticator app. Raises MfaRequired.

    The look-ups are those of the right password: they are made for their time.
    """
    somebody = user or nobody(ctx, asking)
    methods = ((PASSWORD, int(ctx.now.timestamp())),)
    with ctx.db.read() as conn:
        owned = tuple(authenticators.list_authenticators(conn, somebody.id))
        asking = permitted(conn, asking, somebody)
    decide(standing_of(ctx, asking, Person(somebody, owned, methods)))
    transaction, token = mfa_token.new_transaction(
        ctx,
        user=somebody,
        client=asking.client,
        audience=asking.audience,
        scope=asking.scope,
        requested_scope=asking.requested_scope,
        gty=asking.gty,
        methods=methods,
        demanded=(),
        veil=pool_of(ctx, asking.realm, user, username),
        is_decoy=True,
    )
    event = refusal.event or ctx.facts.failure_event
    answer = MfaRequired(reason=refusal.reason, event=event, extras={"mfa_token": token})
    ctx.facts.details["login"] = transaction.id
    try:
        with ctx.db.write() as conn:
            users.is_unchanged(conn, somebody)
            transactions.add_transaction(conn, transaction)
            audit.record(conn, ctx, event, answer.reason)
            password_attempt.failed(conn, ctx, attempt)
    except IntegrityError:  # the client or the realm was deleted meanwhile; the attempt stays counted
        raise refusal from None
    answer.recorded = True
    raise answer


def guess_of(
    ctx: Context, opened: Open, holder: User, owned: tuple[Authenticator, ...], factor: Factor
) -> Guess:
    """Count the answer of a veiled login; it is looked at whether or not there is anything to look at it with.

    Raises InvalidRequest (429).
    """
    ctx.facts.details["login"] = opened.id
    fitting = [a for a in owned if a.is_active and factor.is_kin(FACTORS[a.kind])]
    stand_in = factor.enroll(ctx, Enrolling(holder, opened.id, "")).authenticator
    return second_factor.before_veiled(
        ctx, opened.veil or "", opened.user_id or None, fitting, stand_in, event=factor.limit_event
    )


def place_of(ctx: Context, conn: Connection, opened: Open) -> Place | None:
    """Where a veiled login is, unless client or realm may not go on; the person is not looked at."""
    client = ctx.look_up(conn, clients.find_client, opened.client_id)
    place = ctx.look_up(conn, realms.get_place_by_id, opened.realm_id, opened.client_id)
    if client is None or not client.is_enabled:
        return None
    if place.realm is None or not place.realm.is_enabled or not place.is_for_client:
        return None
    ctx.facts.client_id, ctx.facts.realm = client.id, place.realm.name
    ctx.facts.user_id, ctx.facts.details["login"] = opened.user_id or None, opened.id
    return place


def shown(ctx: Context, opened: Open, holder: User) -> Authenticator:
    """The one authenticator that a veiled login is told of: an app, under a name that the pool alone decides."""
    drawn = sha256(f"shown\n{opened.veil}".encode()).digest()[:16]
    id = f"{FACTORS['totp'].id_prefix}|dev_" + "".join(SIGNS[byte % len(SIGNS)] for byte in drawn)
    return Authenticator(id, holder.id, "totp", ctx.now, confirmed_at=ctx.now)
