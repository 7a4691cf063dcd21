"""Passwords that are being set: held against the realm's rules, hashed before any transaction, remembered."""

import secrets
import string
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from app.accounts import people
from app.context import Context
from app.errors import NotPossible
from app.guards import breached_password
from app.guards.protection import get_protection
from app.password_rules import Failure, PasswordRules, check, facts_of, rules_of
from app.passwords import PasswordUnusable, normal_form
from app.policy import policy_of
from app.store import password_history
from app.store.realms import Realm
from app.store.tenant import get_tenant
from app.store.users import User

GENERATED_CHARACTERS = 20
KEPT_ELSEWHERE = "The passwords of this connection are kept in its own directory."


class PasswordRefused(NotPossible):
    """A password that breaks a rule of the realm; `failure` says which."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure), reason="")
        self.failure = failure
        told = {
            "name": failure.name,
            "code": failure.code,
            "description": failure.description,
            "policy": failure.policy,
        }
        self.extras = {name: value for name, value in told.items() if value is not None}


def are_kept(realm: Realm, user: User | None) -> bool:
    """Whether the password of somebody is ours to judge and to change."""
    return realm.kind == "database" or (user is not None and user.password_hash is not None)


def rules_for(ctx: Context, conn: Connection, realm: Realm) -> PasswordRules:
    policy = policy_of(realm.mfa_policy, ctx.look_up(conn, get_tenant).mfa_policies)
    is_enforced = realm.wants_mfa and policy.terms.enforcement == "enforce"
    options = realm.options if policy.terms.assurance == "any" else realm.options | {"assurance": "nist"}
    return rules_of(options, is_password_only=policy.mode != "always" or not is_enforced)


def hash_checked(ctx: Context, realm: Realm, user: User, password: str) -> str:
    """The hash of a password that the realm's rules allow; takes turns at the gate, so outside of any transaction.

    Raises PasswordRefused, NotPossible, TemporarilyUnavailable.
    """
    if not are_kept(realm, user):
        raise NotPossible(KEPT_ELSEWHERE, reason="operation_not_supported")
    try:
        text = normal_form(password)
    except PasswordUnusable as error:
        raise NotPossible(str(error)) from None
    with ctx.db.read() as conn:
        rules, breaches = rules_for(ctx, conn, realm), ctx.look_up(conn, get_protection).breaches
        earlier = (
            password_history.list_hashes(conn, user.id, rules.history_size) if rules.history_size else []
        )
    if rules.history_size and user.password_hash is not None:
        earlier = [user.password_hash, *earlier][: rules.history_size]

    def is_used_before(word: str) -> bool:
        return any(ctx.server.passwords.verify(word, known).is_right for known in earlier)

    profile: dict[str, Any] = asdict(user)
    facts = facts_of(rules, profile)
    failure = check(rules, password, facts=facts, is_used_before=is_used_before)
    if failure is None and breached_password.found_when_set(ctx, breaches, user, password):
        failure = breached_password.LEAKED
    if failure is not None:
        raise PasswordRefused(failure)
    return ctx.server.passwords.hash(text)


def set_password(conn: Connection, ctx: Context, realm: Realm, user: User, password_hash: str) -> None:
    """Change a password, and remember the old one where the realm wants it."""
    size = rules_for(ctx, conn, realm).history_size
    if user.password_hash is not None and size:
        password_history.add_hash(conn, user.id, user.password_hash, ctx.now)
    password_history.forget_hashes(conn, user.id, keep=size)
    people.set_password(conn, ctx, user, password_hash)


def generate() -> str:
    """A random password to hand over once: letters of both cases and digits, which every level takes."""
    signs = string.ascii_letters + string.digits
    while True:
        found = "".join(secrets.choice(signs) for _ in range(GENERATED_CHARACTERS))
        kinds = (str.islower, str.isupper, str.isdigit)
        repeats = any(a == b for a, b in zip(found, found[1:], strict=False))
        if all(any(map(kind, found)) for kind in kinds) and not repeats:
            return found
