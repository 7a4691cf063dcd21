"""Probes: alive without asking anybody, ready when everything a login needs is there."""

from flask import Blueprint, Response

from app.errors import Refusal
from app.store import schema, signing_keys
from app.tokens.signing import DEFAULT_ALGORITHM
from app.web.answers import answer
from app.web.lifecycle import context

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    return answer({"status": "UP"})


@blueprint.get("/readyz")
def ready() -> Response:
    ctx = context()
    checks = {"database": False, "schema": False, "keys": False}
    try:
        with ctx.db.read() as conn:
            checks["database"] = True
            checks["schema"] = schema.is_current(conn)
            if checks["schema"]:
                checks["keys"] = DEFAULT_ALGORITHM in signing_keys.list_signers(conn)
    except Refusal:
        pass
    is_ready = all(checks.values())
    body = {
        "status": "UP" if is_ready else "DOWN",
        "checks": [{"name": name, "status": "UP" if up else "DOWN"} for name, up in checks.items()],
        "hash_milliseconds": round(ctx.server.passwords.milliseconds, 1),
    }
    response = answer(body, status=200 if is_ready else 503)
    if not is_ready:
        response.headers["Retry-After"] = "1"
    return response
