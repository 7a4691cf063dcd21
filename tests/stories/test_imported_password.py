"""Somebody comes from another system with the hash that it made: one login, and the hash is ours."""

import hashlib
from collections import Counter

import pytest

from app import accounts, foreign_hashes
from app.accounts.policies import mode_only
from app.context import Context, Server
from app.directories import decoys
from app.passwords import Passwords, Verdict
from app.store import realms, users
from app.store.realms import Realm
from app.store.users import User
from tests import making
from tests.making import PASSWORD, Cast
from tests.wire import FULL, PASSWORD_REALM, Wire, code_of, refused

SALT = "Na+Cl"


def import_user(
    server: Server, realm: Realm, email: str, password: str = PASSWORD, stored: str | None = None
) -> User:
    """A person with a salted MD5, as Auth0's import takes it, or with what is said."""
    if stored is None:
        digest = hashlib.md5((SALT + password).encode()).hexdigest()
        stored = foreign_hashes.read(
            {"algorithm": "md5", "hash": {"value": digest, "encoding": "hex"}, "salt": {"value": SALT}}
        )
    user = accounts.new_user(realm, making.now(), email=email, email_verified=True)
    with server.db.write() as conn:
        accounts.create_user(conn, Context(server, making.now(), ip=""), user, stored)
    return user


def kept_hash(server: Server, user: User) -> str:
    return str(making.reload_user(server, user).password_hash)


def test_the_first_login_makes_the_hash_ours(server: Server, cast: Cast, wire: Wire) -> None:
    dora = import_user(server, cast.staff, "dora@example.com")
    refused(wire.password("dora@example.com", "wrong"), 403, "invalid_grant", "Wrong email or password.")
    assert kept_hash(server, dora).startswith("foreign:")
    wire.ok(wire.password("dora@example.com", **FULL))
    assert kept_hash(server, dora).startswith("$argon2id$")
    wire.ok(wire.password("dora@example.com", **FULL))
    refused(wire.password("dora@example.com", "wrong"), 403, "invalid_grant", "Wrong email or password.")


def test_a_password_is_first_compared_as_it_was_typed(server: Server, cast: Cast, wire: Wire) -> None:
    """The other system hashed a decomposed accent; afterwards both spellings open."""
    decomposed, composed = "re\u0301sume\u0301 of a life", "r\u00e9sum\u00e9 of a life"
    import_user(server, cast.staff, "dora@example.com", decomposed)
    refused(wire.password("dora@example.com", composed), 403, "invalid_grant")
    wire.ok(wire.password("dora@example.com", decomposed))
    wire.ok(wire.password("dora@example.com", composed))


def test_a_foreign_hash_of_the_composed_spelling_opens_for_the_decomposed(
    server: Server, cast: Cast, wire: Wire
) -> None:
    import_user(server, cast.staff, "dora@example.com", "r\u00e9sum\u00e9 of a life")
    wire.ok(wire.password("dora@example.com", "re\u0301sume\u0301 of a life"))


def test_an_imported_argon2id_hash_serves_as_it_is(server: Server, cast: Cast, wire: Wire) -> None:
    """And is made anew, because its cost is not ours."""
    value = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
    stored = foreign_hashes.read({"algorithm": "argon2", "hash": {"value": value}})
    dora = import_user(server, cast.staff, "dora@example.com", stored=stored)
    wire.ok(wire.password("dora@example.com", "password"))
    assert kept_hash(server, dora) != value


def test_a_changed_password_is_not_undone_by_the_new_hash(server: Server, cast: Cast) -> None:
    dora = import_user(server, cast.staff, "dora@example.com")
    with server.db.write() as conn:
        users.update_user(conn, dora.id, password_hash="another")
        users.replace_hash(conn, dora.id, "foreign:old", "$argon2id$new", "OpaqueString")
    assert kept_hash(server, dora) == "another"


def test_who_owes_a_factor_has_the_hash_replaced_at_the_password_step(
    server: Server, cast: Cast, wire: Wire
) -> None:
    """The second step has no password to hash: a realm that always asks for a factor would keep its MD5 for ever."""
    dora = import_user(server, cast.guests, "dora@example.com")
    secret = making.enroll_totp(server, dora)
    token = wire.mfa_token("dora@example.com", realm=cast.guests.name, grant_type=PASSWORD_REALM)
    assert kept_hash(server, dora).startswith("$argon2id$")
    wire.ok(wire.otp(token, code_of(secret)))


@pytest.mark.parametrize("factor_mode", ["never", "always"])
def test_a_wrong_password_never_replaces_the_hash(
    server: Server, cast: Cast, wire: Wire, factor_mode: str
) -> None:
    with server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only(factor_mode))
    dora = import_user(server, cast.staff, "dora@example.com")
    before = kept_hash(server, dora)
    refused(wire.password("dora@example.com", PASSWORD + "x"), 403, "invalid_grant")
    assert kept_hash(server, dora) == before


def test_a_wrong_guess_at_a_cheap_hash_costs_what_nobody_costs(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in argon2 hashes, because milliseconds on a busy machine prove nothing."""
    dora = import_user(server, cast.staff, "dora@example.com")
    passwords, compared = server.passwords, []
    hasher = passwords._hasher

    class Counting:
        def verify(self, stored: str, text: str) -> bool:
            compared.append(stored)
            return hasher.verify(stored, text)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    assert isinstance(passwords, Passwords)
    assert not passwords.verify("wrong", None).is_right
    assert not passwords.verify("wrong", kept_hash(server, dora)).is_right
    assert compared == [passwords._nobody] * 2


def test_a_wrong_password_is_the_same_work_for_whoever_it_is(
    server: Server, cast: Cast, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as somebody waits with another system's hash, all are compared with one of those and one of ours."""
    work: Counter[str] = Counter()
    compare_ours, compare_theirs = Passwords._compare, foreign_hashes.verify

    def counted_ours(passwords: Passwords, text: str, stored: str | None) -> Verdict:
        work["ours"] += 1
        return compare_ours(passwords, text, stored)

    def counted_theirs(stored: str, text: str) -> bool:
        work["theirs"] += 1
        return compare_theirs(stored, text)

    monkeypatch.setattr(Passwords, "_compare", counted_ours)
    monkeypatch.setattr(foreign_hashes, "verify", counted_theirs)
    monkeypatch.setattr(decoys, "LOOKED_UP_SECONDS", 0.0)

    def done(username: str, password: str = "wrong") -> dict[str, int]:
        work.clear()
        wire.password(username, password)
        return dict(work)

    names = ("dora@example.com", "bob@example.com", "nobody@example.com", "n" * 300)
    assert [done(name) for name in names[1:]] == [{"ours": 1}] * 3, "nobody was imported"
    import_user(server, cast.staff, "dora@example.com")
    assert [done(name) for name in names] == [{"ours": 1, "theirs": 1}] * 4
    assert done("bob@example.com", PASSWORD) == {"ours": 1}, "a right one waits for nobody"
    assert done("carol@example.com", "re\u0301sume\u0301") == {"ours": 1, "theirs": 2}, (
        "in both spellings, as hers would be"
    )
    wire.ok(wire.password("dora@example.com", **FULL))
    assert [done(name) for name in names] == [{"ours": 1}] * 4, "the last one has moved"
