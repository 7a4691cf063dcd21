"""The shape of a grant."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.context import Context
from app.store.clients import Client
from app.tokens.issue import TokenSet


@dataclass(frozen=True)
class Param:
    """A parameter that a grant may read. What is not declared never reaches it."""

    name: str
    is_required: bool = False
    is_secret: bool = False
    is_list: bool = False
    """A JSON array of strings is taken as well, and joined by spaces."""
    is_object: bool = False
    """A JSON object and nothing else; its handler gets it as JSON text."""


@dataclass(frozen=True)
class TokenRequest:
    grant_type: str
    client: Client
    params: Mapping[str, str]


@dataclass(frozen=True)
class Grant:
    grant_type: str
    params: tuple[Param, ...]
    handle: Callable[[Context, TokenRequest], TokenSet]
    success_event: str
    failure_event: str
    is_for_public_clients: bool = True
