"""What a connection's options say about the directory outside, and what of it is a secret.

The options are kept as they were given, because tools send back what they read; the secret among them is sealed apart
and never shown. What makes no sense is refused when it is written, not at the next login.
"""

import json
import re
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import certifi
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app import http_out
from app.context import Context
from app.crypto import SealBroken, owner_of
from app.directories.directory import CannotAsk
from app.directories.library import parse_dn, parse_filter
from app.errors import NotPossible
from app.http_out import Networks
from app.settings import Settings
from app.store.realms import Realm

PLACEHOLDER = "{username}"
# Where in the options each kind of directory has its settings, and which of them is a secret.
SECTIONS = {"ldap": ("ldap", "bind_password"), "ad": ("ldap", "bind_password"), "http": ("http", "secret")}

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.-]{0,100}$")]
Profile = Literal[
    "subject", "email", "username", "name", "given_name", "family_name", "nickname", "phone_number", "picture"
]


@dataclass(frozen=True)
class Address:
    """One server of a directory."""

    host: str
    port: int
    is_tls: bool

    @property
    def name(self) -> str:
        scheme, host = "ldaps" if self.is_tls else "ldap", f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LdapOptions(_Section):
    urls: Annotated[tuple[Text, ...], Field(min_length=1, max_length=8)]
    base_dn: Text
    start_tls: Annotated[bool, Field(strict=True)] = False
    ca_certificates: Annotated[str, Field(max_length=200_000)] | None = None
    """PEM; without it the authorities of this machine."""
    bind_dn: Annotated[str, Field(max_length=1000)] = ""
    user_filter: Annotated[str, Field(max_length=2000)] | None = None
    attribute_map: dict[Profile, Attribute] = {}
    group_base: Annotated[str, Field(max_length=1000)] | None = None
    """Where groups are searched; without it the entry's own `memberOf` tells."""
    group_filter: Annotated[str, Field(max_length=2000)] | None = None
    group_roles: Annotated[dict[Text, Text], Field(max_length=200)] = {}
    """From the distinguished name of a group to the name or id of a role."""
    timeout_ms: Annotated[int, Field(strict=True, ge=200, le=10_000)] = 5000
    recheck_seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = 900
    """How old an answer may be by which a refresh token is still exchanged; 0 asks each time."""

    @model_validator(mode="before")
    @classmethod
    def _one_url(cls, given: Any) -> Any:
        if isinstance(given, dict) and "url" in given and "urls" not in given:
            given = {name: value for name, value in given.items() if name != "url"} | {"urls": [given["url"]]}
        return given

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(_address(url) for url in self.urls)

    @model_validator(mode="after")
    def _makes_sense(self) -> "LdapOptions":
        for address in self.addresses:
            if address.is_tls and self.start_tls:
                raise ValueError("start_tls goes with ldap:// addresses")
            is_here = address.host in ("localhost", "127.0.0.1", "::1")
            if not address.is_tls and not self.start_tls and not is_here:
                raise ValueError("passwords travel in the clear: use ldaps:// or start_tls")
        if self.user_filter is not None:
            check_filter(self.user_filter, must_have=PLACEHOLDER)
        if self.group_filter is not None:
            check_filter(self.group_filter, must_have="{dn}")
        for name in (self.base_dn, self.group_base, *self.group_roles):
            if name is not None:
                normal_dn(name)
        if self.ca_certificates is not None:
            try:
                tls_of(self.ca_certificates)
            except ssl.SSLError:
                raise ValueError("ca_certificates are certificates in PEM") from None
        return self


class HttpOptions(_Section):
    url: Text
    timeout_ms: Annotated[int, Field(strict=True, ge=200, le=10_000)] = 5000

    @model_validator(mode="after")
    def _makes_sense(self) -> "HttpOptions":
        try:
            http_out.check_url(self.url, permits_http=True)
        except http_out.Forbidden as refusal:
            raise ValueError(str(refusal)) from None
        return self


def _address(url: str) -> Address:
    """Raises ValueError."""
    scheme, colon, rest = url.partition("://")
    if scheme.lower() not in ("ldap", "ldaps") or not colon or "?" in rest:
        raise ValueError("an address is like ldaps://host:636")
    try:
        http_out.check_url(f"https://{rest}")
        found = urlsplit(f"https://{rest}")
        host, port = found.hostname, found.port
    except (http_out.Forbidden, ValueError):
        host = None
    if not host or found.path not in ("", "/"):
        raise ValueError("an address is like ldaps://host:636")
    is_tls = scheme.lower() == "ldaps"
    return Address(host, port or (636 if is_tls else 389), is_tls)


_PART = re.compile(r"\(([A-Za-z][\w.;-]*)(:[\w.:-]+)?([<>~]?=)([^()]*)\)")


def check_filter(text: str, *, must_have: str) -> None:
    """Raises ValueError unless it is a filter in which the placeholder stands alone in equality."""
    try:
        parse_filter(text.replace(must_have, "x"))
    except Exception:  # the parser's own mistakes among them
        raise ValueError("a filter is like (uid={username})") from None
    values = [part for part in _PART.findall(text) if must_have in part[3]]
    if not values or sum(value.count(must_have) for *_, value in values) != text.count(must_have):
        raise ValueError(f"a filter compares an attribute with {must_have}")
    for _, rule, operator, value in values:
        if operator != "=" or "*" in value or (rule and must_have == PLACEHOLDER):
            raise ValueError(f"{must_have} is compared by equality alone")


def compared(user_filter: str) -> list[tuple[str, str]]:
    """Which attributes a name is compared with, and how: `[("uid", "{username}"), …]`."""
    return [(name, value) for name, _, _, value in _PART.findall(user_filter) if PLACEHOLDER in value]


def normal_dn(text: str) -> tuple[tuple[str, str], ...]:
    """A distinguished name to compare. Raises ValueError."""
    try:
        return tuple((name.lower(), " ".join(value.split()).casefold()) for name, value, _ in parse_dn(text))
    except Exception:  # the parser's own mistakes among them
        raise ValueError("a distinguished name is like ou=people,dc=example,dc=com") from None


@lru_cache(64)
def tls_of(authorities: str | None) -> ssl.SSLContext:
    """Certificates are always verified, and names. Raises ssl.SSLError.

    Of its own even where it trusts the same as HTTP does, which offers its protocols in the handshake.
    """
    if authorities is not None:
        return ssl.create_default_context(cadata=authorities)
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


# --- written -------------------------------------------------------------------------------------------------------


def check(settings: Settings, realm: Realm) -> None:
    """Whether a realm's options make a directory. Raises NotPossible."""
    place = SECTIONS.get(realm.kind)
    if place is None:
        return
    section = realm.options.get(place[0])
    if not isinstance(section, dict):
        raise _refusal(place[0], "Missing required property")
    section = {name: value for name, value in section.items() if name != place[1]}
    try:
        found = (HttpOptions if realm.kind == "http" else LdapOptions).model_validate(section)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in (place[0], *first["loc"]))
        raise _refusal(where, first["msg"].removeprefix("Value error, ")) from None
    try:
        for url in targets(found):
            http_out.check_url(url, permits_http=settings.insecure_test, networks=networks(settings))
    except http_out.Forbidden as refusal:
        text = (
            f"{refusal}; BELAY_OUTGOING_NETWORKS opens it"
            if str(refusal) == http_out.INSIDE
            else str(refusal)
        )
        raise _refusal(place[0], text) from None
    if not isinstance(realm.options.get("import_mode", False), bool):
        raise _refusal("import_mode", "Expected type boolean")


def _refusal(where: str, text: str) -> NotPossible:
    return NotPossible(f"Payload validation error: '{text}' on property options.{where}.")


def targets(found: LdapOptions | HttpOptions) -> list[str]:
    if isinstance(found, HttpOptions):
        return [found.url]
    return ["https://" + address.name.partition("://")[2] for address in found.addresses]


def with_sealed_secret(ctx: Context, realm: Realm, before: Realm | None) -> Realm:
    """The realm with its secret taken out of the options and sealed. Raises NotPossible.

    A secret that is not sent stays, unless the directory is another one now: what is kept for one host is not shown to
    another.
    """
    check(ctx.settings, realm)
    place = SECTIONS.get(realm.kind)
    if place is None:
        return realm
    section, name = place
    given = dict(realm.options[section])
    sealed = before.sealed_secrets if before is not None else None
    if name in given:
        secret = given.pop(name)
        if secret is not None and (not isinstance(secret, str) or len(secret) > 1000):
            raise _refusal(f"{section}.{name}", "Expected type string")
        sealed = _seal(ctx, realm.id, secret) if secret else None
    elif sealed is not None and before is not None and _is_elsewhere(before, realm):
        raise _refusal(
            f"{section}.{name}", "Missing required property: another server is not shown the old one's"
        )
    realm = replace(realm, options=realm.options | {section: given}, sealed_secrets=sealed)
    if realm.kind == "http" and sealed is None:
        raise _refusal(f"{section}.{name}", "Missing required property")
    if realm.kind != "http" and bool(given.get("bind_dn")) != (sealed is not None):
        raise _refusal(f"{section}.{name}", "bind_dn and bind_password go together")
    return realm


def _is_elsewhere(before: Realm, after: Realm) -> bool:
    """Whether the secret would travel otherwise: to other servers, less guarded, or vouched for by others."""
    old, new = (realm.options.get(SECTIONS[realm.kind][0], {}) for realm in (before, after))
    if after.kind == "http":
        return bool(urlsplit(old.get("url", ""))[:2] != urlsplit(new.get("url", ""))[:2])
    return any(
        old.get(name) != new.get(name) for name in ("url", "urls", "start_tls", "ca_certificates", "bind_dn")
    )


def _seal(ctx: Context, realm_id: str, secret: str) -> str:
    return ctx.server.keyring.seal(json.dumps({"secret": secret}).encode(), owner_of("realms", realm_id))


# --- read ----------------------------------------------------------------------------------------------------------


def secret_of(ctx: Context, realm: Realm) -> str:
    """Empty where there is none. Raises CannotAsk when the key ring does not open it."""
    if realm.sealed_secrets is None:
        return ""
    try:
        opened = ctx.server.keyring.open(realm.sealed_secrets, owner_of("realms", realm.id))
    except (SealBroken, OSError):
        raise CannotAsk("secret_unreadable") from None
    return str(json.loads(opened)["secret"])


def ldap_options(realm: Realm) -> LdapOptions:
    """Raises CannotAsk for options that somebody wrote past the checks."""
    try:
        return _parsed_ldap(json.dumps(realm.options.get("ldap")))
    except ValidationError:
        raise CannotAsk("options_invalid") from None


def http_options(realm: Realm) -> HttpOptions:
    """Raises CannotAsk for options that somebody wrote past the checks."""
    try:
        return HttpOptions.model_validate(realm.options.get("http"))
    except ValidationError:
        raise CannotAsk("options_invalid") from None


@lru_cache(256)
def _parsed_ldap(section: str) -> LdapOptions:
    """Distinguished names and certificates take milliseconds to read."""
    return LdapOptions.model_validate(json.loads(section))


def networks(settings: Settings) -> Networks:
    """What may be asked besides the Internet: what the operator lists, in tests this machine too."""
    return (*settings.outgoing_networks, *(http_out.LOOPBACK if settings.insecure_test else ()))
