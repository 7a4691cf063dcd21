"""`/appliance-mfa`: what apps built on the Guardian SDKs ask, with the statuses and members that they insist on."""

import re
from typing import Any

from flask import Blueprint, Response, request

from app.accounts import devices
from app.accounts.devices import Said
from app.errors import NotPossible, Unauthorized
from app.tokens import phone
from app.web.answers import GUARDIAN, JSON_BARE, answer
from app.web.bearer import bearer_token
from app.web.body import read_members
from app.web.lifecycle import context

blueprint = Blueprint("guardian", __name__, url_prefix=GUARDIAN + "api")

_TICKET = re.compile(r'Ticket\s+id="?([^"\s]{1,200})"?\s*', re.IGNORECASE)
MOST = {"identifier": 200, "name": 200, "service": 20, "token": 4096}
TRANSFER = "transfer"

_SAYS: dict[str, Any] = {
    "identifier": {"type": "string", "description": "by which the phone signs its answers"},
    "name": {"type": "string"},
    "push_credentials": {
        "type": "object",
        "properties": {"service": {"type": "string"}, "token": {"type": "string"}},
    },
}


def paths() -> dict[str, Any]:
    """These endpoints in the description of the API."""
    key = {"type": "object", "properties": dict.fromkeys(("kty", "alg", "use", "n", "e"), {"type": "string"})}
    bindings = {"type": "array", "items": {"type": "string"}}
    enrolls = _SAYS | {"public_key": key, "binding_methods": bindings}
    base = f"{GUARDIAN}api/"
    own = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    response = {"challenge_response": {"type": "string"}}
    return {
        f"{base}enroll": {
            "post": _described("Hand in a phone's key", enrolls, ("identifier", "public_key"), answers=200)
            | {"security": [{"ticket": []}]}
        },
        f"{base}resolve-transaction": {
            "post": _described("A phone's answer to a push", response, tuple(response), forbids=True)
        },
        f"{base}device-accounts/{{id}}": {
            "patch": _described("What has changed of a phone", _SAYS, (), answers=200)
            | {"parameters": [own]},
            "delete": _described("Remove a phone") | {"parameters": [own]},
        },
    }


def _described(
    summary: str,
    members: dict[str, Any] | None = None,
    required: tuple[str, ...] = (),
    *,
    answers: int = 204,
    forbids: bool = False,
) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    statuses = (400, 401, *((403,) if forbids else ()), 404, 413, 503)
    responses: dict[str, Any] = {
        str(s): {"description": "No; see errorCode.", "content": problem} for s in statuses
    }
    done: dict[str, Any] = {"description": "Done."}
    if answers == 200:
        done["content"] = {"application/json": {"schema": {"type": "object"}}}
    found: dict[str, Any] = {
        "summary": summary,
        "responses": responses | {str(answers): done},
        "security": [{"bearer": []}],
    }
    if members is not None:
        schema = {"type": "object", "properties": members, "required": list(required)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


@blueprint.post("/enroll")
def enroll() -> Response:
    found = _TICKET.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        raise Unauthorized(devices.BAD_TOKEN, reason="invalid_token")
    members = read_members()
    said = _said(members)
    if said.identifier is None:
        raise _invalid("identifier")
    key = members.get("public_key")
    try:
        public_key = phone.read_key(key if isinstance(key, dict) else {})
    except ValueError:
        raise _invalid("public_key") from None
    bindings = members.get("binding_methods")
    matches = isinstance(bindings, list) and TRANSFER in bindings
    said = Said(said.identifier, said.name, said.push_credentials, public_key, matches)
    return answer(devices.enroll(context(), found[1], said), media_type=JSON_BARE)


@blueprint.post("/resolve-transaction")
def resolve_transaction() -> Response:
    token = _bearer()
    response = read_members().get("challenge_response")
    if not isinstance(response, str):
        raise _invalid("challenge_response")
    devices.answer(context(), token, response)
    return Response(status=204)


@blueprint.patch("/device-accounts/<id>")
def update_device(id: str) -> Response:
    token, members = _bearer(), read_members()
    devices.update(context(), id, token, _said(members))
    changed = {name: members[name] for name in ("identifier", "name", "push_credentials") if name in members}
    return answer(changed, media_type=JSON_BARE)


@blueprint.delete("/device-accounts/<id>")
def remove_device(id: str) -> Response:
    devices.remove(context(), id, _bearer())
    return Response(status=204)


def _bearer() -> str:
    token = bearer_token()
    if token is None:
        raise Unauthorized(devices.BAD_TOKEN, reason="invalid_token")
    return token


def _said(members: dict[str, Any]) -> Said:
    """Raises NotPossible."""
    credentials = members.get("push_credentials")
    if credentials is not None and not isinstance(credentials, dict):
        raise _invalid("push_credentials")
    reached = None
    if credentials is not None:
        service, token = _text(credentials, "service"), _text(credentials, "token")
        if service is None or token is None or not re.fullmatch(r"[A-Za-z0-9_]+", service):
            raise _invalid("push_credentials")
        reached = {"service": service, "token": token}
    return Said(_text(members, "identifier"), _text(members, "name"), reached)


def _text(members: dict[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MOST[name]:
        raise _invalid(name)
    return value


def _invalid(name: str) -> NotPossible:
    return NotPossible(f"Payload validation error: 'Invalid value' on property {name}.")
