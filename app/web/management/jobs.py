"""`/jobs`: imports and exports of people, resets of many, rehearsals, and what became of them."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import exporting, policies
from app.accounts import jobs as work
from app.context import Context
from app.errors import Forbidden, Missing, NotPossible
from app.policy_terms import FactorNames
from app.rehearsal import MOST_DAYS
from app.search import BadQuery, parse
from app.store import jobs, realms
from app.store.jobs import Job
from app.store.realms import Realm
from app.store.search import condition
from app.store.searchable import USER_FIELDS
from app.web.downloads import location
from app.web.management.mfa_policies import MfaPolicy, given_terms
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Flag
from app.web.management.recovering import RESET, Reason
from app.web.management.schema import Body
from app.web.management.users import get_user
from app.web.management.wire import timestamp

UNKNOWN_CONNECTION = "The connection does not exist."
PEOPLE = ("create:users", "read:users")
SEEN_WITH = {"mfa_rehearsal": ("read:mfa_policies",), "mfa_reset": (RESET,)}
SHOWN_OPTIONS = ("external_id", "format", "limit", "fields")


def view(ctx: Context, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {
        "status": job.status,
        "type": job.type,
        "created_at": timestamp(job.created_at),
        "id": job.id,
        "connection_id": job.realm_id,
    }
    found |= {name: job.options[name] for name in SHOWN_OPTIONS if job.options.get(name) is not None}
    return {name: value for name, value in found.items() if value is not None}


def _view_whole(ctx: Context, job: Job) -> dict[str, Any]:
    found = view(ctx, job)
    if job.type != "verification_email" and job.status != "failed":
        percentage = 100 if job.status == "completed" else _percentage(job)
        found |= {"percentage_done": percentage, "time_left_seconds": _seconds_left(job, ctx)}
    if job.type == "users_import" and job.status in ("completed", "failed"):
        counts = {"failed": job.failed, "updated": job.updated, "inserted": job.inserted}
        found["summary"] = counts | {"total": job.failed + job.updated + job.inserted}
    if job.type == "users_export" and job.status == "completed":
        found["location"] = location(ctx, job)
    if job.type == "mfa_reset":
        found["summary"] = {"reset": job.updated, "unchanged": job.position - job.updated}
    if job.type == "mfa_rehearsal" and job.status == "completed":
        found["result"] = json.loads(b"".join(jobs.read_parts(ctx.db, job.id)))
    if job.status_details:
        found["status_details"] = job.status_details
    return found


def _percentage(job: Job) -> int:
    return min(99, 100 * job.position // job.total) if job.total else 0


def _seconds_left(job: Job, ctx: Context) -> int:
    if job.status == "completed" or not job.total or not job.position:
        return 0
    passed = (ctx.now - job.created_at).total_seconds()
    return max(0, round(passed / job.position * (job.total - job.position)))


def _find_realm(conn: Connection, connection_id: str) -> Realm:
    realm = realms.find_realm(conn, connection_id)
    if realm is None:
        raise NotPossible(UNKNOWN_CONNECTION, reason="inexistent_connection")
    return realm


def _get_job(call: Call) -> Job:
    with call.ctx.db.read() as conn:
        job = jobs.find_job(conn, call.id)
    if job is None or call.ctx.now > job.kept_until:
        raise Missing("The job does not exist.", reason="inexistent_job")
    return job


# --- asking for one ------------------------------------------------------------------------------------------------


class ImportParts(Body):
    users: bytes | None = None
    connection_id: Annotated[str, Field(max_length=100, strict=True)] | None = None
    upsert: Flag = False
    external_id: Annotated[str, Field(max_length=500, strict=True)] | None = None
    send_completion_email: Flag = True


@operation("POST", "/jobs/users-imports", scopes="create:users", ok=202, body=ImportParts, is_multipart=True)
def import_users(call: Call) -> object:
    """Take people from a file of another system"""
    given: ImportParts = call.body
    if given.users is None:
        raise NotPossible("Must provide 'users' file as multipart part.")
    if not given.users.strip():
        raise NotPossible("Users file must not be empty.")
    if not given.connection_id:
        raise NotPossible("Must provide 'connection_id' as multipart part.")
    options: dict[str, Any] = {
        "upsert": given.upsert,
        "send_completion_email": given.send_completion_email,
    }
    if given.external_id:
        options["external_id"] = given.external_id
    with call.ctx.db.write() as conn:
        realm = _find_realm(conn, given.connection_id)
        if realm.kind != "database":
            raise NotPossible("Connection must be a database connection.")
        if not realm.is_enabled:
            raise NotPossible("Connection must be enabled.")
        job = work.create_import(conn, call.ctx, realm, given.users, options)
    return view(call.ctx, job)


class ExportField(Body):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    export_as: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class NewExport(Body):
    connection_id: str | None = Field(None, max_length=100)
    format: Literal["json", "csv"] = "json"
    limit: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    fields: Annotated[list[ExportField], Field(max_length=exporting.MAX_FIELDS)] | None = None


@operation("POST", "/jobs/users-exports", scopes="read:users", body=NewExport)
def export_users(call: Call) -> object:
    """Make a file of the people of a connection, or of all"""
    given: NewExport = call.body
    fields = [field.model_dump(exclude_none=True) for field in given.fields or ()]
    exporting.columns_of(fields)
    options = {"format": given.format, "limit": given.limit, "fields": fields or None}
    with call.ctx.db.write() as conn:
        realm = _find_realm(conn, given.connection_id) if given.connection_id else None
        job = work.create(conn, call.ctx, "users_export", realm, options)
    return view(call.ctx, job)


UserId = Annotated[str, Field(min_length=1, max_length=255)]


class Identity(Body):
    user_id: UserId
    provider: Annotated[str, Field(min_length=1, max_length=50)]
    connection_id: str | None = None


class NewVerification(Body):
    user_id: UserId
    client_id: str | None = None
    identity: Identity | None = None
    organization_id: str | None = None


@operation("POST", "/jobs/verification-email", scopes="update:users", ok=201, body=NewVerification)
def send_verification_email(call: Call) -> object:
    """Ask somebody whether an e-mail address is theirs"""
    given: NewVerification = call.body
    with call.ctx.db.write() as conn:
        user = get_user(conn, given.user_id)
        if user.email is None:
            raise NotPossible("The user does not have an email address.")
        options = given.model_dump(exclude_none=True)
        job = work.create(conn, call.ctx, "verification_email", None, options)
    return view(call.ctx, job)


class NewRehearsal(Body):
    connection_id: Annotated[str, Field(min_length=1, max_length=100)]
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 30
    policy: MfaPolicy
    """Members that would change; the others stay as they are."""


@operation("POST", "/jobs/mfa-rehearsal", scopes="read:mfa_policies", ok=202, body=NewRehearsal)
def rehearse_mfa_policy(call: Call) -> object:
    """Tell what an MFA policy would have meant for the logins of the last days; nothing is changed"""
    given: NewRehearsal = call.body
    with call.ctx.db.write() as conn:
        realm = _find_realm(conn, given.connection_id)
        known = policies.shown_terms(conn, realm).model_dump(mode="json")
        terms = policies.terms_of(known | given_terms(given.policy))
        options = {"days": given.days, "terms": terms.model_dump(mode="json")}
        job = work.create(conn, call.ctx, "mfa_rehearsal", realm, options)
    return view(call.ctx, job)


class NewReset(Body):
    connection_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    user_ids: Annotated[list[UserId], Field(min_length=1, max_length=1000)] | None = None
    q: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    factors: Annotated[FactorNames, Field(min_length=1)] | None = None
    """Those alone; without them all, passkeys too."""
    reason: Reason
    invalidate_sessions: bool = True


@operation("POST", "/jobs/mfa-reset", scopes=RESET, ok=202, body=NewReset)
def reset_mfa_of_many(call: Call) -> object:
    """Reset the second factors of a connection, of listed users, or of those that a search finds"""
    given: NewReset = call.body
    named = [name for name in ("connection_id", "user_ids", "q") if getattr(given, name) is not None]
    if len(named) != 1:
        text = "Payload validation error: 'One of connection_id, user_ids and q'"
        raise NotPossible(f"{text} on property {named[1] if named else 'connection_id'}.")
    if given.q is not None and "read:users" not in call.caller.scopes:  # what is found tells of people
        raise Forbidden("Insufficient scope, expected any of: read:users", reason="insufficient_scope")
    try:
        condition(parse(given.q or "*"), USER_FIELDS)
    except BadQuery as error:
        raise NotPossible(f"Payload validation error: '{error}' on property q.") from None
    options = given.model_dump(mode="json", exclude_none=True, exclude={"connection_id"})
    with call.ctx.db.write() as conn:
        realm = _find_realm(conn, given.connection_id) if given.connection_id else None
        for user_id in given.user_ids or ():
            get_user(conn, user_id)
        job = work.create(conn, call.ctx, "mfa_reset", realm, options)
    return view(call.ctx, job)


# --- looking at one ------------------------------------------------------------------------------------------------


@operation("GET", "/jobs/{id}", scopes=f"create:users read:users read:mfa_policies {RESET}")
def show_job(call: Call) -> object:
    """A job; the address of an export's file is a fresh one each time"""
    job = _get_job(call)
    scopes = SEEN_WITH.get(job.type, PEOPLE)
    if not call.caller.scopes & set(scopes):  # an export's address opens the file
        text = f"Insufficient scope, expected any of: {','.join(scopes)}"
        raise Forbidden(text, reason="insufficient_scope")
    return _view_whole(call.ctx, job)


@operation("GET", "/jobs/{id}/errors", scopes="create:users read:users", may_be_empty=True)
def list_job_errors(call: Call) -> object:
    """The records that were not taken; the job itself when it failed as a whole"""
    job = _get_job(call)
    if job.type == "users_import":
        rejected = [
            {"user": record["user"], "errors": record["errors"]}
            for part in jobs.read_parts(call.ctx.db, job.id)
            for record in map(json.loads, part.splitlines())
        ]
        if rejected:
            return rejected
    return _view_whole(call.ctx, job) if job.status == "failed" else Answered(status=204)


OPERATIONS = (
    import_users,
    export_users,
    send_verification_email,
    rehearse_mfa_policy,
    reset_mfa_of_many,
    show_job,
    list_job_errors,
)
