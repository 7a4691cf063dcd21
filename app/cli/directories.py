"""What `belay realms` says of directories outside."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from app.cli.shared import Failed
from app.directories.options import SECTIONS
from app.store.realms import Realm

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--ldap-url", "ldap_urls", multiple=True, help="ldaps://host:636; repeatable, in this order."
    ),
    click.option("--ldap-base", default=None, help="Where people are searched: dc=corp,dc=example."),
    click.option(
        "--ldap-bind-dn", default=None, help="The account that searches; its password by --secret-stdin."
    ),
    click.option("--ldap-start-tls", is_flag=True, help="StartTLS on an ldap:// address."),
    click.option(
        "--ldap-ca",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        default=None,
        help="Certificates in PEM that vouch for the servers; else this machine's.",
    ),
    click.option("--ldap-filter", default=None, help="Like (uid={username})."),
    click.option("--http-url", default=None, help="Your own login service, asked with a signed request."),
    click.option(
        "--import-mode", is_flag=True, help="Keep the password's hash at the first login, and stop asking."
    ),
    click.option("--secret-stdin", is_flag=True, help="Read the bind password, or the service's secret."),
    click.option(
        "--options",
        "options_file",
        type=click.File(),
        default=None,
        help="JSON of the connection's options, for everything else.",
    ),
)


def directory_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _document(file: IO[str]) -> dict[str, Any]:
    try:
        found = json.load(file)
    except ValueError as error:
        raise Failed(f"the options are no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Failed("the options are a JSON object")
    return found


def read_options(kind: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind of directory and its options."""
    options = _document(given["options_file"]) if given["options_file"] else {}
    is_ldap, is_http = bool(given["ldap_urls"]), given["http_url"] is not None
    if is_ldap and is_http:
        raise Failed("a realm has one directory: LDAP or your own service")
    kind = kind or ("ldap" if is_ldap else "http" if is_http else "database")
    return kind, _told(kind, options, given) if kind in SECTIONS else options


def changed_options(realm: Realm, given: dict[str, Any]) -> dict[str, Any]:
    """A realm's options with what the command line says otherwise."""
    if realm.kind not in SECTIONS:
        raise Failed(f"the people of {realm.name} are kept here")
    section = SECTIONS[realm.kind][0]
    file = _document(given["options_file"]) if given["options_file"] else {}
    options = realm.options | file
    options[section] = realm.options.get(section, {}) | file.get(section, {})
    return _told(realm.kind, options, given)


def _told(kind: str, options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    section, secret = SECTIONS[kind]
    told = {
        "urls": list(given["ldap_urls"]),
        "url": given["http_url"],
        "base_dn": given["ldap_base"],
        "bind_dn": given["ldap_bind_dn"],
        "start_tls": given["ldap_start_tls"] or None,
        "ca_certificates": given["ldap_ca"].read_text("utf-8") if given["ldap_ca"] else None,
        "user_filter": given["ldap_filter"],
        secret: sys.stdin.readline().rstrip("\n") if given["secret_stdin"] else None,
    }
    changed = {section: options.get(section, {}) | {name: value for name, value in told.items() if value}}
    return options | changed | ({"import_mode": True} if given["import_mode"] else {})
