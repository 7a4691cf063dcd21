"""Cross-origin calls from an application's own pages, refusals included; nobody else's pages get the headers.

No cookie is involved, so the headers protect nothing here by themselves; they keep a foreign page from reading.
"""

from flask import Flask, Response, g, request

from app.errors import Refusal
from app.store.clients import list_clients_of_origin
from app.web.lifecycle import context, server

PREFIXES = ("/oauth/", "/mfa/", "/passkey/", "/userinfo", "/dbconnections/", "/.well-known/")
METHODS = "GET, POST, DELETE"
HEADERS = "Auth0-Client, Authorization, Content-Type, DPoP, X-Request-ID, X-Request-Language"
EXPOSED = (
    "Retry-After, WWW-Authenticate, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)


def install(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_mark)


def _owners(origin: str) -> list[str]:
    if len(origin) > 300 or not request.path.startswith(PREFIXES):
        return []
    try:
        with server().db.read() as conn:
            return list(context().look_up(conn, list_clients_of_origin, origin))
    except Refusal:  # the database is down: the answer says so by itself
        return []


def _preflight() -> Response | None:
    origin = request.headers.get("Origin")
    if request.method != "OPTIONS" or not origin or "Access-Control-Request-Method" not in request.headers:
        return None
    response = Response(status=204)
    if _owners(origin):
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = HEADERS
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def _mark(response: Response) -> Response:
    origin = request.headers.get("Origin")
    if request.path.startswith(PREFIXES):
        response.headers.add("Vary", "Origin")  # without an Origin too: shared caches keep the answer
    if not origin:
        return response
    owners = _owners(origin)
    client_id = g.ctx.facts.client_id if "ctx" in g else None
    # Where the request named its application, only that one's pages may read the answer.
    if client_id in owners or (client_id is None and owners):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response
