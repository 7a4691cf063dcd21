"""The phases that every token request passes, in the order in which refusals may be told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from app import audit
from app.addresses import network_of, read_address
from app.context import Context
from app.errors import (
    AuthorizationPending,
    InvalidRequest,
    InvalidScope,
    Refusal,
    SlowDown,
    TemporarilyUnavailable,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from app.grants import GRANTS, client_auth, end_user
from app.grants.client_auth import Authenticated
from app.grants.grant import Grant, TokenRequest
from app.tokens.issue import TokenSet


@dataclass(frozen=True)
class Asked:
    """A request as it came: members of its body, and the headers that a grant request has."""

    members: Mapping[str, object]
    authorization: str | None = None
    forwarded_for: str | None = None
    end_user: str | None = None
    body: bytes = b""


def exchange(ctx: Context, asked: Asked) -> TokenSet:
    """Answer a token request. Raises a Refusal; whichever way it ends, one event tells of it."""
    grant_type = text_member(asked.members, "grant_type")
    if grant_type is None:
        raise InvalidRequest("Missing required parameter: grant_type", reason="no_grant_type")
    grant = GRANTS.get(grant_type)
    if grant is None:
        raise UnsupportedGrantType(reason="unknown_grant_type")
    ctx.facts.success_event, ctx.facts.failure_event = grant.success_event, grant.failure_event
    try:
        return _exchange(ctx, grant, asked)
    except Refusal as refusal:
        record_refusal(ctx, refusal)
        raise


def _exchange(ctx: Context, grant: Grant, asked: Asked) -> TokenSet:
    authenticated = identify(ctx, asked)
    client = authenticated.client
    if grant.grant_type not in client.grant_types:
        raise UnauthorizedClient(grant.grant_type, reason="grant_not_allowed")
    if client.auth_method == "none" and not grant.is_for_public_clients:
        raise UnauthorizedClient(grant.grant_type, reason="public_client")
    params: dict[str, str] = {}
    for param in grant.params:
        if param.is_object:
            value = object_member(asked.members, param.name)
        else:
            value = text_member(asked.members, param.name, takes_list=param.is_list)
        if value is not None:
            params[param.name] = value
        elif param.is_required:
            raise InvalidRequest(f"Missing required parameter: {param.name}", reason=f"no_{param.name}")
    ctx = _of_end_user(ctx, authenticated, asked)
    ctx.server.gate.is_asked_by(client.id, network_of(ctx.ip))
    try:
        return grant.handle(ctx, TokenRequest(grant.grant_type, client, params))
    except Refusal as refusal:
        record_refusal(ctx, refusal)  # here, because the event names the end user's address
        raise


def identify(ctx: Context, asked: Asked) -> Authenticated:
    """Authenticate the client of a request. Raises InvalidRequest, InvalidClient, AccessDenied."""
    named = {name: text_member(asked.members, name) for name in client_auth.PARAMS}
    present = {name: value for name, value in named.items() if value is not None}
    return client_auth.authenticate(ctx, client_auth.read(present, asked.authorization))


def record_refusal(ctx: Context, refusal: Refusal) -> None:
    """Write the event of a refusal that has not left one. A malformed request decided nothing; a database
    that is down cannot be told.
    """
    is_malformed = isinstance(refusal, InvalidRequest) and refusal.event is None
    is_open = isinstance(refusal, AuthorizationPending | SlowDown)
    if refusal.recorded or is_malformed or is_open:
        return
    if isinstance(refusal, TemporarilyUnavailable) and refusal.reason.startswith("database"):
        return
    with ctx.db.write() as conn:
        audit.record(conn, ctx, refusal.event or ctx.facts.failure_event, refusal.reason, refusal.details)
    refusal.recorded = True


def text_member(members: Mapping[str, object], name: str, *, takes_list: bool = False) -> str | None:
    """A text of the body; null and empty are absent. Raises InvalidRequest, InvalidScope for any other type."""
    value = members.get(name)
    if takes_list and isinstance(value, list) and all(isinstance(word, str) for word in value):
        value = " ".join(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        if name == "scope":
            raise InvalidScope(reason="member_type")
        wanted = "an array of strings" if takes_list else "a string"
        raise InvalidRequest(f"{name} must be {wanted}", reason="member_type")
    return value


def object_member(members: Mapping[str, object], name: str) -> str | None:
    """An object of the body, as JSON text. Raises InvalidRequest for any other type, text above all."""
    value = members.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(f'"{name}" must be of type object', reason="member_type")
    return json.dumps(value)


def _of_end_user(ctx: Context, authenticated: Authenticated, asked: Asked) -> Context:
    """The context with the address of the end user, where the client's server names it. Raises InvalidRequest.

    Signed, or by a bare header from a client that proved its secret in this request and has the setting; that header
    holds one literal address, and anything else is ignored.
    """
    if asked.end_user:
        found = end_user.read(ctx, authenticated.client, asked.end_user, asked.body)
        ctx.facts.server_ip = ctx.ip
        if found.device_id:
            ctx.facts.details["device_id"] = found.device_id
        return replace(ctx, ip=found.ip, user_agent=found.user_agent or ctx.user_agent)
    if not asked.forwarded_for or not authenticated.by_secret or not authenticated.client.trusts_forwarded_ip:
        return ctx
    address = read_address(asked.forwarded_for.strip())
    if address is None:
        return ctx
    ctx.facts.server_ip = ctx.ip
    return replace(ctx, ip=str(address))
