"""ldap3, imported when a directory is first asked: most servers have none, and each process would pay for it."""

import importlib
from functools import cache
from typing import Any


@cache
def ldap3() -> Any:
    found = importlib.import_module("ldap3")
    # Its own log, should somebody switch it on, names no password.
    importlib.import_module("ldap3.utils.log").set_library_log_hide_sensitive_data(True)
    return found


def parse_dn(text: str) -> list[tuple[str, str, str]]:
    """Raises whatever the library raises."""
    found: list[tuple[str, str, str]] = ldap3().utils.dn.parse_dn(text, strip=True)
    return found


def parse_filter(text: str) -> object:
    """Raises whatever the library raises."""
    return ldap3().operation.search.parse_filter(text, None, False, False, None, False)


def escaped(text: str) -> str:
    """As a value in a filter (RFC 4515 3)."""
    return str(ldap3().utils.conv.escape_filter_chars(text))
