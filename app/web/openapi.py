"""The OpenAPI 3.1 description, built from the same declarations that requests are read with."""

from importlib.metadata import version

from flask import Blueprint, Response

from app.grants import GRANTS
from app.grants.client_auth import PARAMS as CLIENT_PARAMS
from app.grants.grant import Grant, Param
from app.web import guardian, rich_consents
from app.web.answers import answer
from app.web.body import MAX_BYTES
from app.web.dbconnections import PROFILE
from app.web.lifecycle import context
from app.web.management import description
from app.web.mfa import DEVICE

blueprint = Blueprint("openapi", __name__)

Schema = dict[str, object]

SIGNUP = ("client_id", "connection", "password", *PROFILE)

TEXT: Schema = {"type": ["string", "null"]}
OBJECT_OR_NOTHING: Schema = {"type": ["object", "null"]}
TEXT_OR_LIST: Schema = {"type": ["string", "array", "null"], "items": {"type": "string"}}

ERROR: Schema = {
    "type": "object",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"type": "string"},
        "error_description": {"type": "string"},
        "error_id": {"type": "string", "description": "By what an administrator finds the reason."},
        "error_uri": {"type": "string"},
        "mfa_token": {
            "type": "string",
            "description": "With `mfa_required`: opens the second step for 10 minutes.",
        },
        "mfa_requirements": {"type": "object"},
    },
}
TOKENS: Schema = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer", "description": "Seconds."},
        "id_token": {"type": "string"},
        "refresh_token": {"type": "string"},
        "scope": {"type": "string", "description": "What was granted, where it differs from what was asked."},
        "recovery_code": {"type": "string", "description": "The next one, after a recovery code was used."},
    },
}
AUTHENTICATOR: Schema = {
    "type": "object",
    "required": ["id", "authenticator_type", "active", "type"],
    "properties": {
        "id": {"type": "string"},
        "authenticator_type": {"type": "string"},
        "active": {"type": "boolean"},
        "type": {"type": "string"},
        "oob_channel": {"type": "string", "description": "How a code reaches its owner."},
        "name": {"type": "string", "description": "Masked where it tells where a code goes."},
    },
}
ENROLLMENT: Schema = {
    "type": "object",
    "required": ["authenticator_type", "id"],
    "properties": {
        "authenticator_type": {"type": "string"},
        "id": {"type": "string"},
        "secret": {"type": "string"},
        "barcode_uri": {"type": "string"},
        "manual_input_code": {"type": "string"},
        "oob_channel": {"type": "string"},
        "oob_code": {"type": "string", "description": "For the mfa-oob grant."},
        "binding_method": {"type": "string", "description": "`prompt`: ask for the code that was sent."},
        "authn_params_public_key": {"type": "object", "description": "Options to register a security key."},
        "auth_session": {"type": "string"},
        "recovery_codes": {"type": "array", "items": {"type": "string"}},
    },
}
JSON_OBJECT: Schema = {"type": "object"}

REFUSALS = {
    400: "The request is malformed or incomplete.",
    401: "The client or token is not known.",
    403: "Not allowed; `mfa_required` asks for the second factor.",
    404: "There is no such thing.",
    413: f"The body has more than {MAX_BYTES} bytes.",
    429: "Too many attempts; `Retry-After` says when to come again.",
    503: "Something needed is down or overloaded; `Retry-After` says when to come again.",
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _param_schema(param: Param) -> Schema:
    if param.is_object:
        return OBJECT_OR_NOTHING
    return TEXT_OR_LIST if param.is_list else TEXT


def _grant_schema(grant: Grant) -> Schema:
    properties: Schema = {"grant_type": {"const": grant.grant_type}}
    properties |= {param.name: _param_schema(param) for param in grant.params}
    properties |= dict.fromkeys(CLIENT_PARAMS, TEXT)
    required = ["grant_type", *(param.name for param in grant.params if param.is_required)]
    return _object(properties, required) | {"title": grant.grant_type}


def _body(schema: Schema) -> Schema:
    media = {"schema": schema}
    return {
        "required": True,
        "content": {"application/json": media, "application/x-www-form-urlencoded": media},
    }


def _operation(
    summary: str,
    success: Schema,
    refusals: tuple[int, ...],
    *,
    body: Schema | None = None,
    bearer: bool = False,
    **more: object,
) -> Schema:
    responses: Schema = {**success}
    for status in refusals:
        content = {"application/json": {"schema": _ref("Error")}}
        responses[str(status)] = {"description": REFUSALS[status], "content": content}
    operation: Schema = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = _body(body)
    if bearer:
        operation["security"] = [{"bearer": []}]
    return operation | more


def _ok(description: str, schema: Schema | None = None, status: int = 200) -> Schema:
    found: Schema = {"description": description}
    if schema is not None:
        found["content"] = {"application/json": {"schema": schema}}
    return {str(status): found}


def _text(description: str) -> Schema:
    return {"200": {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}}


def _page_operation(summary: str) -> Schema:
    """Pages answer pages, refusals too."""
    page = {"text/html": {"schema": {"type": "string"}}}
    statuses = {
        200: "The page.",
        400: "Not like this.",
        403: "The link is spent.",
        413: "Too large.",
        429: "Too often.",
    }
    statuses |= {429: "Too many guesses.", 503: "Something needed is down."}
    return {
        "summary": summary,
        "responses": {
            str(status): {"description": text, "content": page} for status, text in statuses.items()
        },
    }


_LEGACY: Schema = {
    str(status): {
        "description": REFUSALS[status],
        "content": {"application/json": {"schema": JSON_OBJECT}},
    }
    for status in (400, 413, 429, 503)
}


def _paths() -> Schema:
    client: Schema = dict.fromkeys(CLIENT_PARAMS, TEXT)
    grants: Schema = {"oneOf": [_grant_schema(grant) for grant in GRANTS.values()]}
    basic: list[Schema] = [{}, {"basic": []}]
    userinfo = _operation(
        "The claims that the token's scopes open", _ok("Claims.", JSON_OBJECT), (401, 403, 503), bearer=True
    )
    challenge = client | {"mfa_token": TEXT, "challenge_type": TEXT_OR_LIST, "authenticator_id": TEXT}
    challenge["oob_channel"] = TEXT
    associate = client | {"authenticator_types": TEXT_OR_LIST, "oob_channels": TEXT_OR_LIST}
    associate |= dict.fromkeys((*DEVICE, "access_pass"), TEXT)
    begun = {name: {"type": "string"} for name in ("challenge_type", "oob_code", "binding_method")}
    path_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    signature = {"name": "signature", "in": "query", "required": True, "schema": {"type": "string"}}
    return {
        "/oauth/token": {
            "post": _operation(
                "Tokens for a password, a second factor, a refresh token or a client's own credentials",
                _ok("Tokens.", _ref("Tokens")),
                (400, 401, 403, 413, 429, 503),
                body=grants,
                security=basic,
            )
        },
        "/oauth/revoke": {
            "post": _operation(
                "End a refresh token with its family (RFC 7009)",
                _ok("Done, or there was nothing to do."),
                (400, 401, 413, 503),
                body=_object(client | {"token": TEXT}, ["token"]),
                security=basic,
            )
        },
        "/userinfo": {"get": userinfo, "post": userinfo},
        "/mfa/challenge": {
            "post": _operation(
                "Which factor to ask for; a code that must be sent is sent",
                _ok("The factor.", _object({**begun}, ["challenge_type"])),
                (400, 401, 403, 413, 429, 503),
                body=_object(challenge, ["mfa_token"]),
                security=basic,
            )
        },
        "/mfa/associate": {
            "post": _operation(
                "Enrol an authenticator; its first right answer confirms it",
                _ok("What its owner is shown, once.", _ref("Enrollment")),
                (400, 401, 403, 413, 429, 503),
                body=_object(associate, ["authenticator_types"]),
                bearer=True,
            )
        },
        "/mfa/authenticators": {
            "get": _operation(
                "The own authenticators",
                _ok("All of them.", {"type": "array", "items": _ref("Authenticator")}),
                (401, 403, 503),
                bearer=True,
            )
        },
        "/mfa/authenticators/{id}": {
            "delete": _operation(
                "Remove one of the own authenticators",
                _ok("Removed.", status=204),
                (401, 403, 404, 503),
                bearer=True,
                parameters=[path_id],
            )
        },
        "/exports/{id}/{name}": {
            "get": _operation(
                "The file of an export, by the address that its job tells",
                {
                    "200": {
                        "description": "The file, compressed.",
                        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
                    }
                },
                (403, 404, 503),
                parameters=[path_id, path_id | {"name": "name"}, signature],
            )
        },
        "/.well-known/openid-configuration": {
            "get": _operation("OpenID Connect discovery", _ok("Metadata.", JSON_OBJECT), ())
        },
        "/.well-known/oauth-authorization-server": {
            "get": _operation("RFC 8414 metadata", _ok("Metadata.", JSON_OBJECT), ())
        },
        "/.well-known/jwks.json": {
            "get": _operation("The keys that tokens are verified with", _ok("Keys.", JSON_OBJECT), (503,))
        },
        "/.well-known/webauthn": {
            "get": _operation(
                "Which sites may use the security keys of this relying party",
                _ok("Origins.", JSON_OBJECT),
                (503,),
            )
        },
        "/passkey/challenge": {
            "post": _operation(
                "Ask for a passkey, the answer to which opens a login",
                _ok("What to hand to the browser.", JSON_OBJECT),
                (400, 403, 413, 429, 503),
                body=_object({"client_id": TEXT, "realm": TEXT}, ["client_id"]),
            )
        },
        "/passkey/register": {
            "post": _operation(
                "Ask for a new passkey, the answer to which makes an account",
                _ok("What to hand to the browser.", JSON_OBJECT),
                (400, 403, 413, 429, 503),
                body=_object(
                    {
                        "client_id": TEXT,
                        "realm": TEXT,
                        "user_profile": _object(dict.fromkeys(PROFILE, TEXT), []),
                        "user_metadata": JSON_OBJECT,
                    },
                    ["client_id"],
                ),
            )
        },
        "/dbconnections/signup": {
            "post": _operation(
                "Make an account for oneself",
                _ok("The account.", JSON_OBJECT),
                (413, 503),
                body=_object(dict.fromkeys((*SIGNUP, "user_metadata"), {}), ["client_id", "connection"]),
            )
            | {"responses": _ok("The account.", JSON_OBJECT) | _LEGACY}
        },
        "/dbconnections/change_password": {
            "post": _operation(
                "Ask for a link that sets a new password; the answer is the same for everybody",
                _text("Asked for."),
                (400, 413, 503),
                body=_object(dict.fromkeys(("client_id", "connection", *PROFILE[:3]), {}), ["connection"]),
            )
        },
        **{
            f"/ticket/{kind}": {
                "get": _page_operation(f"The page behind a {kind} ticket"),
                "post": _page_operation(f"Use a {kind} ticket"),
            }
            for kind in ("password", "verification", "enrollment", "unblock")
        },
        "/healthz": {"get": _operation("The process lives", _ok("Yes.", JSON_OBJECT), ())},
        "/readyz": {
            "get": _operation("Everything a login needs is there", _ok("Yes.", JSON_OBJECT), ())
            | {"responses": _ok("Yes.", JSON_OBJECT) | _ok("No.", JSON_OBJECT, 503)}
        },
        "/openapi.json": {"get": _operation("This description", _ok("OpenAPI 3.1.", JSON_OBJECT), ())},
    }


def document(issuer: str) -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Belay",
            "version": version("belay"),
            "description": "The OAuth password grant that cannot skip the second factor.",
        },
        "servers": [{"url": issuer.rstrip("/")}],
        "paths": _paths() | guardian.paths() | rich_consents.paths() | description.paths(),
        "components": {
            "schemas": {
                "Error": ERROR,
                "Tokens": TOKENS,
                "Authenticator": AUTHENTICATOR,
                "Enrollment": ENROLLMENT,
                **description.schemas(),
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
                "ticket": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "mfa_dpop": {"type": "apiKey", "in": "header", "name": "Authorization"},
            },
        },
    }


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return answer(document(context().issuer))
