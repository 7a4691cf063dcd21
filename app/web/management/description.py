"""The management API's part of the description, made of the operations' own declarations."""

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.web.management import OPERATIONS
from app.web.management.operation import BASE, Operation

Schema = dict[str, Any]

TEMPLATE = "#/components/schemas/{model}"
PROBLEM: Schema = {
    "type": "object",
    "required": ["statusCode", "error", "message"],
    "properties": {
        "statusCode": {"type": "integer"},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "errorCode": {"type": "string"},
        "attributes": {"type": "object"},
        "error_id": {"type": "string"},
    },
}
REFUSALS = {
    400: "The path, the query or the payload is not what this operation takes.",
    401: "There is no token, or not one for this API.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    409: "There is one already.",
    412: "It was changed since the version that `If-Match` names.",
    413: "The body is too large.",
    429: "Too many requests; the headers say when to come again.",
    503: "Something needed is down; `Retry-After` says when to come again.",
}


def schemas() -> Schema:
    """Named parts that the operations refer to."""
    return {"Problem": PROBLEM, **_body_schemas()[1]}


def paths() -> Schema:
    found: Schema = {}
    bodies, _ = _body_schemas()
    for operation in OPERATIONS:
        found.setdefault(BASE + operation.path, {})[operation.method.lower()] = _described(operation, bodies)
    return found


def _body_schemas() -> tuple[Schema, Schema]:
    """Schemas of the bodies by operation, and the parts that they refer to."""
    bodies: Schema = {}
    parts: Schema = {}
    for operation in OPERATIONS:
        if operation.body is not None:
            schema = operation.adapter.json_schema(ref_template=TEMPLATE)
            parts |= schema.pop("$defs", {})
            bodies[_key(operation)] = schema
    return bodies, parts


def _key(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _described(operation: Operation, bodies: Schema) -> Schema:
    text: Schema = {"description": "Done."}
    if operation.ok != 204:
        text["content"] = {"application/json": {"schema": {}}}
    problem = {"application/json": {"schema": {"$ref": TEMPLATE.format(model="Problem")}}}
    responses: Schema = {str(operation.ok): text}
    if operation.ok == 202 or operation.may_be_empty:
        responses["204"] = {"description": "There was nothing to do."}
    for status, meaning in REFUSALS.items():
        if (status == 413 and operation.body is None) or (status == 409 and operation.method == "GET"):
            continue
        if status == 412 and not operation.takes_if_match:
            continue
        responses[str(status)] = {"description": meaning, "content": problem}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": "Scopes: " + (" and " if operation.needs_all else " or ").join(operation.scopes),
        "security": [{"bearer": []}],
        "responses": responses,
    }
    if operation.takes_if_match:
        parameters.append({"name": "If-Match", "in": "header", "schema": {"type": "string"}})
    parameters += _query_parameters(operation.query)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        media = {"schema": bodies[_key(operation)]}
        kind = "multipart/form-data" if operation.is_multipart else "application/json"
        described["requestBody"] = {"required": True, "content": {kind: media}}
    return described


def _query_parameters(query: type[BaseModel] | None) -> list[Schema]:
    if query is None:
        return []
    _, found = models_json_schema([(query, "validation")])
    schema = found["$defs"][query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema["properties"].items()
    ]
