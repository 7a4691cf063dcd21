"""What every request passes on its way in and out: its context, its headers, its line in the log."""

import mmap
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, current_app, g, request

from app.addresses import end_user_address
from app.channels.wording import LANGUAGES
from app.context import Context, Server
from app.errors import TemporarilyUnavailable
from app.gate import Gate
from app.web.body import MAX_BYTES, MAX_MANAGEMENT_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
RESERVE_BYTES = 1 << 20  # address space given up so that a request without memory can still be answered
QUIET = {"/healthz", "/readyz"}


def install(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def through_gate(application: "WSGIApplication", gate: Gate) -> "WSGIApplication":
    """Let few requests of a worker run at a time; probes do not wait."""

    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") in QUIET:
            return application(environ, start_response)
        # The body is read before: a client that sends it slowly waits alone.
        body = environ["wsgi.input"].read(_most_bytes(environ) + 1)
        environ["wsgi.input"] = BytesIO(body)
        environ["wsgi.input_terminated"] = True  # chunked bodies have no length
        # A guess is enough for a courtesy: whoever sends a password will have it hashed.
        with gate.inside(is_patient=b"password" in body):
            return application(environ, start_response)

    def run_or_refuse(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            return run(environ, start_response)
        except MemoryError:  # even the refusal found none; this one was made before, and has room kept for it
            with suppress(IndexError):  # other requests may need it at the same moment
                reserve.pop().close()
            start_response("503 Service Unavailable", out_of_memory_headers)
            return [out_of_memory]
        finally:
            if not reserve:
                with suppress(OSError, MemoryError):
                    reserve.append(mmap.mmap(-1, RESERVE_BYTES))

    reserve = [mmap.mmap(-1, RESERVE_BYTES)]
    refusal = TemporarilyUnavailable(reason="out_of_memory")
    out_of_memory = b'{"error":"%b","error_description":"%b"}' % (
        refusal.error.encode(),
        refusal.description.encode(),
    )
    out_of_memory_headers = [
        *refusal.headers.items(),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(out_of_memory))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return run_or_refuse


def _most_bytes(environ: "WSGIEnvironment") -> int:
    """Large bodies are for those who bring a token; a stranger fills no memory."""
    is_management = str(environ.get("PATH_INFO", "")).startswith("/api/v2/")
    return MAX_MANAGEMENT_BYTES if is_management and environ.get("HTTP_AUTHORIZATION") else MAX_BYTES


def server() -> Server:
    found: Server = current_app.extensions["belay"]
    return found


def context() -> Context:
    """The context of the current request."""
    found: Context = g.ctx
    return found


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-ID", "")
    g.ctx = Context(
        server=server(),
        now=datetime.now(UTC),
        ip=end_user_address(
            server().settings.trusted_proxies,
            request.remote_addr or "",
            request.headers.getlist("X-Forwarded-For"),
            request.headers.getlist("Forwarded"),
        ),
        user_agent=request.headers.get("User-Agent", ""),
        language=_language(),
        request_id=given if given and _REQUEST_ID.fullmatch(given) else secrets.token_urlsafe(12),
    )


def _language() -> str:
    """The client's own word first, as Auth0 has it, then the browser's."""
    asked = request.headers.get("X-Request-Language", "").partition("-")[0].lower()
    if asked in LANGUAGES:
        return asked
    return request.accept_languages.best_match(LANGUAGES) or "en"


def _end(response: Response) -> Response:
    headers = response.headers
    ctx: Context | None = g.get("ctx")
    if ctx is not None:
        headers["X-Request-ID"] = ctx.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    for name, value in g.get("rate_headers", {}).items():
        headers[name] = value
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
        headers["Pragma"] = "no-cache"
    if request.path not in QUIET and ctx is not None:
        log.info(
            "request",
            method=request.method,
            path=request.path[:200],
            status=response.status_code,
            duration_ms=round((time.perf_counter() - g.started) * 1000, 1),
            request_id=ctx.request_id,
            ip=ctx.ip,
            realm=ctx.facts.realm,
            client_id=ctx.facts.client_id,
            user_id=ctx.facts.user_id,
            outcome=g.get("outcome", "ok"),
        )
    return response
