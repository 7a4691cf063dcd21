"""OpenLDAP and Active Directory: search and bind.

The entry is searched by the service's account, and the password is judged by a bind as that entry. A name that nobody
has is bound too, as an entry that does not exist: as many round trips for nobody as for somebody.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from app.context import Context
from app.directories import connectivity
from app.directories.bulkhead import Bulkhead
from app.directories.directory import CannotAsk, Found, Identity, place
from app.directories.identity import identity, subject_of, user_id
from app.directories.ldap_session import SUCCESS, Entry, Reply, Session, Silent, conversation
from app.directories.ldap_vendors import BIND_REASONS, SUB_CODE, SUB_CODE_REASONS, Vendor
from app.directories.library import escaped, ldap3
from app.directories.options import (
    PLACEHOLDER,
    Address,
    LdapOptions,
    compared,
    ldap_options,
    networks,
    normal_dn,
    secret_of,
    tls_of,
)
from app.gate import GateFull
from app.identifiers import normal_key
from app.store.realms import Realm
from app.store.users import User, find_user_by_key

log = logging.getLogger("belay.ldap")

T = TypeVar("T")

NOBODY = "cn=belay-nobody"
MAX_PASSWORD_BYTES = 1024
MAX_GROUPS = 500
_GUID = "objectguid"
_CONTROL = "userAccountControl"
_DISABLED = 0x2


@dataclass(frozen=True)
class Judged:
    """What came out of a conversation; the groups are those that the options asked for."""

    entry: Entry | None
    reason: str = ""
    groups: tuple[str, ...] = ()


class LdapDirectory:
    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._bulkhead = Bulkhead()

    def place(self, ctx: Context, realm: Realm, user: User | None) -> AbstractContextManager[None]:
        return place(ctx, self._bulkhead, realm)

    def look_up(self, conn: Connection, realm: Realm, username: str) -> User | None:
        return find_user_by_key(conn, realm.id, normal_key(username) or "")

    def authenticate(
        self, ctx: Context, realm: Realm, user: User | None, username: str, password: str
    ) -> Found:
        if not _can_be_password(password):  # an empty one would be a bind as nobody, which goes well
            return Found(user, False, reason="empty_password")
        options = ldap_options(realm)
        judged = self._ask(ctx, realm, options, partial(self._judge, ctx, realm, options, username, password))
        if judged.entry is None or judged.reason:
            return Found(user, False, reason=judged.reason or "unknown_user")
        return Found(user, True, identity=self._identity(realm, options, judged.entry, judged.groups))

    def find(self, ctx: Context, realm: Realm, user: User) -> bool:
        options = ldap_options(realm)
        with place(ctx, self._bulkhead, realm):
            found = self._ask(ctx, realm, options, partial(self._search_again, ctx, realm, options, user))
        return found is not None and not self._is_disabled(found)

    def asks_again_after(self, realm: Realm) -> timedelta | None:
        return timedelta(seconds=ldap_options(realm).recheck_seconds)

    def check(self, ctx: Context, realm: Realm) -> str:
        options = ldap_options(realm)

        def look(session: Session) -> str:
            self._bind(session, ctx, realm, options)
            session.search(options.base_dn, "(objectClass=*)", ("1.1",), limit=1)
            return session.name

        with place(ctx, self._bulkhead, realm):
            return self._ask(ctx, realm, options, look, is_check=True)

    # --- conversations -------------------------------------------------------------------------------------------

    def _judge(
        self, ctx: Context, realm: Realm, options: LdapOptions, username: str, password: str, session: Session
    ) -> Judged:
        self._bind(session, ctx, realm, options)
        entry, reason = self._search(session, options, username)
        if entry is None:
            session.bind(f"{NOBODY},{options.base_dn}", password)
            return Judged(None, reason)
        reason = self._reason(session.bind(entry.dn, password))
        if not reason and self._is_disabled(entry):
            reason = "account_disabled"
        if reason or not options.group_roles:
            return Judged(entry, reason)
        if options.group_base is None:
            return Judged(entry, groups=tuple(entry.texts("memberOf")))
        self._bind(session, ctx, realm, options)
        wanted = (options.group_filter or self._vendor.group_filter).replace("{dn}", escaped(entry.dn))
        groups = session.search(options.group_base, wanted, ("1.1",), limit=MAX_GROUPS)
        return Judged(entry, groups=tuple(group.dn for group in groups))

    def _search(self, session: Session, options: LdapOptions, username: str) -> tuple[Entry | None, str]:
        """The one entry that has this name, as it is written there.

        Directories compare loosely, some even without accents. A name in another spelling is nobody's: it would be
        counted as somebody else's, and give as many guesses as there are spellings.
        """
        key = normal_key(username)
        wanted = options.user_filter or self._vendor.user_filter
        # Nobody's name is searched all the same: the work must not tell.
        filter = wanted.replace(PLACEHOLDER, escaped(key or NOBODY))
        found = session.search(options.base_dn, filter, self._attributes(options), limit=1)
        if len(found) > 1:
            return None, "ambiguous_name"
        if key is None or not found:
            return None, "unknown_user"
        for name, value in compared(wanted):
            same = normal_key(value.replace(PLACEHOLDER, key))
            if any(normal_key(text) == same for text in found[0].texts(name)):
                return found[0], ""
        return None, "unknown_user"

    def _search_again(
        self, ctx: Context, realm: Realm, options: LdapOptions, user: User, session: Session
    ) -> Entry | None:
        """Somebody by what never changes, if the filter still lets them in."""
        self._bind(session, ctx, realm, options)
        name, subject = self._names(options)["subject"], subject_of(user.id)
        value = _escaped_guid(subject) if name.lower() == _GUID else escaped(subject)
        if value is None:  # the realm identifies people by something else than it did then
            return None
        everybody = (options.user_filter or self._vendor.user_filter).replace(PLACEHOLDER, "*")
        found = session.search(
            options.base_dn, f"(&({name}={value}){everybody})", self._attributes(options), limit=1
        )
        return found[0] if len(found) == 1 else None

    def _bind(self, session: Session, ctx: Context, realm: Realm, options: LdapOptions) -> None:
        reply = session.bind(options.bind_dn, secret_of(ctx, realm))
        if reply.code != SUCCESS:
            raise Silent("service_account_refused")

    def _ask(
        self,
        ctx: Context,
        realm: Realm,
        options: LdapOptions,
        talk: Callable[[Session], T],
        *,
        is_check: bool = False,
    ) -> T:
        """The answer of the first server that gives one. Raises CannotAsk."""
        try:
            with ctx.server.gate.waiting():
                return self._ask_servers(ctx, realm, options, talk, is_check)
        except GateFull:
            raise CannotAsk("directory_busy") from None

    def _ask_servers(
        self, ctx: Context, realm: Realm, options: LdapOptions, talk: Callable[[Session], T], is_check: bool
    ) -> T:
        problems: list[str] = []
        ldap3()  # a first import takes a moment, which is not the directory's
        deadline = time.monotonic() + options.timeout_ms / 1000
        addresses = options.addresses
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            if not is_check and not self._bulkhead.may_ask(connectivity.key_of(realm, address.name)):
                problems.append(f"{address.name}: resting")
                continue
            now = time.monotonic()
            try:
                answer = self._converse(ctx, options, address, talk, now + (deadline - now) / left)
            except Silent as silence:
                connectivity.failed(ctx, self._bulkhead, realm, address.name, str(silence))
                log.warning("the directory %s of %s: %s", address.name, realm.name, silence)
                problems.append(f"{address.name}: {silence}")
            else:
                connectivity.answered(ctx, self._bulkhead, realm, address.name)
                return answer
        raise CannotAsk("directory_unreachable", says="; ".join(problems))

    def _converse(
        self,
        ctx: Context,
        options: LdapOptions,
        address: Address,
        talk: Callable[[Session], T],
        deadline: float,
    ) -> T:
        with conversation(
            address,
            start_tls=options.start_tls,
            tls=tls_of(options.ca_certificates),
            networks=networks(ctx.settings),
            deadline=deadline,
        ) as session:
            return talk(session)

    # --- what entries say ----------------------------------------------------------------------------------------

    def _names(self, options: LdapOptions) -> dict[str, str]:
        names = dict(self._vendor.attributes)
        names.update({str(profile): name for profile, name in options.attribute_map.items()})
        return names

    def _attributes(self, options: LdapOptions) -> list[str]:
        """What is asked for, and nothing else."""
        names = [*self._names(options).values()]
        names += [name for name, _ in compared(options.user_filter or self._vendor.user_filter)]
        if options.group_roles and options.group_base is None:
            names.append("memberOf")
        if self._vendor.has_sub_codes:
            names.append(_CONTROL)
        return list(dict.fromkeys(names))

    def _is_disabled(self, entry: Entry) -> bool:
        flags = entry.text(_CONTROL) if self._vendor.has_sub_codes else None
        return flags is not None and flags.isdecimal() and bool(int(flags) & _DISABLED)

    def _reason(self, reply: Reply) -> str:
        """Why a bind did not go well; empty when it did. Raises Silent for what is no answer to a password."""
        if reply.code == SUCCESS:
            return ""
        if reply.code not in BIND_REASONS:
            raise Silent(f"bind_result_{reply.code}")
        if self._vendor.has_sub_codes and reply.code == 49:
            found = SUB_CODE.search(reply.text)
            if found:
                return SUB_CODE_REASONS.get(found[1].lower(), "wrong_password")
        return BIND_REASONS[reply.code]

    def _identity(
        self, realm: Realm, options: LdapOptions, entry: Entry, groups: tuple[str, ...]
    ) -> Identity:
        names = self._names(options)
        subject = _subject(entry, names["subject"])
        id = user_id(self._vendor.prefix, realm.name, subject) if subject else None
        if id is None:
            raise CannotAsk("entry_without_subject")
        given: dict[str, object] = {
            profile: entry.text(name) for profile, name in names.items() if profile != "subject"
        }
        roles = {normal_dn(group): role for group, role in options.group_roles.items()}
        mine = {normal_dn(group) for group in groups if _is_dn(group)}
        return identity(
            id,
            given | {"email_verified": True},
            roles=frozenset(role for group, role in roles.items() if group in mine),
            managed_roles=frozenset(roles.values()),
        )


def _can_be_password(password: str) -> bool:
    """Some servers stop reading at NUL, and some leave spaces away: what is left would be empty."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return False
    return bool(password.strip()) and "\0" not in password and size <= MAX_PASSWORD_BYTES


def _subject(entry: Entry, name: str) -> str | None:
    if name.lower() == _GUID:
        raw = next(iter(entry.attributes.get(_GUID, ())), b"")
        return str(uuid.UUID(bytes_le=raw)) if len(raw) == 16 else None
    return entry.text(name)


def _escaped_guid(subject: str) -> str | None:
    try:
        return "".join(f"\\{byte:02x}" for byte in uuid.UUID(subject).bytes_le)
    except ValueError:
        return None


def _is_dn(text: str) -> bool:
    try:
        return bool(normal_dn(text))
    except ValueError:
        return False
