"""Scopes: how they are asked for, and which are granted."""

import re

from app.errors import InvalidScope
from app.store.clients import Client
from app.tokens.audience import Audience

OIDC_SCOPES = ("openid", "profile", "email", "address", "phone")
_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3


def parse(text: str) -> tuple[str, ...]:
    """Raises InvalidScope. Doubles are one; order is kept."""
    words = tuple(dict.fromkeys(text.split(" ")))
    words = tuple(word for word in words if word)
    if not all(_TOKEN.fullmatch(word) for word in words):
        raise InvalidScope(reason="scope_syntax")
    return words


def still_granted(granted: tuple[str, ...], audience: Audience) -> tuple[str, ...]:
    """What was granted at login, as far as the API still has it."""
    if audience.kind != "api":
        return granted
    known = {*OIDC_SCOPES, "offline_access", *audience.scopes}
    return tuple(word for word in granted if word in known)


def grant(requested: tuple[str, ...], audience: Audience, client: Client) -> tuple[str, ...]:
    """What a person's login is given. This flow has no consent: nothing asked is everything there is,
    except `offline_access`, which must be asked for; `openid` alone brings the standard claims as Auth0's does.
    """
    standard = () if audience.kind == "mfa" else OIDC_SCOPES
    if not requested:
        return (*standard, *(word for word in audience.scopes if word != "offline_access"))
    if requested == ("openid",):
        return standard or audience.scopes
    allowed = {*standard, *audience.scopes} - {"offline_access"}
    if audience.allow_offline_access and "refresh_token" in client.grant_types:
        allowed.add("offline_access")
    return tuple(word for word in requested if word in allowed)
