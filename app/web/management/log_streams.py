"""`/log-streams`: where events are sent as they happen. How they are sent is the business of `app.delivery`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import Connection

from app import accounts
from app.accounts import log_streams as stream_rules
from app.errors import Missing, NotPossible
from app.store import log_streams
from app.store.log_streams import LogStream
from app.web.management.operation import Call, operation
from app.web.management.problems import body_problem
from app.web.management.schema import Body

UNKNOWN = "The log stream does not exist."

StreamType = Literal["http", "splunk", "datadog", "eventbridge", "eventgrid", "sumo", "segment", "mixpanel"]
Category = Literal[
    "auth.login.fail",
    "auth.login.notification",
    "auth.login.success",
    "auth.logout.fail",
    "auth.logout.success",
    "auth.signup.fail",
    "auth.signup.success",
    "auth.silent_auth.fail",
    "auth.silent_auth.success",
    "auth.token_exchange.fail",
    "auth.token_exchange.success",
    "management.fail",
    "management.success",
    "scim.event",
    "system.notification",
    "user.fail",
    "user.notification",
    "user.success",
    "actions",
    "other",
]
HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(max_length=4096, pattern=r"^[ -~]*$")]
OURS = {
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
} | {
    "authorization",
    "belay-signature",
    "expect",
    "proxy-authorization",
}


class CustomHeader(Body):
    header: HeaderName
    value: HeaderValue


class HttpSink(Body):
    httpEndpoint: Annotated[str, Field(min_length=1, max_length=2000)]
    httpContentFormat: Literal["JSONLINES", "JSONARRAY", "JSONOBJECT"] = "JSONLINES"
    httpContentType: Annotated[str, Field(max_length=200, pattern=r"^[ -~]+$")] = "application/json"
    httpAuthorization: HeaderValue | None = None
    httpCustomHeaders: Annotated[list[CustomHeader], Field(max_length=20)] = []


class SplunkSink(Body):
    splunkDomain: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.-]+$")]
    splunkPort: Annotated[str, Field(pattern=r"^[0-9]{1,5}$")] = "8088"
    splunkToken: Annotated[str, Field(max_length=500, pattern=r"^[!-~]+$")] | None = None
    splunkSecure: bool = True


class DatadogSink(Body):
    datadogRegion: Literal["us", "eu", "us3", "us5"]
    datadogApiKey: Annotated[str, Field(max_length=500, pattern=r"^[!-~]+$")] | None = None


class _Http(Body):
    sink: HttpSink


class _Splunk(Body):
    sink: SplunkSink


class _Datadog(Body):
    sink: DatadogSink


SINKS: dict[str, type[BaseModel]] = {"http": _Http, "splunk": _Splunk, "datadog": _Datadog}
SECRETS = {"http": "httpAuthorization", "splunk": "splunkToken", "datadog": "datadogApiKey"}


class Filter(Body):
    type: Literal["category"]
    name: Category


class Pii(Body):
    log_fields: Annotated[
        list[Literal["first_name", "last_name", "username", "email", "phone", "address"]],
        Field(min_length=1, max_length=6),
    ]
    method: Literal["mask", "hash"] = "mask"
    algorithm: Literal["xxhash"] = "xxhash"


class Changes(Body):
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    status: Literal["active", "paused"] | None = None
    isPriority: bool | None = None
    filters: Annotated[list[Filter], Field(max_length=50)] | None = None
    pii_config: Pii | None = None
    sink: dict[str, Any] | None = None


class NewStream(Body):
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    type: StreamType
    isPriority: bool = False
    filters: Annotated[list[Filter], Field(max_length=50)] = []
    pii_config: Pii | None = None
    sink: dict[str, Any]
    startFrom: Annotated[str, Field(max_length=40)] | None = None


def view(stream: LogStream) -> dict[str, Any]:
    """Without its secrets: a sink's are written, never read."""
    return {
        "id": stream.id,
        "name": stream.name,
        "type": stream.type,
        "status": stream.status,
        "isPriority": stream.is_priority,
        "filters": [{"type": "category", "name": name} for name in stream.filters],
        "pii_config": stream.pii or None,
        "sink": stream.sink,
    }


def get_stream(conn: Connection, stream_id: str) -> LogStream:
    """Raises Missing."""
    found = log_streams.find_log_stream(conn, stream_id)
    if found is None:
        raise Missing(UNKNOWN, reason="inexistent_log_stream")
    return found


def _sink(kind: str, given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """What is shown of a sink, and its secret. Raises NotPossible."""
    if kind not in SINKS:
        text = f"Log streams of type {kind} are not supported by this server; http, splunk and datadog are."
        raise NotPossible(text, reason="operation_not_supported")
    try:
        sink = SINKS[kind].model_validate({"sink": given}).model_dump()["sink"]
    except ValidationError as error:
        raise NotPossible(body_problem(error)) from None
    for part in sink.get("httpCustomHeaders", ()):
        if part["header"].lower() in OURS:
            text = f"'The header {part['header']} cannot be chosen' on property sink.httpCustomHeaders."
            raise NotPossible(f"Payload validation error: {text}")
    return sink, sink.pop(SECRETS[kind])


def _moment(text: str | None) -> datetime | None:
    """Raises NotPossible."""
    try:
        found = datetime.fromisoformat(text) if text else None
        return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        problem = "Payload validation error: 'Not a date in ISO 8601' on property startFrom."
        raise NotPossible(problem) from None


@operation("GET", "/log-streams", scopes="read:log_streams")
def list_streams(call: Call) -> object:
    """All log streams"""
    with call.ctx.db.read() as conn:
        return [view(stream) for stream in log_streams.list_log_streams(conn)]


@operation("POST", "/log-streams", scopes="create:log_streams", body=NewStream)
def create_stream(call: Call) -> object:
    """Send events to a sink from now on, or from `startFrom`

    An HTTP sink gets a key for signatures; this answer is the only one that shows it.
    """
    given: NewStream = call.body
    sink, secret = _sink(given.type, given.sink)
    secrets = {SECRETS[given.type]: secret} if secret else {}
    if given.type != "http" and not secret:
        missing = f"Missing required property: sink.{SECRETS[given.type]}"
        raise NotPossible(f"Payload validation error: '{missing}'.")
    signing = {stream_rules.SIGNING_SECRET: stream_rules.new_signing_secret()} if given.type == "http" else {}
    stream = LogStream(
        id=stream_rules.new_log_stream_id(),
        name=given.name or given.type,
        type=given.type,
        status="active",
        created_at=call.ctx.now,
        cursor=0,
        is_priority=given.isPriority,
        filters=tuple(part.name for part in given.filters),
        pii=given.pii_config.model_dump() if given.pii_config else {},
        sink=sink,
    )
    starts_at = _moment(given.startFrom)
    with call.ctx.db.write() as conn:
        made = accounts.create_log_stream(conn, call.ctx, stream, secrets | signing, starts_at)
    return view(made) | {"sink": made.sink | signing}


@operation("GET", "/log-streams/{id}", scopes="read:log_streams")
def show_stream(call: Call) -> object:
    """A log stream"""
    with call.ctx.db.read() as conn:
        return view(get_stream(conn, call.id))


@operation("PATCH", "/log-streams/{id}", scopes="update:log_streams", body=Changes)
def update_stream(call: Call) -> object:
    """Change a log stream; a secret that is not sent stays"""
    given: Changes = call.body
    sent = given.model_fields_set
    with call.ctx.db.write() as conn:
        stream = get_stream(conn, call.id)
        changed: dict[str, Any] = {}
        for member, column in (("name", "name"), ("status", "status"), ("isPriority", "is_priority")):
            if getattr(given, member) is not None:
                changed[column] = getattr(given, member)
        if "filters" in sent:
            changed["filters"] = [part.name for part in given.filters or ()]
        if "pii_config" in sent:
            changed["pii"] = given.pii_config.model_dump() if given.pii_config else {}
        secrets = None
        if given.sink is not None:
            changed["sink"], secret = _sink(stream.type, stream.sink | given.sink)
            name = SECRETS[stream.type]
            moves = stream_rules.is_elsewhere(stream, changed["sink"])
            if moves and stream.type == "splunk" and not secret:
                raise NotPossible(f"Payload validation error: 'Missing required property: sink.{name}'.")
            if name in given.sink or moves:  # what is kept for one host is not shown to another
                kept = stream_rules.secrets_of_log_stream(call.ctx, stream)
                secrets = {**kept, name: secret or ""}
        return view(accounts.update_log_stream(conn, call.ctx, stream, secrets, **changed))


@operation("DELETE", "/log-streams/{id}", scopes="delete:log_streams", ok=204)
def delete_stream(call: Call) -> object:
    """Stop sending; what the sink has not got is not sent any more"""
    with call.ctx.db.write() as conn:
        accounts.remove_log_stream(conn, call.ctx, get_stream(conn, call.id))
    return None


OPERATIONS = (list_streams, create_stream, show_stream, update_stream, delete_stream)
