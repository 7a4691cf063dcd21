"""`/connections/{id}/mfa-policy`: who must prove a second factor in a realm."""

from typing import Annotated, Any

from flask import request
from pydantic import Field
from sqlalchemy import Connection

from app.accounts import policies
from app.errors import NotPossible
from app.explaining import Question, explain
from app.policy import policy_of
from app.policy_terms import Exemption, Moment, Terms
from app.store import realms, tenant
from app.store.realms import Realm
from app.web.management.connections import get_realm
from app.web.management.credentials import get_client
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Checkpoint, checkpoint_page
from app.web.management.schema import Body
from app.web.management.users import get_user
from app.web.management.wire import timestamp

READ, UPDATE = "read:mfa_policies", "update:mfa_policies"
PATH = "/connections/{id}/mfa-policy"
SHOWN_ONLY = ("connection_id", "effective_mode", "version", "updated_at", "updated_by")


class MfaPolicy(Terms):
    """The terms; what only the server says of a policy is taken and passed over, so that an answer can be sent back."""

    connection_id: str | None = None
    effective_mode: str | None = None
    version: int | None = None
    updated_at: str | None = None
    updated_by: str | None = None


def view(conn: Connection, realm: Realm) -> dict[str, Any]:
    policy = policy_of(realm.mfa_policy, tenant.get_tenant(conn).mfa_policies)
    written = realm.mfa_policy
    return {
        "connection_id": realm.id,
        **policies.shown_terms(conn, realm).model_dump(mode="json"),
        "effective_mode": policy.mode if realm.wants_mfa or policy.terms.locked else "never",
        "version": policy.version,
        "updated_at": timestamp(written.updated_at) if written else None,
        "updated_by": written.updated_by if written else None,
    }


def _answer(conn: Connection, realm: Realm) -> Answered:
    shown = view(conn, realm)
    return Answered(shown, headers={"ETag": f'"{shown["version"]}"'})


def given_terms(body: MfaPolicy) -> dict[str, Any]:
    """The members that a body names."""
    return body.model_dump(mode="json", exclude_unset=True, exclude=set(SHOWN_ONLY))


def _write(call: Call, *, merges: bool) -> Answered:
    with call.ctx.db.write() as conn:
        tenant.lock_tenant(conn)
        realm = get_realm(conn, call.id)
        known = policies.shown_terms(conn, realm).model_dump(mode="json") if merges else {}
        terms = policies.terms_of(known | given_terms(call.body))
        if_match = request.headers.get("If-Match")
        after = policies.write_policy(
            conn, call.ctx, realm, terms, by=call.caller.client_id, if_match=if_match
        )
        return _answer(conn, after)


@operation("GET", PATH, scopes=READ)
def show_mfa_policy(call: Call) -> object:
    """The MFA policy of a connection; its version is the ETag"""
    with call.ctx.db.read() as conn:
        return _answer(conn, get_realm(conn, call.id))


@operation("PUT", PATH, scopes=UPDATE, body=MfaPolicy, takes_if_match=True)
def put_mfa_policy(call: Call) -> object:
    """Replace the MFA policy of a connection"""
    return _write(call, merges=False)


@operation("PATCH", PATH, scopes=UPDATE, body=MfaPolicy, takes_if_match=True)
def change_mfa_policy(call: Call) -> object:
    """Change members of the MFA policy of a connection"""
    return _write(call, merges=True)


@operation("DELETE", PATH, scopes=UPDATE, ok=204, takes_if_match=True)
def delete_mfa_policy(call: Call) -> object:
    """Go back to the tenant's policy, and never below `when_enrolled`"""
    with call.ctx.db.write() as conn:
        tenant.lock_tenant(conn)
        realm = get_realm(conn, call.id)
        policies.remove_policy(conn, call.ctx, realm, if_match=request.headers.get("If-Match"))
    return None


@operation("GET", "/guardian/policies/connections", scopes=READ, query=Checkpoint)
def list_mfa_policies(call: Call) -> object:
    """The MFA policy of every connection"""
    with call.ctx.db.read() as conn:
        found = sorted(realms.list_realms(conn), key=lambda realm: realm.id)

        def behind(limit: int, after: str) -> list[Realm]:
            return [realm for realm in found if realm.id > after][:limit]

        return checkpoint_page(
            call.query, "policies", behind, lambda realm: realm.id, lambda realm: view(conn, realm)
        )


class WhatIf(Body):
    user_id: Annotated[str, Field(min_length=1, max_length=300)]
    client_id: Annotated[str, Field(max_length=128)] | None = None
    ip: Annotated[str, Field(max_length=64)] = ""
    at: Moment | None = None
    audience: Annotated[str, Field(max_length=600)] = ""
    scope: Annotated[str, Field(max_length=2000)] = ""


@operation("POST", f"{PATH}/evaluate", scopes=READ, body=WhatIf)
def evaluate_mfa_policy(call: Call) -> object:
    """Explain what a login would owe; nothing is logged or counted"""
    given: WhatIf = call.body
    with call.ctx.db.read() as conn:
        realm, user = get_realm(conn, call.id), get_user(conn, given.user_id)
        if user.realm_id != realm.id:
            raise NotPossible("The user is not of this connection.")
        client = get_client(conn, given.client_id) if given.client_id else None
        question = Question(client, given.ip, given.audience, tuple(given.scope.split()), given.at)
        return explain(call.ctx, conn, realm, user, question)


# --- exemptions ----------------------------------------------------------------------------------------------------


@operation("GET", f"{PATH}/exemptions", scopes=READ)
def list_mfa_exemptions(call: Call) -> object:
    """Whom the MFA policy of a connection leaves out"""
    with call.ctx.db.read() as conn:
        terms = policies.shown_terms(conn, get_realm(conn, call.id))
    return [exemption.model_dump(mode="json") for exemption in terms.exemptions]


@operation("POST", f"{PATH}/exemptions", scopes=UPDATE, ok=201, body=Exemption)
def create_mfa_exemption(call: Call) -> object:
    """Leave somebody out of the MFA policy of a connection"""
    with call.ctx.db.write() as conn:
        tenant.lock_tenant(conn)
        realm = get_realm(conn, call.id)
        made = policies.add_exemption(conn, call.ctx, realm, call.body, by=call.caller.client_id)
    return made.model_dump(mode="json")


@operation("DELETE", f"{PATH}/exemptions/{{exemption_id}}", scopes=UPDATE, ok=204)
def delete_mfa_exemption(call: Call) -> object:
    """Put somebody under the MFA policy of a connection again"""
    with call.ctx.db.write() as conn:
        tenant.lock_tenant(conn)
        realm = get_realm(conn, call.id)
        policies.remove_exemption(conn, call.ctx, realm, call.path["exemption_id"], by=call.caller.client_id)
    return None


OPERATIONS = (
    show_mfa_policy,
    put_mfa_policy,
    change_mfa_policy,
    delete_mfa_policy,
    list_mfa_policies,
    evaluate_mfa_policy,
    list_mfa_exemptions,
    create_mfa_exemption,
    delete_mfa_exemption,
)
