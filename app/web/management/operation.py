"""How an operation of the management API is declared, and what every call of one passes on its way.

An operation says its method, path, scopes, query and body; everything else is done once, here: the token, the scopes,
the limit on requests, closed schemas with clear messages, the answer. The description is made of the same lines.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flask import Response, g, request
from pydantic import BaseModel, TypeAdapter, ValidationError

from app import audit
from app.context import Context
from app.errors import Forbidden, NotPossible, Refusal, TemporarilyUnavailable
from app.web import rate
from app.web.answers import answer
from app.web.lifecycle import context
from app.web.management import token
from app.web.management.body import MISSING, check_text, read_body, read_query
from app.web.management.parts import read_parts
from app.web.management.problems import body_problem, query_problem
from app.web.management.token import Caller
from app.web.management.wire import present

BASE = "/api/v2"


@dataclass(frozen=True)
class Call:
    """One request of an operation, read and allowed."""

    ctx: Context
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any

    @property
    def id(self) -> str:
        return self.path["id"]


@dataclass(frozen=True)
class Answered:
    """An answer that differs from what the operation says of itself."""

    body: object = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    """As in the description, e.g. `/users/{id}`."""
    scopes: tuple[str, ...]
    """Any of them, unless `needs_all`."""
    ok: int
    handle: Callable[[Call], object]
    query: type[BaseModel] | None = None
    body: Any = None
    """A type that pydantic validates, often a model."""
    needs_all: bool = False
    is_multipart: bool = False
    """The body comes in parts, files among them."""
    may_be_empty: bool = False
    """It answers 204 where there is nothing to tell."""
    takes_if_match: bool = False
    """It minds the version that the caller saw, and answers 412 where that is not the newest."""

    @property
    def name(self) -> str:
        return self.handle.__name__

    @property
    def summary(self) -> str:
        return (self.handle.__doc__ or self.name.replace("_", " ").capitalize()).strip().split("\n")[0]

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.body)

    @property
    def rule(self) -> str:
        """The path as Flask routes it: an API is addressed by its identifier too, which has slashes."""
        converter = "path:" if self.path.startswith("/resource-servers/") else ""
        return BASE + re.sub(r"\{(\w+)\}", rf"<{converter}\1>", self.path)


def operation(
    method: str,
    path: str,
    *,
    scopes: str,
    ok: int = 200,
    query: type[BaseModel] | None = None,
    body: Any = None,
    needs_all: bool = False,
    is_multipart: bool = False,
    may_be_empty: bool = False,
    takes_if_match: bool = False,
) -> Callable[[Callable[[Call], object]], Operation]:
    """Declare the function below as an operation; `scopes` are words, any of which suffices."""

    def declare(handle: Callable[[Call], object]) -> Operation:
        return Operation(
            method,
            path,
            tuple(scopes.split()),
            ok,
            handle,
            query,
            body,
            needs_all,
            is_multipart,
            may_be_empty,
            takes_if_match,
        )

    return declare


def run(found: Operation, path: Mapping[str, str]) -> Response:
    """Answer a request. Raises a Refusal."""
    ctx = context()
    caller = token.authenticate(ctx)
    ctx.facts.client_id = caller.client_id
    g.rate_headers = rate.of_clients.count(caller.client_id, ctx.settings.api_requests_per_second, ctx.now)
    try:
        _check_scopes(found, caller)
        check_text(dict(path))
        call = Call(ctx, caller, path, _query(found), _body(found))
        if found.method != "GET":
            told = {"method": found.method, "path": request.path[:300], "scopes": list(found.scopes)}
            ctx.facts.details["request"] = told
        result = found.handle(call)
    except Refusal as refusal:
        _record(ctx, found, refusal)
        raise
    answered = result if isinstance(result, Answered) else Answered(result)
    status = answered.status or found.ok
    response = (
        Response(status=status) if answered.body is None else answer(_plain(answered.body), status=status)
    )
    response.headers.extend(answered.headers)
    return response


def _check_scopes(found: Operation, caller: Caller) -> None:
    has = [scope in caller.scopes for scope in found.scopes]
    if not (all(has) if found.needs_all else any(has)):
        text = f"Insufficient scope, expected any of: {','.join(found.scopes)}"
        raise Forbidden(text, reason="insufficient_scope")


def _query(found: Operation) -> Any:
    if found.query is None:
        return None
    try:
        return found.query.model_validate(read_query(found.query, request.args))
    except ValidationError as error:
        raise NotPossible(query_problem(error), reason="invalid_query_string") from None


def _body(found: Operation) -> Any:
    if found.body is None:
        return None  # clients send null, {} and more where nothing is asked
    raw, is_form = (read_parts(), True) if found.is_multipart else read_body()
    if raw is MISSING:
        raise NotPossible("Payload validation error: 'Missing body'.")
    try:
        return found.adapter.validate_python(raw, strict=not is_form)
    except ValidationError as error:
        raise NotPossible(body_problem(error)) from None


def _record(ctx: Context, found: Operation, refusal: Refusal) -> None:
    """A change that was refused leaves an event too; a read that was refused changed nothing."""
    if found.method == "GET" or refusal.recorded or isinstance(refusal, TemporarilyUnavailable):
        return
    with ctx.db.write() as conn:
        audit.record(conn, ctx, "fapi", refusal.reason)
    refusal.recorded = True


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [present(part) for part in value]
    return present(value)
