"""How answers look: JSON with the media types that SDKs insist on, refusals in OAuth's shape."""

import http
import json
import logging

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from app import audit
from app.context import Context
from app.errors import (
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    NotFound,
    Refusal,
    ServerError,
    TemporarilyUnavailable,
)

log = logging.getLogger("belay.web")

JSON_UTF8 = "application/json; charset=utf-8"
JSON_BARE = "application/json"  # the token endpoint: some clients compare the whole header


def install(app: Flask) -> None:
    app.register_error_handler(Refusal, refuse)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _accident)


def answer(body: object, *, status: int = 200, media_type: str = JSON_UTF8) -> Response:
    return Response(json.dumps(body, separators=(",", ":")), status, content_type=media_type)


MANAGEMENT = "/api/v2/"
GUARDIAN = "/appliance-mfa/"
CONSENTS = "/rich-consents/"


def _management_shape(refusal: Refusal) -> dict[str, object]:
    """The envelope that management and Guardian SDKs parse. A refused token has attributes in the place of a code."""
    message = refusal.description or refusal.error
    shape: dict[str, object] = {
        "statusCode": refusal.status,
        "error": http.HTTPStatus(refusal.status).phrase,
        "message": message,
    }
    if isinstance(refusal, InvalidToken):
        return shape | {"attributes": {"error": message}}
    return shape | ({"errorCode": refusal.reason} if refusal.reason else {}) | refusal.extras


def error_id() -> dict[str, object]:
    """By what an administrator finds the reason of a refusal."""
    ctx: Context | None = g.get("ctx")
    return {"error_id": audit.error_id(ctx.now, ctx.request_id)} if ctx is not None else {}


def refuse(refusal: Refusal) -> Response:
    g.outcome = f"{refusal.error}:{refusal.reason}"
    if request.path.startswith((MANAGEMENT, GUARDIAN, CONSENTS)):
        response = answer(_management_shape(refusal) | error_id(), status=refusal.status)
        response.headers.extend(refusal.headers)
        return response
    body = {"error": refusal.error, "error_description": refusal.description} | refusal.extras | error_id()
    media_type = JSON_BARE if request.path == "/oauth/token" else JSON_UTF8
    response = answer(body, status=refusal.status, media_type=media_type)
    response.headers.extend(refusal.headers)
    return response


def _http_error(error: HTTPException) -> Response:
    if error.code == 404:
        return refuse(NotFound(reason="no_such_path"))
    if error.code == 405:
        response = refuse(MethodNotAllowed(reason="no_such_method"))
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or []))
        return response
    if error.code is not None and 400 <= error.code < 500:
        return refuse(InvalidRequest("The request cannot be read.", reason="bad_http", status=error.code))
    if error.code is not None and error.code < 400 and error.response is not None:
        return Response(status=error.code)
    return _accident(error)


def _accident(error: Exception) -> Response:
    """Our mistake, or no memory: the client learns nothing, the log learns where. Never the text or the locals of
    the error, which may hold what was sent.
    """
    frames, where = error.__traceback__, []
    while frames is not None:
        where.append(f"{frames.tb_frame.f_code.co_filename}:{frames.tb_lineno}")
        frames = frames.tb_next
    log.error("unexpected %s at %s", type(error).__name__, " > ".join(where[-6:]))
    if isinstance(error, MemoryError):
        return refuse(TemporarilyUnavailable(reason="out_of_memory"))
    return refuse(ServerError(reason="accident"))
