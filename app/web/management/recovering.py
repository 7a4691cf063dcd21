"""The way back for a user who lost a second factor."""

from typing import Annotated

from pydantic import Field

from app import accounts
from app.accounts.recovering import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from app.errors import Forbidden
from app.web.management.operation import Call, operation
from app.web.management.schema import Body
from app.web.management.users import get_user
from app.web.management.wire import timestamp

MAKE_PASS = "create:guardian_enrollment_tickets"  # noqa: S105 - a scope
RESET = "delete:guardian_enrollments"

Seconds = Annotated[int, Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class NewPass(Body):
    lifetime_seconds: Seconds = DEFAULT_SECONDS
    reason: Reason


@operation("POST", "/users/{id}/access-passes", scopes=MAKE_PASS, ok=201, body=NewPass)
def create_access_pass(call: Call) -> object:
    """Make a pass, shown this once, with which a user without a second factor enrols one"""
    given: NewPass = call.body
    with call.ctx.db.write() as conn:
        made, text = accounts.make_pass(
            conn,
            call.ctx,
            get_user(conn, call.id),
            seconds=given.lifetime_seconds,
            reason=given.reason,
            by=call.caller.client_id,
        )
    return {
        "id": made.id,
        "access_pass": text,
        "reason": given.reason,
        "created_at": timestamp(made.created_at),
        "expires_at": timestamp(made.expires_at),
    }


@operation("DELETE", "/users/{id}/access-passes", scopes=MAKE_PASS, ok=204)
def delete_access_passes(call: Call) -> object:
    """Void the passes of a user that were not used yet"""
    with call.ctx.db.write() as conn:
        accounts.void_passes(conn, call.ctx, get_user(conn, call.id))
    return None


class ResetRequest(Body):
    reason: Reason
    access_pass_seconds: Seconds | None = None
    """Also make an access pass that lives as long."""


@operation("POST", "/users/{id}/mfa-reset", scopes=RESET, body=ResetRequest)
def reset_user_mfa(call: Call) -> object:
    """Remove every second factor of a user and end all access, in one step"""
    given: ResetRequest = call.body
    if given.access_pass_seconds is not None and MAKE_PASS not in call.caller.scopes:
        raise Forbidden(f"Insufficient scope, expected any of: {MAKE_PASS}", reason="insufficient_scope")
    with call.ctx.db.write() as conn:
        done = accounts.reset_mfa(
            conn,
            call.ctx,
            get_user(conn, call.id),
            reason=given.reason,
            by=call.caller.client_id,
            pass_seconds=given.access_pass_seconds,
        )
    return {
        "removed": done.removed,
        "ended_refresh_tokens": done.ended_refresh_tokens,
        "access_pass": done.access_pass,
        "expires_at": timestamp(done.expires_at),
    }


OPERATIONS = (create_access_pass, delete_access_passes, reset_user_mfa)
