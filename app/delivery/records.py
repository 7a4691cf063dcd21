"""What of an event a stream gets: whether it wants it, the record's shape, and persons' data masked or hashed."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app.context import Context
from app.delivery.xxhash import xxh64
from app.store.events import Event
from app.store.log_streams import LogStream
from app.web.management.logs import view

MASK = "********"

# By category; a code that stands nowhere is `other`, as most of the second factor's are.
CATEGORIES = {
    code: category
    for category, codes in {
        "auth.login.fail": "f fc fco fcoa fens fp fu",
        "auth.login.notification": "w",
        "auth.login.success": "s scoa sens",
        "auth.logout.fail": "flo",
        "auth.logout.success": "slo",
        "auth.signup.fail": "fs",
        "auth.signup.success": "ss",
        "auth.silent_auth.fail": "fsa",
        "auth.silent_auth.success": "ssa",
        "auth.token_exchange.fail": "feacft feccft fede feoobft feotpft fepft fercft ferrt fertft fewebauthnft",
        "auth.token_exchange.success": (
            "seacft seccft sede seoobft seotpft sepft sepkoobft sepkotpft sepkrcft sercft sertft sewebauthnft"
        ),
        "management.fail": "fapi",
        "management.success": "sapi mgmt_api_read",
        "system.notification": (
            "api_limit api_limit_warning coff con depnote fn limit_mu limit_phone limit_sul limit_wc"
        ),
        "user.fail": "fce fcp fcpn fcpr fcu fdu fui fv fvr",
        "user.notification": "gd_enrollment_complete gd_start_enroll gd_unenroll",
        "user.success": "sce scp scpn scpr scu sdu sui sv svr",
        "actions": "actions_execution_failed",
    }.items()
    for code in codes.split()
}

_EMAIL = re.compile(r"[^\s@<>\"',;:|]+@[^\s@<>\"',;:|]+")
_PHONE = re.compile(r"\+[0-9]{6,15}\b")
_MEMBERS = {
    "first_name": ("given_name", "first_name"),
    "last_name": ("family_name", "last_name"),
    "username": ("username", "nickname"),
    "email": ("email",),
    "phone": ("phone_number", "phone"),
    "address": ("address",),
}


def is_wanted(stream: LogStream, event: Event) -> bool:
    return not stream.filters or CATEGORIES.get(event.type, "other") in stream.filters


def record(ctx: Context, conn: Connection, stream: LogStream, event: Event) -> dict[str, Any]:
    """One record, with the id by which a sink knows it again."""
    shown = view(ctx, conn, event)
    shown["is_mobile"] = shown.pop("isMobile")
    shown.pop("_id")
    if stream.pii:
        shown = _without_persons(stream, event, shown)
    shown["tenant_name"] = urlsplit(ctx.issuer).hostname or ""
    shown["$event_schema"] = {"version": "1.0.0"}
    return {"log_id": shown["log_id"], "data": shown}


def _without_persons(stream: LogStream, event: Event, shown: dict[str, Any]) -> dict[str, Any]:
    fields = set(stream.pii["log_fields"])
    hide: Callable[[str], str] = (
        (lambda text: xxh64(text.encode())) if stream.pii["method"] == "hash" else (lambda _: MASK)
    )
    names = {name for field in fields for name in _MEMBERS[field]}
    if fields & {"username", "email", "phone"}:
        # What somebody typed as an identifier may be any of them, misspelt.
        names |= {"user_name", "identifier"}
    if event.user_id is not None and fields & {"first_name", "last_name"}:
        names.add("name")  # a person's, where a person is what the event is about

    def cleaned(value: Any, is_named: bool = False) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(part, is_named or key in names) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [cleaned(part, is_named) for part in value]
        if not isinstance(value, str) or not value:
            return value
        if is_named:
            return hide(value)
        if "email" in fields:
            value = _EMAIL.sub(lambda found: hide(found[0]), value)
        if "phone" in fields:
            value = _PHONE.sub(lambda found: hide(found[0]), value)
        return value

    found: dict[str, Any] = cleaned(shown)
    return found
