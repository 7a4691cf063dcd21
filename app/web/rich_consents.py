"""`/rich-consents/{id}`: what an app built on the Guardian SDKs asks before it shows a push that names one."""

import re
from typing import Any

from flask import Blueprint, Response, request

from app.accounts import consents, devices
from app.errors import Unauthorized
from app.web.answers import CONSENTS, JSON_BARE, answer
from app.web.lifecycle import context

blueprint = Blueprint("rich_consents", __name__)

SCHEME = "MFA-DPoP"
_TOKEN = re.compile(rf"{SCHEME} +([\w.-]{{1,200}}) *", re.IGNORECASE | re.ASCII)


def paths() -> dict[str, Any]:
    """This endpoint in the description of the API."""
    text = {"type": "string"}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found = {"application/json": {"schema": {"type": "object"}}}
    return {
        f"{CONSENTS}{{id}}": {
            "get": {
                "summary": "What the login is about that a phone is asked for",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": text | {"minLength": 1}},
                    {"name": SCHEME, "in": "header", "required": True, "schema": text},
                ],
                "responses": {
                    "200": {"description": "Audience, scope and times.", "content": found},
                    "401": {"description": "No; see errorCode.", "content": problem},
                    "404": {"description": "Not any more, or never.", "content": problem},
                    "503": {"description": "Later.", "content": problem},
                },
                "security": [{"mfa_dpop": []}],
            }
        }
    }


@blueprint.get(f"{CONSENTS}<id>")
def show(id: str) -> Response:
    found = _TOKEN.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        raise Unauthorized(devices.BAD_TOKEN, reason="invalid_token")
    proof = request.headers.get(SCHEME, "")
    return answer(consents.show(context(), id, found[1], proof), media_type=JSON_BARE)
