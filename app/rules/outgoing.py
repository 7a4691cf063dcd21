"""Requests that rules ask for: to hosts that the operator lists, through the one guarded way out."""

import logging
from typing import Any

from app import http_out
from app.settings import Settings

log = logging.getLogger("belay.rules")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MOST_BODY_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 256 * 1024
MOST_HEADERS = 50

# What the connection itself is made of.
_OURS = {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
_OURS |= {"accept-encoding", "keep-alive", "proxy-authorization", "proxy-connection"}


def is_listed(hosts: tuple[str, ...], host: str, port: int | None) -> bool:
    """`api.example.com`, `*.example.com` for all below it, each with `:port` where that is not the usual one."""
    for entry in hosts:
        name, _, wanted_port = entry.lower().partition(":")
        fits = host.endswith(name[1:]) if name.startswith("*.") else host == name
        if fits and (port is None if not wanted_port else str(port) == wanted_port):
            return True
    return False


def ask(settings: Settings, wanted: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The answer as a rule gets it, or `error` with a short word; whatever was asked for."""
    try:
        url = str(wanted.get("url", ""))
        found = http_out.check_url(url, permits_http=settings.insecure_test)
        if not is_listed(settings.rules_hosts, found.host.rstrip(".").lower(), found.port):
            return {"error": "host_not_allowed"}
        method, body = str(wanted.get("method", "GET")), str(wanted.get("body", "")).encode()
        if method not in METHODS or len(body) > MOST_BODY_BYTES:
            return {"error": "not_sendable"}
        answer = http_out.send(
            method,
            url,
            body,
            _headers(wanted.get("headers")),
            networks=settings.outgoing_networks,
            permits_http=settings.insecure_test,
            total_seconds=min(http_out.TOTAL_SECONDS, seconds),
            max_bytes=MOST_ANSWER_BYTES,
        )
        text = answer.body.decode("utf-8", "replace")
        return {"status": answer.status, "headers": dict(answer.headers), "body": text}
    except http_out.Forbidden:
        return {"error": "address_not_allowed"}
    except http_out.Failed as failure:
        return {"error": str(failure)}
    except Exception as error:  # whatever it is, the rule must hear something
        log.error("a request of a rule failed: %s", type(error).__name__)
        return {"error": "not_sendable"}


def _headers(given: object) -> dict[str, str]:
    members = given if isinstance(given, dict) else {}
    found = {str(name).lower(): str(value) for name, value in list(members.items())[:MOST_HEADERS]}
    return {name: value for name, value in found.items() if name not in _OURS and value.isprintable()}
