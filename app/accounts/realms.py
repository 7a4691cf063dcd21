"""Realms: made, changed, closed. On the management wire a realm is a connection."""

import copy
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes, policies
from app.context import Context
from app.crypto import random_id
from app.directories import DIRECTORIES
from app.directories.options import with_sealed_secret
from app.errors import Conflict, NotPossible
from app.policy import REALM_MODES
from app.policy_terms import Terms
from app.store import realms as rows
from app.store import refresh_families
from app.store.realms import Realm
from app.store.tenant import get_tenant, update_tenant

_NAME = re.compile(r"[A-Za-z0-9](?:[-_]?[A-Za-z0-9])*")
MAX_NAME = 128

# What Auth0 gives every new database connection and tools compare with.
DEFAULT_OPTIONS: dict[str, Any] = {
    "mfa": {"active": True, "return_enroll_settings": True},
    "passwordPolicy": "good",
    "passkey_options": {
        "challenge_ui": "both",
        "local_enrollment_enabled": True,
        "progressive_enrollment_enabled": True,
    },
    "strategy_version": 2,
    "authentication_methods": {
        "password": {"enabled": True, "api_behavior": "required", "signup_behavior": "allow"},
        "passkey": {"enabled": False},
    },
    "brute_force_protection": True,
}
# Passwords that are kept elsewhere have no rules here.
OUTSIDE_OPTIONS: dict[str, Any] = {"brute_force_protection": True}
# A replacement of all options leaves these where it does not name them.
KEPT_OPTIONS = ("authentication_methods", "passkey_options")


def new_realm(
    name: str, now: datetime, *, kind: str = "database", options: dict[str, Any] | None = None, **more: object
) -> Realm:
    """A realm's value with a fresh id; nothing is stored. Raises NotPossible."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise NotPossible("a realm's name consists of letters, digits and single - or _ between them")
    if kind not in DIRECTORIES:
        raise NotPossible(f"a realm's kind is one of: {', '.join(DIRECTORIES)}")
    given = options or {}
    defaults = copy.deepcopy(DEFAULT_OPTIONS if kind == "database" else OUTSIDE_OPTIONS)
    if "password_options" in given:  # the newer generation of the same settings
        defaults.pop("passwordPolicy", None)
    realm = Realm(f"con_{random_id(16)}", name, kind, None, None, True, True, now)
    return _with_options(replace(realm, **more), defaults | given)  # type: ignore[arg-type]


def _with_options(realm: Realm, options: dict[str, Any]) -> Realm:
    protects = options.get("brute_force_protection")
    if protects is not None and not isinstance(protects, bool):
        raise NotPossible("brute_force_protection is true or false")
    return replace(realm, options=options, has_brute_force_protection=protects is not False)


def create_realm(
    conn: Connection,
    ctx: Context,
    realm: Realm,
    *,
    names: tuple[str, ...] = (),
    clients: tuple[str, ...] = (),
) -> Realm:
    """Store it, to be asked for by `names` (its own where there are none). Raises Conflict, NotPossible."""
    realm = with_sealed_secret(ctx, realm, None)
    try:
        with conn.begin_nested():
            rows.add_realm(conn, realm)
    except IntegrityError:
        raise Conflict(
            "A connection with the same name already exists", reason="connection_conflict"
        ) from None
    set_names(conn, ctx, realm, names or (realm.name,))
    set_clients(conn, ctx, realm, clients)
    changes.record(conn, ctx, "connection_created", realm.id, after=realm)
    return realm


def set_names(conn: Connection, ctx: Context, realm: Realm, names: tuple[str, ...]) -> None:
    """Under which names logins may ask for the realm. Raises Conflict when another has one of them."""
    before = rows.list_names(conn, realm.id)
    if before == sorted(set(names)):
        return
    try:
        with conn.begin_nested():
            rows.set_names(conn, realm.id, names)
    except IntegrityError:
        text = 'There is already another connection with some realms from "realms" parameter'
        raise Conflict(text, reason="connection_conflict") from None
    if before:
        changes.record(conn, ctx, "connection_realms", realm.id, before=before, after=names)


def update_realm(conn: Connection, ctx: Context, realm: Realm, **changed: Any) -> Realm:
    """Change what it says of itself. `options` replace the old ones as a whole. Raises NotPossible."""
    after = realm
    if "options" in changed:
        kept = {name: realm.options[name] for name in KEPT_OPTIONS if name in realm.options}
        after = with_sealed_secret(ctx, _with_options(realm, kept | changed.pop("options")), realm)
    if "has_brute_force_protection" in changed:
        switch = {"brute_force_protection": changed.pop("has_brute_force_protection")}
        after = _with_options(after, after.options | switch)
    after = replace(after, **changed)
    rows.update_realm(conn, realm.id, **changes.differences(realm, after))
    changes.record(conn, ctx, "connection_updated", realm.id, before=realm, after=after)
    return after


def set_mfa_mode(conn: Connection, ctx: Context, realm: Realm, mode: str) -> Realm:
    """The policy's mode alone. Raises NotPossible."""
    if mode not in REALM_MODES:
        raise NotPossible(f"a realm's MFA mode is one of: {', '.join(REALM_MODES)}")
    known = realm.mfa_policy.terms if realm.mfa_policy is not None else Terms()
    terms = known.model_copy(update={"mode": mode})
    return policies.write_policy(conn, ctx, realm, terms, by=ctx.user_agent or "setup")


def set_clients(conn: Connection, ctx: Context, realm: Realm, client_ids: tuple[str, ...]) -> None:
    """Which applications may use the realm. Raises NotPossible for one that does not exist."""
    before = rows.list_clients_of(conn, realm.id)
    wanted = sorted(set(client_ids))
    if before == wanted:
        return
    try:
        with conn.begin_nested():
            rows.set_clients_of(conn, realm.id, wanted)
    except IntegrityError:
        raise NotPossible("One of the clients does not exist.") from None
    changes.record(conn, ctx, "connection_clients", realm.id, before=before, after=wanted)


def remove_realm(conn: Connection, ctx: Context, realm: Realm) -> None:
    """With everybody in it, and everything that they are logged in with."""
    refresh_families.revoke_families_of_realm(conn, realm.id, ctx.now)
    if get_tenant(conn).default_directory in rows.list_names(conn, realm.id):
        update_tenant(conn, default_directory=None)
    rows.remove_realm(conn, realm.id)
    changes.record(conn, ctx, "connection_deleted", realm.id, before=realm)
