"""How a batch looks on the wire, and who vouches for it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app import http_out
from app.accounts.log_streams import SIGNING_SECRET, address_of
from app.settings import Settings
from app.store.log_streams import LogStream

Record = dict[str, Any]


class NotTaken(Exception):
    """The sink has the batch not for certain; the text says why in a word."""


def send(
    settings: Settings,
    stream: LogStream,
    secrets: Mapping[str, str],
    records: Sequence[Record],
    now: datetime,
) -> None:
    """Post a batch. Raises NotTaken."""
    body, headers = request_of(stream, secrets, records, now)
    try:
        answer = http_out.post(
            address_of(stream),
            body,
            headers,
            networks=settings.outgoing_networks,
            permits_http=settings.insecure_test,
        )
    except http_out.Forbidden:
        raise NotTaken("forbidden_address") from None
    except http_out.Failed as failure:
        raise NotTaken(str(failure)) from None
    if not 200 <= answer.status < 300:
        raise NotTaken(f"status_{answer.status}")


def request_of(
    stream: LogStream, secrets: Mapping[str, str], records: Sequence[Record], now: datetime
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a batch."""
    if stream.type == "splunk":
        events = [{"event": found, "source": "belay", "sourcetype": "auth0:log"} for found in records]
        headers = {"Content-Type": "application/json", "Authorization": f"Splunk {secrets['splunkToken']}"}
        return b"\n".join(_json(event) for event in events), headers
    if stream.type == "datadog":
        entries = [{"ddsource": "auth0", "service": "belay", "message": found} for found in records]
        headers = {"Content-Type": "application/json", "DD-API-KEY": secrets["datadogApiKey"]}
        return _json(entries), headers
    body = _body(stream.sink["httpContentFormat"], records)
    headers = {part["header"]: part["value"] for part in stream.sink.get("httpCustomHeaders", ())}
    headers["Content-Type"] = stream.sink["httpContentType"]
    if secrets.get("httpAuthorization"):
        headers["Authorization"] = secrets["httpAuthorization"]
    headers["Belay-Signature"] = http_out.signature(secrets[SIGNING_SECRET], body, now)
    return body, headers


def _body(form: str, records: Sequence[Record]) -> bytes:
    if form == "JSONARRAY":
        return _json(records)
    if form == "JSONOBJECT":
        return _json({"logs": records})
    return b"".join(_json(found) + b"\n" for found in records)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
