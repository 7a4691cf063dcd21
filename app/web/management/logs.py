"""`/logs`: the audit log, in the shape of tenant logs."""

from typing import Any

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import explaining
from app.audit import error_id
from app.context import Context
from app.errors import Missing, NotPossible
from app.search import BadQuery, parse
from app.store import clients, events, realms
from app.store.events import Event
from app.store.search import condition
from app.store.searchable import EVENT_FIELDS
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import COUNTED_UP_TO, Fields, Paged, choose, offset_page
from app.web.management.users import TOO_FAR, get_user
from app.web.management.wire import timestamp

UNKNOWN = "The log event does not exist."
READ = "read:logs read:logs_users"
SEARCH_LIMIT = 1000
ID_DIGITS = 24
MEMBERS = (
    "date type description connection connection_id client_id client_name ip user_id user_name strategy strategy_type "
    "log_id _id isMobile details user_agent hostname audience scope client_ip"
).split()
DESCRIPTIONS = {
    "s": "Success Login",
    "f": "Failed Login",
    "fp": "Wrong password",
    "fu": "Unknown user",
    "fc": "Directory not reached",
    "mfar": "Second factor demanded",
    "scp": "Password changed",
    "sdu": "User deleted",
    "sapi": "API Operation",
    "fapi": "Failed API Operation",
    "sui": "User imported",
    "fui": "User not imported",
    "ublkdu": "Login block removed",
    "api_limit": "Too many requests",
    "limit_wc": "Blocked after wrong passwords",
    "limit_mu": "Address blocked after failures",
    "limit_sul": "Too many logins of one user from one address",
    "pwd_leak": "Login with a leaked password",
    "signup_pwd_leak": "Signup with a leaked password",
    "reset_pwd_leak": "Leaked password chosen",
    "w": "Warning",
    "srrt": "Refresh tokens ended",
    "ferrt": "Refresh token reused",
    "gd_unenroll": "Second factor removed",
    "gd_start_enroll": "Second factor enrolment begun",
    "gd_start_auth": "Second factor asked for",
    "gd_auth_succeed": "Second factor approved on a phone",
    "gd_auth_rejected": "Second factor rejected on a phone",
    "gd_update_device_account": "Phone updated",
}


def log_id(event: Event) -> str:
    """Sorts as text in the order of events."""
    return str(event.id).zfill(ID_DIGITS)


def view(ctx: Context, conn: Connection, event: Event) -> dict[str, Any]:
    realm = ctx.look_up(conn, realms.find_realm_by_name, event.realm) if event.realm else None
    client = ctx.look_up(conn, clients.find_client, event.client_id) if event.client_id else None
    found: dict[str, Any] = {
        "date": timestamp(event.at),
        "type": event.type,
        "description": DESCRIPTIONS.get(event.type, ""),
        "connection": event.realm or "",
        "connection_id": realm.id if realm else "",
        "client_id": event.client_id or "",
        "client_name": client.name if client else "",
        "ip": event.ip,
        "user_id": event.user_id or "",
        "user_name": event.user_name or "",
        "strategy": "auth0" if event.realm else "",
        "strategy_type": "database" if event.realm else "",
        "isMobile": False,
        "user_agent": event.user_agent,
        "log_id": log_id(event),
        "_id": log_id(event),
        "details": event.details
        | {
            name: value
            for name, value in (
                ("reason", event.reason),
                ("factor", event.factor),
                ("request_id", event.request_id),
                ("error_id", error_id(event.at, event.request_id) if event.reason else ""),
            )
            if value
        },
    }
    if "client_ip" in event.details:
        found["client_ip"] = event.details["client_ip"]
    return found


class ListQuery(Paged, Fields):
    sort: str | None = Field(None, pattern=r"^[a-zA-Z0-9_.]+:(1|-1)$")
    q: str | None = Field(None, max_length=2000)
    search: str | None = Field(None, max_length=2000)
    from_: str | None = Field(None, alias="from", pattern=r"^[0-9]{1,60}$")
    take: int | None = Field(None, ge=1, le=100)


@operation("GET", "/logs", scopes=READ, query=ListQuery)
def list_logs(call: Call) -> object:
    """Events, newest first; `q` or `search` searches, `from` and `take` follow them in order"""
    query: ListQuery = call.query
    if query.from_ is not None or query.take is not None:
        return _follow(call)
    if (query.page + 1) * query.per_page > SEARCH_LIMIT:
        raise NotPossible(TOO_FAR, reason="invalid_paging")
    text = query.q or query.search
    try:
        wanted = condition(parse(text), EVENT_FIELDS) if text else None
    except BadQuery as error:
        raise NotPossible(
            f"Query validation error: '{error}' on property q.", reason="invalid_query_string"
        ) from None
    return _page(call, wanted)


def _page(call: Call, wanted: Any) -> object:
    query = call.query
    ascending = (query.sort or "date:-1").endswith(":1")
    with call.ctx.db.read() as conn:
        found = events.search_events(
            conn, wanted, limit=query.per_page, offset=query.page * query.per_page, is_ascending=ascending
        )
        shown = [choose(view(call.ctx, conn, event), query, MEMBERS) for event in found]
        return offset_page(
            query,
            "logs",
            shown,
            lambda: events.count_events(conn, wanted, up_to=COUNTED_UP_TO),
            has_length=True,
        )


def _follow(call: Call) -> object:
    """In order from one event on: a bare array, and in the header where to go on."""
    query: ListQuery = call.query
    take = query.take or 50
    after = int(query.from_ or "0")
    with call.ctx.db.read() as conn:
        found = events.list_events(conn, limit=take, after=min(after, 2**62))
        shown = [view(call.ctx, conn, event) for event in found]
    last = shown[-1]["log_id"] if shown else (query.from_ or "0")
    link = f'<{call.ctx.issuer}api/v2/logs?from={last}&take={take}>; rel="next"'
    return Answered(shown, headers={"Link": link})


@operation("GET", "/logs/{id}", scopes=READ)
def show_log(call: Call) -> object:
    """An event, by its id or by the `error_id` of a refusal; `explanation` says in sentences why"""
    if explaining.FORM.fullmatch(call.id):
        with call.ctx.db.read() as conn:
            behind = explaining.find(conn, call.id)
            if not behind:
                raise Missing(UNKNOWN, reason="inexistent_log")
            return _explained(call.ctx, conn, behind[0])
    number = int(call.id) if call.id.isdecimal() and len(call.id) <= 60 else 0
    with call.ctx.db.read() as conn:
        event = events.find_event(conn, min(number, 2**62))
        if event is None:
            raise Missing(UNKNOWN, reason="inexistent_log")
        return _explained(call.ctx, conn, event)


def _explained(ctx: Context, conn: Connection, event: Event) -> dict[str, Any]:
    found = view(ctx, conn, event)
    told = explaining.explain(event)
    return found | ({"explanation": told} if told else {})


class UserLogsQuery(Paged, Fields):
    sort: str | None = Field(None, pattern=r"^[a-zA-Z0-9_.]+:(1|-1)$")


@operation("GET", "/users/{id}/logs", scopes=READ, query=UserLogsQuery)
def list_user_logs(call: Call) -> object:
    """Events of a user"""
    with call.ctx.db.read() as conn:
        user = get_user(conn, call.id)
    return _page(call, events.of_user(user.id))


OPERATIONS = (list_logs, show_log, list_user_logs)
