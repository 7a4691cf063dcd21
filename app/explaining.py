"""Explains what the policy would say to a login: the same decision on the same standing, and nothing left behind."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from app.asking import Asking, Person, is_opened_by_passkey, name_in, permitted, standing_of
from app.context import Context
from app.policy import Allow, Decision, Standing, decide, grace_of
from app.policy_terms import moment_text
from app.store import authenticators, realms
from app.store.clients import Client
from app.store.realms import Realm
from app.store.tenant import get_tenant
from app.store.users import User
from app.tokens import audience
from app.tokens.methods import PASSWORD


@dataclass(frozen=True)
class Question:
    """The login that is asked about."""

    client: Client | None = None
    """None: any that may use the realm."""
    ip: str = ""
    audience: str = ""
    scope: tuple[str, ...] = ()
    at: datetime | None = None


NOBODY = Client("", "", "native", "none", datetime.min.replace(tzinfo=UTC))


def standing_in(ctx: Context, conn: Connection, realm: Realm, user: User, question: Question) -> Standing:
    """How the person would stand after the right password. Raises AccessDenied for an unknown audience."""
    ctx = replace(ctx, ip=question.ip, now=question.at or ctx.now)
    client = question.client
    asking = Asking(
        client=client or NOBODY,
        realm=realm,
        is_realm_for_client=client is None or client.id in realms.list_clients_of(conn, realm.id),
        tenant=get_tenant(conn),
        audience=audience.resolve(ctx, conn, question.audience),
        scope=question.scope,
        requested_scope=None,
        gty=(),
    )
    asking = permitted(conn, asking, user)
    owned = tuple(authenticators.list_authenticators(conn, user.id))
    return standing_of(ctx, asking, Person(user, owned, ((PASSWORD, int(ctx.now.timestamp())),)))


def explain(ctx: Context, conn: Connection, realm: Realm, user: User, question: Question) -> dict[str, Any]:
    """The answer of `evaluate`."""
    standing = standing_in(ctx, conn, realm, user, question)
    decision = decide(standing)
    period = grace_of(standing)
    owned = authenticators.list_authenticators(conn, user.id)
    told: dict[str, Any] = {
        "decision": word_of(decision),
        "reasons": list(decision.reasons),
        "effective_policy": standing.policy.terms.model_dump(mode="json") | {"mode": standing.policy.mode},
        "factors": [
            {"id": a.id, "name": name_in(standing.policy, a), "active": a.is_active}
            for a in owned
            if a.confirmed_at is not None
        ],
        "grace_ends_at": moment_text(period.ends_at) if period and period.ends_at else None,
        "grace_skips_left": period.skips_left if period else None,
    }
    if standing.risk is not None:
        told["signals"] = list(standing.risk.reasons)
    if isinstance(decision, Allow) and decision.would_be is not None:
        told["would_be"] = word_of(decision.would_be)
    return told


def note(ctx: Context, asking: Asking, person: Person, standing: Standing, decision: Decision) -> None:
    """What the event of this step will tell of the policy, and of a passkey that opened the login."""
    policy = asking.policy
    told: dict[str, object] = {
        "connection_id": asking.realm.id,
        "version": policy.version,
        "mode": policy.mode,
        "enforcement": policy.terms.enforcement,
        "decision": word_of(decision),
        "reason": decision.reasons[-1] if decision.reasons else "",
        "reasons": list(decision.reasons),
    }
    if isinstance(decision, Allow) and decision.would_be is not None:
        told["would_be"] = word_of(decision.would_be)
    if standing.risk is not None:
        told["signals"] = list(standing.risk.reasons)
    ctx.facts.details["mfa_policy"] = told
    if is_opened_by_passkey(person.methods):
        ctx.facts.details["first_factor"] = person.methods[0][0]
        ctx.facts.success_event = AFTER_PASSKEY.get(ctx.facts.success_event, ctx.facts.success_event)


# Auth0 has codes of their own for second factors after a passkey, and for their failures it has none.
AFTER_PASSKEY = {"seotpft": "sepkotpft", "seoobft": "sepkoobft", "sercft": "sepkrcft"}

# Why somebody was let in without a factor that was owed or might have been: worth a word in the log.
_WAIVERS = ("report_only", "in_grace", "break_glass", "exempt_", "waived_by_rule", "trusted_network")


def waiver(decision: Decision) -> str:
    """The word for it in the log; empty where there was none."""
    return next((why for why in decision.reasons if why.startswith(_WAIVERS)), "")


def word_of(decision: Decision) -> str:
    """`allow`, `challenge`, `enroll` or `deny`."""
    return type(decision).__name__.lower()
