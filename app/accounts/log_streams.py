"""Log streams as administrators make and change them. Their delivery is the business of `app.delivery`."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app import audit, http_out
from app.accounts import changes
from app.context import Context
from app.crypto import owner_of, random_id, random_token
from app.errors import Conflict, NotPossible
from app.store import events
from app.store import log_streams as rows
from app.store.log_streams import LogStream

# Each stream costs a thread in every worker while it delivers.
MOST_STREAMS = 10
SIGNING_SECRET = "httpSigningSecret"  # noqa: S105 - a name


def create_log_stream(
    conn: Connection, ctx: Context, stream: LogStream, secrets: dict[str, str], starts_at: datetime | None
) -> LogStream:
    """Begins with the events from now on, or from a moment. Raises NotPossible, Conflict."""
    _check(ctx, stream)
    if rows.count_log_streams(conn) >= MOST_STREAMS:
        text = f"You have reached the maximum number of log streams, which is {MOST_STREAMS}."
        raise Conflict(text, reason="log_stream_limit")
    cursor = events.newest_id(conn) if starts_at is None else events.id_before(conn, starts_at)
    made = replace(stream, cursor=cursor, sealed_secrets=_seal(ctx, stream.id, secrets))
    rows.add_log_stream(conn, made)
    changes.record(conn, ctx, "log_stream_created", stream.id, after=_told(made))
    return made


def update_log_stream(
    conn: Connection, ctx: Context, stream: LogStream, secrets: dict[str, str] | None = None, **changed: Any
) -> LogStream:
    """`secrets` replace all that it had; None leaves them. Becoming active again forgets that the sink failed.

    Raises NotPossible.
    """
    if secrets is not None:
        changed["sealed_secrets"] = _seal(ctx, stream.id, secrets)
    if changed.get("status") == "active" or "sink" in changed:
        changed |= {"failures": 0, "failing_since": None, "retry_at": None, "problem": None}
    after = replace(stream, **changed)
    if "sink" in changed:
        _check(ctx, after)
    rows.update_log_stream(conn, stream.id, **changed)
    changes.record(conn, ctx, "log_stream_updated", stream.id, before=_told(stream), after=_told(after))
    return after


def remove_log_stream(conn: Connection, ctx: Context, stream: LogStream) -> None:
    rows.remove_log_stream(conn, stream.id)
    changes.record(conn, ctx, "log_stream_deleted", stream.id, before=_told(stream))


def suspend_log_stream(conn: Connection, ctx: Context, stream: LogStream, failing_since: datetime) -> bool:
    """Give up on a sink that failed for long; an administrator makes the stream active again."""
    if not rows.suspend(conn, stream.id, failing_since):
        return False
    told: dict[str, object] = {
        "log_stream": {"id": stream.id, "name": stream.name, "problem": stream.problem}
    }
    audit.record(conn, ctx, "fn", "log_stream_suspended", told)
    return True


def secrets_of_log_stream(ctx: Context, stream: LogStream) -> dict[str, str]:
    """Raises TemporarilyUnavailable when the key ring does not open them."""
    return ctx.open_secrets("log_streams", stream.id, stream.sealed_secrets)


DATADOG = {
    "us": "http-intake.logs.datadoghq.com",
    "eu": "http-intake.logs.datadoghq.eu",
    "us3": "http-intake.logs.us3.datadoghq.com",
    "us5": "http-intake.logs.us5.datadoghq.com",
}


def address_of(stream: LogStream) -> str:
    """Where its batches are posted to."""
    sink = stream.sink
    if stream.type == "splunk":
        scheme = "https" if sink["splunkSecure"] else "http"
        return f"{scheme}://{sink['splunkDomain']}:{sink['splunkPort']}/services/collector/event"
    if stream.type == "datadog":
        return f"https://{DATADOG[sink['datadogRegion']]}/api/v2/logs"
    return str(sink["httpEndpoint"])


def is_elsewhere(stream: LogStream, sink: dict[str, Any]) -> bool:
    """Whether a changed sink would send to another host."""
    old, new = urlsplit(address_of(stream)), urlsplit(address_of(replace(stream, sink=sink)))
    return stream.type != "datadog" and (old.scheme, old.netloc) != (new.scheme, new.netloc)


def _check(ctx: Context, stream: LogStream) -> None:
    settings = ctx.settings
    try:
        http_out.check_url(
            address_of(stream), permits_http=settings.insecure_test, networks=settings.outgoing_networks
        )
    except http_out.Forbidden as refusal:
        raise NotPossible(f"Payload validation error: '{refusal}' on property sink.") from None


def _told(stream: LogStream) -> LogStream:
    """As the event tells it: keys stand in the query of many an address, and in headers."""
    sink = dict(stream.sink)
    if "httpEndpoint" in sink:
        sink["httpEndpoint"] = sink["httpEndpoint"].partition("?")[0]
    if sink.get("httpCustomHeaders"):
        sink["httpCustomHeaders"] = [part | {"value": changes.MASK} for part in sink["httpCustomHeaders"]]
    return replace(stream, sink=sink)


def new_log_stream_id() -> str:
    return f"lst_{random_id(16)}"


def new_signing_secret() -> str:
    return f"lss_{random_token()}"


def _seal(ctx: Context, stream_id: str, secrets: dict[str, str]) -> str | None:
    if not secrets:
        return None
    return ctx.server.keyring.seal(json.dumps(secrets).encode(), owner_of("log_streams", stream_id))
