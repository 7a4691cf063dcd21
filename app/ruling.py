"""What an administrator's rules have to say to a login: heard at the password step, with the second factor, at refresh.

A rule that is enabled and cannot be run refuses the login. What rules let pass they may still change: claims, scopes,
the demand for a second factor, and the person's metadata once tokens are issued.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app.accounts.import_schema import NOT_IN_APP_METADATA
from app.asking import Asking, Person, is_opened_by_passkey
from app.context import Context
from app.crypto import SealBroken, owner_of
from app.errors import AccessDenied, InteractionRequired, Refusal, TemporarilyUnavailable, Unauthorized
from app.factors import FACTORS
from app.factors.vocabulary import BY_KIND
from app.policy import Deny, Standing, Wish, decide
from app.rules import files, runtime
from app.rules.process import Program, Script
from app.rules.rule import MOST_METADATA_CHARACTERS, Denied, Effects, Failed, Seen, Write, merged
from app.store import authenticators, rules, users
from app.store.roles import list_roles_of
from app.store.rules import RuleSet
from app.store.users import User
from app.tokens.identity import iso
from app.tokens.methods import NO_FACTORS, PASSKEY, PASSWORD, VERIFIED_PASSKEY, Methods
from app.tokens.scope import OIDC_SCOPES

log = logging.getLogger("belay.rules")

PASSWORD_PROTOCOL = "oauth2-password"  # noqa: S105 - the name of a protocol
PASSKEY_PROTOCOL = "oauth2-webauthn"
_METHOD_NAMES = {PASSWORD: "pwd", PASSKEY: "passkey", VERIFIED_PASSKEY: "passkey"}
LOGINS = (PASSWORD_PROTOCOL, PASSKEY_PROTOCOL)
REFRESH_PROTOCOL = "oauth2-refresh-token"

CANNOT_RUN = "A rule of this server could not be run."
REDIRECTS = "A rule wants to redirect, which this grant cannot do."
NO_REASON = "The login is not allowed."


@dataclass(frozen=True)
class Ruled:
    """What came of it. Without rules: nothing."""

    wish: Wish | None = None
    access_scope: tuple[str, ...] | None = None
    access_claims: Mapping[str, object] = field(default_factory=dict)
    id_claims: Mapping[str, object] = field(default_factory=dict)
    writes: tuple[Write, ...] = ()


def in_force(ctx: Context, conn: Connection) -> RuleSet:
    """The enabled rules; from memory as a rule."""
    return ctx.look_up(conn, rules.get_rule_set)


def protocol_of(methods: Methods) -> str:
    return PASSKEY_PROTOCOL if is_opened_by_passkey(methods) else PASSWORD_PROTOCOL


def ask(
    ctx: Context, rule_set: RuleSet, asking: Asking, person: Person, standing: Standing, protocol: str
) -> Ruled:
    """Run the rules. Raises Unauthorized, AccessDenied, InteractionRequired, TemporarilyUnavailable.

    Whom not even a waiver would let in is nothing that rules hear of; the decision that follows says why.
    """
    waived = replace(standing, wish=Wish("waive"))
    has_any = rule_set.names or ctx.server.settings.python_rules is not None
    if not has_any or isinstance(decide(waived), Deny):
        return Ruled()
    event = "f" if protocol in LOGINS else None
    try:
        program = program_of(ctx, rule_set)
    except files.NotReadable as error:
        log.error("no rule in Python can be read: %s", error)
        raise AccessDenied(CANNOT_RUN, reason="rule_not_readable", event=event) from None
    if not program.scripts:
        return Ruled()
    told: dict[str, object] = {"ran": [script.name for script in program.scripts]}
    ctx.facts.details["rules"] = told
    ended = runtime.run(ctx.server, program, seen(ctx, asking, person, protocol))
    told["milliseconds"] = round(sum(float(part["milliseconds"]) for part in ended.trace), 1)
    outcome = ended.outcome
    if isinstance(outcome, Effects):
        outcome = _storable(person.user, outcome)
    if isinstance(outcome, Denied | Failed):
        told |= {"rule": outcome.rule, "why": outcome.why, "message": outcome.message[:300]}
        raise _refusal(outcome, event)
    if outcome.wants_redirect:
        raise InteractionRequired(REDIRECTS, reason="redirect_by_rule", event=event)
    return _ruled(asking, outcome, told)


def hold(conn: Connection, user_id: str, ruled: Ruled) -> None:
    """Lock the person first where they will be written to: that is the order of locks everywhere."""
    if ruled.writes:
        users.lock_user(conn, user_id)


def save(conn: Connection, ctx: Context, user_id: str, ruled: Ruled) -> None:
    """Write what rules changed of the person, whose row is locked, in the transaction that issues tokens."""
    if not ruled.writes:
        return
    user = users.find_user(conn, user_id)
    if user is not None:
        users.update_user(conn, user.id, updated_at=ctx.now, **_changed(user, ruled.writes))


def program_of(ctx: Context, rule_set: RuleSet) -> Program:
    """Opened once as long as the configuration is the same. Raises TemporarilyUnavailable, files.NotReadable.

    The operator's files have the last word: what they demand, no administrator's rule takes back.
    """
    known = ctx.server.running.get("program")
    if isinstance(known, tuple) and known[0] is rule_set:
        found: Program = known[1]
        return found
    scripts = [Script(rule.name, rule.script, id=rule.id) for rule in rule_set.rules]
    scripts += [
        Script(
            action.name,
            action.code,
            "action",
            ctx.open_secrets("action_versions", action.version_id, action.sealed_secrets),
        )
        for action in rule_set.actions
    ]
    scripts += files.scripts_of(ctx.server)
    configs = rule_set.configs if any(script.kind != "action" for script in scripts) else ()
    program = Program(tuple(scripts), {config.key: open_config(ctx, config) for config in configs})
    ctx.server.running["program"] = (rule_set, program)
    return program


def open_config(ctx: Context, config: rules.SealedConfig) -> str:
    """Raises TemporarilyUnavailable when the key ring does not open it."""
    try:
        opened = ctx.server.keyring.open(config.sealed_value, owner_of("rules_configs", config.key))
    except (SealBroken, OSError):
        raise TemporarilyUnavailable(reason="secret_unreadable") from None
    return opened.decode()


# --- what a rule sees ----------------------------------------------------------------------------------------------


def seen(ctx: Context, asking: Asking, person: Person, protocol: str) -> Seen:
    with ctx.db.read() as conn:
        roles = [role.name for role in list_roles_of(conn, person.user.id)]
        owned = authenticators.list_authenticators(conn, person.user.id)
    factors = [a.kind for a in owned if a.confirmed_at is not None]
    is_enrolled = any(FACTORS[kind].is_challengeable for kind in factors)
    user = _seen_user(asking.realm.name, person.user, is_enrolled=is_enrolled)
    names = (BY_KIND[kind].guardian.replace("sms", "phone") for kind in dict.fromkeys(factors))
    return Seen(user, _seen_context(ctx, asking, person, protocol, roles), tuple(names), asking.scope)


def _seen_user(connection: str, user: User, *, is_enrolled: bool) -> dict[str, Any]:
    """As the management API shows a person; what somebody does not have is not there."""
    provider, _, own_id = user.id.partition("|")
    found: dict[str, Any] = {
        "user_id": user.id,
        "email": user.email,
        "email_verified": user.email_verified if user.email else None,
        "username": user.username,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified if user.phone_number else None,
        "name": user.name or user.email or user.username,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "nickname": user.nickname or user.username or (user.email or "").partition("@")[0],
        "picture": user.picture,
        "user_metadata": user.user_metadata,
        "app_metadata": user.app_metadata,
        "identities": [
            {"connection": connection, "user_id": own_id, "provider": provider, "isSocial": False}
        ],
        "multifactor": ["guardian"] if is_enrolled else None,
        "last_password_reset": iso(user.last_password_reset) if user.last_password_reset else None,
        "created_at": iso(user.created_at),
        "updated_at": iso(user.updated_at),
        "blocked": False,
    }
    return {name: value for name, value in found.items() if value is not None}


def _seen_context(
    ctx: Context, asking: Asking, person: Person, protocol: str, roles: list[str]
) -> dict[str, Any]:
    client, realm = asking.client, asking.realm
    is_login = protocol in LOGINS
    body = {
        "client_id": client.id,
        "realm": realm.name,
        "audience": asking.audience.identifier,
        "scope": asking.requested_scope if asking.requested_scope is not None else " ".join(asking.scope),
        "username": ctx.facts.user_name,
    }
    return {
        "tenant": asking.tenant.name,
        "clientID": client.id,
        "clientName": client.name,
        "clientMetadata": client.settings.get("client_metadata") or {},
        "connectionID": realm.id,
        "connection": realm.name,
        "connectionStrategy": "auth0" if realm.kind == "database" else realm.kind,
        "connectionOptions": {},
        "connectionMetadata": realm.labels,
        "protocol": protocol,
        "riskAssessment": {"confidence": "neutral", "version": "1", "assessments": {}},
        # As Auth0 counts: the login that runs is one of them.
        "stats": {"loginsCount": person.user.logins_count + (1 if is_login else 0)},
        "sso": {"with_auth0": False, "with_dbconn": False, "current_clients": []},
        "accessToken": {},
        "idToken": {},
        "request": {
            "userAgent": ctx.user_agent[:500],
            "ip": ctx.ip,
            "hostname": urlsplit(ctx.issuer).hostname,
            "query": {},
            "body": {name: value for name, value in body.items() if value},
            "geoip": {},
        },
        "primaryUser": person.user.id,
        "authentication": {"methods": _methods(person.methods)},
        "authorization": {"roles": roles},
    }


def _methods(methods: Methods) -> list[dict[str, Any]]:
    return [
        {"name": _METHOD_NAMES.get(name, "mfa"), "timestamp": at * 1000}
        for name, at in methods
        if name not in NO_FACTORS
    ]


# --- what becomes of its answer ------------------------------------------------------------------------------------


def _refusal(outcome: Denied | Failed, event: str | None) -> Refusal:
    if isinstance(outcome, Failed):
        return AccessDenied(CANNOT_RUN, reason=f"rule_{outcome.why}", event=event)
    reason = "denied_by_rule" if outcome.why == "denied" else "rule_threw"
    kind = Unauthorized if outcome.is_unauthorized else AccessDenied
    return kind(outcome.message or NO_REASON, reason=reason, event=event)


def _storable(user: User, effects: Effects) -> Effects | Failed:
    """Metadata must fit before anything is signed."""
    for write in effects.writes:
        if write.kind == "app_metadata" and NOT_IN_APP_METADATA & set(write.patch):
            return Failed("", "bad_answer", "app_metadata has a member that is the server's own")
    for kind, value in _changed(user, effects.writes).items():
        if len(json.dumps(value)) > MOST_METADATA_CHARACTERS:
            return Failed("", "answer_too_large", f"{kind} would be too large")
    return effects


def _changed(user: User, writes: tuple[Write, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for write in writes:
        found[write.kind] = merged(found.get(write.kind, getattr(user, write.kind)), write.patch)
    return found


def _ruled(asking: Asking, effects: Effects, told: dict[str, object]) -> Ruled:
    wish = None
    if effects.multifactor:
        wish = Wish(effects.multifactor, effects.factors, may_enroll=effects.may_enroll)
    noted: dict[str, object] = {
        "multifactor": effects.multifactor,
        "ignored_claims": list(effects.ignored_claims),
        "changes": [f"{write.kind}.{name}" for write in effects.writes for name in write.patch][:50],
    }
    told |= {name: value for name, value in noted.items() if value}
    return Ruled(
        wish,
        _allowed_scope(asking, effects.scope),
        effects.access_token_claims if asking.audience.kind != "mfa" else {},
        effects.id_token_claims,
        effects.writes,
    )


def _allowed_scope(asking: Asking, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Rules give any scope of an API but those that roles must give, and never access to one's own factors."""
    if wanted is None:
        return None
    if asking.audience.kind == "mfa":
        return tuple(word for word in asking.scope if word in wanted)
    words = tuple(word for word in wanted if word != "offline_access" or word in asking.scope)
    if not asking.audience.enforces_policies:
        return words
    free = {*OIDC_SCOPES, "offline_access", *asking.permissions}
    return tuple(word for word in words if word in free)
