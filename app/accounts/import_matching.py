"""Whom a record means: somebody new, somebody who is there already, or somebody whom the file named before.

Identifiers are unique in a realm, so a record collides with whoever has one of its own. A row that this very import
wrote carries the import's own moment: with it a record that comes twice is told from somebody who was there before.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from app import foreign_hashes
from app.accounts.import_schema import Entry, Problem
from app.accounts.people import LOOKS_TAKEN
from app.identifiers import look_alike, skeleton
from app.passwords import FORM
from app.store import imports
from app.store.authenticators import Authenticator
from app.store.users import User, key_of

_CONFLICTS = {"email": "CONFLICT_EMAIL", "username": "CONFLICT_USERNAME"}
# Identifiers and bcrypt hashes of somebody who is there stay: Auth0 does not replace them either.
_UPSERTABLE = "email_verified given_name family_name name nickname picture user_metadata app_metadata".split()


@dataclass(frozen=True)
class Candidate:
    """A record as the person it would become."""

    entry: Entry
    user: User
    devices: list[Authenticator]
    keys: dict[str, str]
    """The normal forms of the identifiers, each with the member that it came from."""
    email_key: str


@dataclass(frozen=True)
class Match:
    candidate: Candidate
    existing: User | None = None
    problems: tuple[Problem, ...] = ()
    claimed: tuple[str, ...] = field(default=())
    """The id and the identifiers that this record has from now on."""

    @property
    def is_new(self) -> bool:
        return self.existing is None and not self.problems


@dataclass(frozen=True)
class Terms:
    """How records of one import are held against who is there."""

    realm_id: str
    made_at: datetime
    """The moment that every row of this import carries."""
    is_upsert: bool
    is_dry: bool
    seen: Collection[str] = ()
    """Identifiers of earlier records, where a dry run left no rows by which they are known."""


def match(conn: Connection, terms: Terms, candidates: Sequence[Candidate]) -> list[Match]:
    """Look up everybody whom these records could mean, and decide for each."""
    keys = {key for candidate in candidates for key in candidate.keys}
    is_locking = terms.is_upsert and not terms.is_dry
    holders = imports.find_holders(conn, terms.realm_id, keys, is_locking=is_locking)
    own_ids = {c.user.id for c in candidates if c.entry.record.user_id is not None}
    ids = imports.find_known_ids(conn, own_ids)
    alike = imports.find_alike(conn, terms.realm_id, keys, is_locking=not terms.is_dry)
    claimed: set[str] = set()
    found = []
    for candidate in candidates:
        matched = _match_one(terms, candidate, holders, ids, claimed)
        if matched.is_new:
            matched = replace(matched, problems=_looks_taken(candidate, alike))
        if matched.is_new:
            for key in candidate.keys:
                alike.setdefault(skeleton(key), set()).add(key)
        if not matched.problems:
            claimed.update(matched.claimed)
        found.append(matched)
    return found


def _match_one(
    terms: Terms, candidate: Candidate, holders: dict[str, User], ids: dict[str, datetime], claimed: set[str]
) -> Match:
    for key, name in candidate.keys.items():
        holder = holders.get(key)
        is_of_this_import = holder is not None and holder.updated_at == terms.made_at
        if is_of_this_import or key in claimed or key in terms.seen:
            return Match(candidate, problems=(_provided(name),))
    user_id = candidate.user.id
    if user_id in claimed or user_id in terms.seen or ids.get(user_id) == terms.made_at:
        return Match(candidate, problems=(_provided("user_id"),))
    email_key = candidate.email_key
    mine = holders.get(email_key)
    if not terms.is_upsert or (mine is not None and key_of(mine.email or "") != email_key):
        mine = None
    problems = [
        Problem(_CONFLICTS.get(name, "CONFLICT"), f"A user with this {name} exists already", name)
        for key, name in candidate.keys.items()
        if (holder := holders.get(key)) is not None and (mine is None or holder.id != mine.id)
    ]
    if mine is None and user_id in ids:
        problems.append(Problem("CONFLICT", "A user with this user_id exists already", "user_id"))
    if problems:
        return Match(candidate, problems=tuple(problems))
    claims = (user_id, *candidate.keys) if mine is None else (mine.id, email_key)
    return Match(candidate, mine, claimed=claims)


def _looks_taken(candidate: Candidate, alike: dict[str, set[str]]) -> tuple[Problem, ...]:
    return tuple(
        Problem(_CONFLICTS.get(name, "CONFLICT"), LOOKS_TAKEN, name)
        for key, name in candidate.keys.items()
        if any(look_alike(key, other) for other in alike.get(skeleton(key), ()) if other != key)
    )


def _provided(name: str) -> Problem:
    return Problem("DUPLICATED_USER", f"A user with this {name} was already provided.", name)


def updated(candidate: Candidate, user: User) -> User:
    """Somebody who is there, as a record changes them: what it does not name stays, metadata are replaced whole."""
    record = candidate.entry.record
    changed = {name: getattr(record, name) for name in _UPSERTABLE if name in record.model_fields_set}
    if record.blocked is not None:
        changed["is_blocked"] = record.blocked
    if record.phone_verified is not None and record.phone_number in (None, user.phone_number):
        changed["phone_verified"] = record.phone_verified
    if candidate.entry.is_custom_hash and _may_replace_hash(user):
        changed |= {"password_hash": candidate.entry.stored_hash, "password_form": FORM}
    return replace(user, updated_at=candidate.user.updated_at, **changed)


def _may_replace_hash(user: User) -> bool:
    """Until the first login: then the hash is ours, and another system's knows an older password."""
    if user.last_login is not None or user.last_password_reset is not None:
        return False
    return user.password_hash is None or foreign_hashes.is_foreign(user.password_hash)
