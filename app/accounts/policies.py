"""The MFA policy of a realm: written, kept in step with its line in the connection's metadata, taken back."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from app import audit
from app.accounts import changes
from app.channels import alerts
from app.context import Context
from app.crypto import random_id
from app.errors import Missing, NotPossible, PreconditionFailed
from app.factors import FACTORS, vocabulary
from app.policy import policy_of
from app.policy_mirror import LABEL, LONGEST, document_of, line_of
from app.policy_terms import BLIND_FACTORS, Exemption, Terms, Written
from app.store import realms as rows
from app.store import users
from app.store.realms import Realm
from app.store.tenant import get_tenant

TOO_LONG = "too long, see the connection's mfa-policy"  # which no tool can write back by accident
NO_MEMORY = (
    "Nothing is remembered here: an application that has no cookie of this server proves a factor in each login, and "
    "keeps a refresh token in between. remember.allowed is false."
)
NOTHING_LEFT = "No factor is left that people could enrol: 'always' would lock everybody out."


def terms_of(document: object) -> Terms:
    """Raises NotPossible."""
    try:
        return Terms.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        told = str(first["msg"]).removeprefix("Value error, ")
        raise NotPossible(f"Payload validation error: '{told}' on property {where}.") from None


def shown_terms(conn: Connection, realm: Realm) -> Terms:
    """The terms as an administrator sees them; where nobody wrote any, with the mode that is in force.

    Written back as they are they weaken nothing.
    """
    policy = policy_of(realm.mfa_policy, get_tenant(conn).mfa_policies)
    return policy.terms if policy.is_written else policy.terms.model_copy(update={"mode": policy.mode})


def write_policy(
    conn: Connection,
    ctx: Context,
    realm: Realm,
    terms: Terms,
    *,
    by: str,
    if_match: str | None = None,
    may_unlock: bool = True,
) -> Realm:
    """Put a policy in the place of the realm's. Raises NotPossible, PreconditionFailed."""
    known = realm.mfa_policy
    check_version(known, if_match)
    if known is not None and known.terms.locked and not may_unlock:
        raise NotPossible("The policy is locked: it is changed through its own address only.")
    terms = _with_ids(ctx, terms, known, by)
    _check(conn, ctx, realm, terms)
    version = known.version + 1 if known is not None else 1
    written = Written(
        terms=terms, version=version, updated_at=ctx.now, updated_by=by, since=_since(known, terms, ctx.now)
    )
    return _store(conn, ctx, realm, written)


def remove_policy(
    conn: Connection, ctx: Context, realm: Realm, *, if_match: str | None = None, may_unlock: bool = True
) -> Realm:
    """Back to the tenant's policy, or to `when_enrolled` where that is weaker."""
    check_version(realm.mfa_policy, if_match)
    if realm.mfa_policy is None:
        return realm
    if realm.mfa_policy.terms.locked and not may_unlock:
        raise NotPossible("The policy is locked: it is changed through its own address only.")
    return _store(conn, ctx, realm, None)


def write_line(conn: Connection, ctx: Context, realm: Realm, line: str | None, *, by: str) -> Realm:
    """The policy as its line in the metadata says it; None where the line was taken out. Raises NotPossible."""
    if line is None:
        return remove_policy(conn, ctx, realm, may_unlock=False)
    known = realm.mfa_policy
    base = known.terms if known is not None else Terms()
    terms = _said(line, base)
    if known is not None and _says_same(terms, base):
        return realm
    return write_policy(conn, ctx, realm, terms, by=by, may_unlock=False)


def _said(line: str, base: Terms) -> Terms:
    """Raises NotPossible."""
    try:
        return terms_of(document_of(line, base.model_dump(mode="json")))
    except ValueError as error:
        text = f"Payload validation error: '{error}' on property metadata.{LABEL}."
        raise NotPossible(text) from None


def _line(label: str, terms: Terms) -> str:
    """The line as a tool wrote it while it says the same: a tool that finds another text wants to change it back."""
    try:
        is_same = _says_same(_said(label, terms), terms)
    except NotPossible:
        is_same = False
    line = line_of(terms)
    return label if is_same else line if len(line) <= LONGEST else TOO_LONG


def _says_same(one: Terms, other: Terms) -> bool:
    """As documents: moments are kept in thousandths of seconds."""
    return one.model_dump(mode="json") == other.model_dump(mode="json")


def check_version(known: Written | None, if_match: str | None) -> None:
    """`If-Match` of RFC 9110 13.1.1. Raises PreconditionFailed."""
    if if_match is None:
        return
    wanted = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    now_there = str(known.version if known is not None else 0)
    if now_there not in wanted and not ("*" in wanted and known is not None):
        raise PreconditionFailed(f"The policy has version {now_there} by now.", reason="precondition_failed")


def _since(known: Written | None, terms: Terms, now: datetime) -> datetime:
    """A period of grace counts from when more was asked for, not from every small change."""
    if known is None or known.since is None:
        return now
    old = known.terms
    is_same = (
        old.mode == terms.mode
        and old.enforcement == terms.enforcement
        and old.enrollment.grace == terms.enrollment.grace
        and old.factors.min_enrolled == terms.factors.min_enrolled
    )
    return known.since if is_same else now


def _with_ids(ctx: Context, terms: Terms, known: Written | None, by: str) -> Terms:
    """Who made an exemption when is ours to say: kept for those that were there, new for the others."""
    there = {e.id: e for e in known.terms.exemptions} if known is not None else {}
    found = []
    for exemption in terms.exemptions:
        old = there.pop(exemption.id, None)
        made = {
            "id": old.id if old else f"exm_{random_id(16)}",
            "created_by": old.created_by if old else by,
            "created_at": old.created_at if old else ctx.now,
        }
        found.append(exemption.model_copy(update=made))
    return terms.model_copy(update={"exemptions": found})


def _check(conn: Connection, ctx: Context, realm: Realm, terms: Terms) -> None:
    """What a schema cannot say. Raises NotPossible."""
    if terms.remember.allowed:
        raise NotPossible(NO_MEMORY)
    if terms.blind:
        _check_blind(conn, ctx, terms)
    grace = terms.enrollment.grace
    if grace.type == "until" and grace.until is None:
        raise NotPossible("A grace until a date needs the date, in enrollment.grace.until.")
    for exemption in terms.exemptions:
        _check_exemption(exemption)
    enabled = vocabulary.enabled_kinds(ctx, conn)
    left = [
        kind
        for kind in enabled
        if FACTORS[kind].is_challengeable and vocabulary.policy_name(kind) in terms.allows()
    ]
    if terms.mode == "always" and terms.enforcement == "enforce" and not left:
        raise NotPossible(NOTHING_LEFT)
    exempt = {exemption.value for exemption in terms.exemptions if exemption.type == "user"}
    for user_id in terms.break_glass.user_ids:
        user = users.find_user(conn, user_id)
        if user is None or user.realm_id != realm.id or user.password_hash is None:
            raise NotPossible("An emergency account must be a user of this connection with a password.")
        if user_id in exempt:
            raise NotPossible("An emergency account cannot be exempt as well.")


def _check_blind(conn: Connection, ctx: Context, terms: Terms) -> None:
    """A decoy can only pass for somebody with an authenticator app. Raises NotPossible."""
    if terms.mode == "never" or terms.enforcement != "enforce":
        raise NotPossible("A policy that asks nobody for a factor cannot hide whether a password was right.")
    if "otp" not in terms.allows() or not set(terms.allows()) <= set(BLIND_FACTORS):
        raise NotPossible(
            "Blind mode takes otp and recovery-code alone: other challenges tell whose they are."
        )
    if "totp" not in vocabulary.enabled_kinds(ctx, conn):
        raise NotPossible("Blind mode asks for one-time passwords: switch that factor on first.")


def _check_exemption(exemption: Exemption) -> None:
    if exemption.expires_at is None and not exemption.reason.strip():
        raise NotPossible("An exemption that does not end needs a reason.")
    if exemption.type == "network":
        terms_of({"scope": {"networks": {"trusted": [exemption.value]}}})


def _store(conn: Connection, ctx: Context, realm: Realm, written: Written | None) -> Realm:
    changed: dict[str, Any] = {"mfa_policy": written}
    if LABEL in realm.labels:
        labels = {name: text for name, text in realm.labels.items() if name != LABEL}
        if written is not None:
            labels[LABEL] = _line(realm.labels[LABEL], written.terms)
        changed["labels"] = labels
    rows.update_realm(conn, realm.id, **changed)
    ctx.facts.realm = realm.name
    before = realm.mfa_policy.terms if realm.mfa_policy is not None else None
    changes.record(
        conn, ctx, "mfa_policy_updated" if written else "mfa_policy_removed", realm.id,
        before=before.model_dump(mode="json") if before else None,
        after=written.terms.model_dump(mode="json") if written else None,
    )  # fmt: skip
    version = {"connection_id": realm.id, "version": written.version if written else 0}
    audit.record(conn, ctx, "gd_tenant_update", "mfa_policy", {"mfa_policy": version})
    # Whoever heard of changes until now hears of the one that ends it.
    for terms in (before, written.terms if written else None):
        if terms is not None and "policy_changed" in terms.alerts.on:
            alerts.tell_by(conn, ctx, realm, terms, "policy_changed")
            break
    return replace(realm, **changed)


def add_exemption(
    conn: Connection, ctx: Context, realm: Realm, exemption: Exemption, *, by: str
) -> Exemption:
    """Raises NotPossible."""
    terms = shown_terms(conn, realm)
    changed = terms.model_copy(update={"exemptions": [*terms.exemptions, exemption]})
    after = write_policy(conn, ctx, realm, terms_of(changed.model_dump(mode="json")), by=by)
    assert after.mfa_policy is not None  # noqa: S101 - we have just written it
    return after.mfa_policy.terms.exemptions[-1]


def remove_exemption(conn: Connection, ctx: Context, realm: Realm, exemption_id: str, *, by: str) -> None:
    """Raises Missing."""
    terms = shown_terms(conn, realm)
    left = [exemption for exemption in terms.exemptions if exemption.id != exemption_id]
    if len(left) == len(terms.exemptions):
        raise Missing("The exemption does not exist.", reason="inexistent_exemption")
    write_policy(conn, ctx, realm, terms.model_copy(update={"exemptions": left}), by=by)


def mode_only(mode: str, version: int = 1, now: datetime | None = None) -> Written:
    """A policy that says its mode and nothing else."""
    terms = terms_of({"mode": mode})
    return Written(terms=terms, version=version, updated_at=now, since=now)
