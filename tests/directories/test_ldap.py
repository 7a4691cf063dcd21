"""People of a real OpenLDAP server, and of an Active Directory by script."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import ldap3
import pytest
from freezegun import freeze_time

from app import accounts
from app.accounts.roles import create_role
from app.context import Context, Server
from app.directories import DIRECTORIES
from app.directories.bulkhead import FAILURES
from app.directories.directory import Found
from app.identifiers import normal_key
from app.store import roles, users
from app.store.realms import Realm
from app.store.users import User
from tests import making
from tests.directories.conftest import make_directory_realm, once
from tests.directories.fakes import ActiveDirectory, Member, listening, silence
from tests.directories.slapd import ADMINS, BASE, GROUPS, ODD_NAME, PASSWORD, PEOPLE, Slapd
from tests.evidence import report, size
from tests.making import Cast
from tests.wire import FULL, PASSWORD_REALM, Wire, refused

WRONG = "Wrong email or password."
ALICE = f"uid=alice,{PEOPLE}"


@pytest.fixture
def corp(server: Server, cast: Cast, slapd: Slapd) -> Realm:
    return make_directory_realm(server, "corp", "ldap", {"ldap": slapd.options()}, "app")


def login(wire: Wire, username: str, password: str = PASSWORD, **members: Any) -> Any:
    return wire.password(username, password, grant_type=PASSWORD_REALM, realm="corp", **members)


def person(server: Server, realm: Realm, key: str) -> User:
    with server.db.read() as conn:
        found = users.find_user_by_key(conn, realm.id, key)
    assert found is not None
    return found


@contextmanager
def changed(slapd: Slapd, dn: str, **attributes: list[str]) -> Iterator[None]:
    """An entry with other values, as long as the block lasts."""
    with slapd.root() as root:
        root.search(dn, "(objectClass=*)", ldap3.BASE, attributes=list(attributes))
        before = root.response[0]["raw_attributes"]
        root.modify(dn, {name: [(ldap3.MODIFY_REPLACE, values)] for name, values in attributes.items()})
        try:
            yield
        finally:
            old = {name: [(ldap3.MODIFY_REPLACE, before.get(name, []))] for name in attributes}
            root.modify(dn, old)


def test_a_first_login_makes_a_person_and_later_ones_keep_in_step(
    wire: Wire, server: Server, corp: Realm, slapd: Slapd
) -> None:
    wire.ok(login(wire, "Alice"))
    alice = person(server, corp, "alice")
    assert alice == person(server, corp, "alice@corp.example")
    assert alice.id.startswith("ldap|corp|") and alice.email_verified and alice.password_hash is None
    assert (alice.name, alice.given_name, alice.family_name) == ("Alice Liddell", "Alice", "Liddell")
    with changed(slapd, ALICE, mail=["alice.p@corp.example"], cn=["Alice Pleasance"]):
        wire.ok(login(wire, "alice.p@corp.example"))
        later = person(server, corp, "alice.p@corp.example")
        assert (later.id, later.email, later.name) == (alice.id, "alice.p@corp.example", "Alice Pleasance")
    changes = [
        e for e in wire.events() if e.reason in ("user_created", "user_updated") and e.user_id == alice.id
    ]
    assert [event.reason for event in changes] == ["user_created", "user_updated"]
    assert changes[1].details["change"]["before"]["email"] == "alice@corp.example"  # type: ignore[index]


@once
def test_who_changed_nothing_is_not_written_again(wire: Wire, server: Server, corp: Realm) -> None:
    wire.ok(login(wire, "alice"))
    before = person(server, corp, "alice")
    wire.ok(login(wire, "alice"))
    assert person(server, corp, "alice").updated_at == before.updated_at


def test_a_name_that_went_to_somebody_else_takes_nothing_along(
    wire: Wire, server: Server, corp: Realm, slapd: Slapd
) -> None:
    """The old Alice had a second factor; the new one has her name and address, and is somebody else."""
    wire.ok(login(wire, "alice"))
    old = person(server, corp, "alice")
    making.enroll_totp(server, old)
    refused(login(wire, "alice"), 403, "mfa_required")
    with slapd.root() as root:
        root.delete(ALICE)
        try:
            slapd.add_person(root, "alice", userPassword="another person's")
            refused(login(wire, "alice"), 403, "invalid_grant", WRONG)
            wire.ok(login(wire, "alice", "another person's"))
        finally:
            root.delete(ALICE)
            slapd.add_person(root, "alice")
            root.modify(ADMINS, {"member": [(ldap3.MODIFY_REPLACE, [ALICE])]})
    new, left = person(server, corp, "alice"), making.reload_user(server, old)
    assert new.id != old.id and (left.email, left.username) == (None, None)


def test_who_is_gone_from_the_directory_is_refused_at_once_and_at_refreshes(
    wire: Wire, server: Server, corp: Realm, slapd: Slapd
) -> None:
    with slapd.root() as root:
        slapd.add_person(root, "leaver")
        token = wire.ok(login(wire, "leaver", **FULL))["refresh_token"]
        root.delete(f"uid=leaver,{PEOPLE}")
    refused(login(wire, "leaver"), 403, "invalid_grant", WRONG)
    token = wire.ok(wire.refresh(token))["refresh_token"]  # the answer of a moment ago still holds
    with freeze_time(making.now() + timedelta(minutes=16)):
        refused(wire.refresh(token), 403, "unauthorized", "user is blocked")
    assert wire.events()[-1].reason == "gone_from_directory"


def test_a_refresh_asks_the_directory_again_now_and_then(
    wire: Wire, server: Server, corp: Realm, slapd: Slapd
) -> None:
    token = wire.ok(login(wire, "alice", **FULL))["refresh_token"]
    with freeze_time(making.now() + timedelta(minutes=16)):
        token = wire.ok(wire.refresh(token))["refresh_token"]
        assert person(server, corp, "alice").directory_checked_at == making.now()
        slapd.stop()
        try:
            token = wire.ok(wire.refresh(token))["refresh_token"]
            with freeze_time(making.now() + timedelta(minutes=16)):
                refused(wire.refresh(token), 503, "temporarily_unavailable")
                slapd.start()
                wire.ok(wire.refresh(token))
        finally:
            if slapd.process.poll() is not None:
                slapd.start()


def test_groups_give_roles_and_take_them(wire: Wire, server: Server, cast: Cast, slapd: Slapd) -> None:
    ctx = Context(server, making.now(), ip="")
    with server.db.write() as conn:
        admin = create_role(conn, ctx, "admin", None)
        extra = create_role(conn, ctx, "extra", None)

    def roles_after(options: dict[str, Any]) -> list[str]:
        name = f"corp{len(wire.events())}"
        realm = make_directory_realm(server, name, "ldap", {"ldap": slapd.options(**options)}, "app")
        wire.ok(wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm=name))
        alice = person(server, realm, "alice")
        with server.db.write() as conn:
            roles.add_members(conn, [(alice.id, extra.id)])
        with slapd.root() as root:
            root.modify(ADMINS, {"member": [(ldap3.MODIFY_REPLACE, [f"uid=bob,{PEOPLE}"])]})
        try:
            with server.db.read() as conn:
                before = [role.name for role in roles.list_roles_of(conn, alice.id)]
            wire.ok(wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm=name))
            with server.db.read() as conn:
                return before + [role.name for role in roles.list_roles_of(conn, alice.id)]
        finally:
            with slapd.root() as root:
                root.modify(ADMINS, {"member": [(ldap3.MODIFY_REPLACE, [ALICE])]})

    # What administrators gave stays; what groups give goes with the group. Spelling of a name does not matter.
    by_member_of = {"group_roles": {ADMINS.upper().replace(",", ", "): "admin"}}
    by_search = {"group_base": GROUPS, "group_roles": {ADMINS: admin.id}}
    for options in (by_member_of, by_search):
        assert roles_after(options) == ["admin", "extra", "extra"]
    elsewhere = {"group_roles": {f"cn=admins,ou=other,{BASE}": "admin"}}
    assert roles_after(elsewhere) == ["extra", "extra"]


def test_a_filter_of_ones_own_says_who_may(wire: Wire, server: Server, cast: Cast, slapd: Slapd) -> None:
    options = {"user_filter": "(&(uid={username})(!(sn=Left)))", "attribute_map": {"nickname": "sn"}}
    realm = make_directory_realm(server, "corp", "ldap", {"ldap": slapd.options(**options)}, "app")
    wire.ok(login(wire, "dora"))
    assert person(server, realm, "dora").nickname == "Liddell"
    refused(login(wire, "dora@corp.example"), 403, "invalid_grant", WRONG)
    with changed(slapd, f"uid=dora,{PEOPLE}", sn=["Left"]):
        refused(login(wire, "dora"), 403, "invalid_grant", WRONG)


@once
def test_two_entries_of_one_name_are_nobody(wire: Wire, corp: Realm) -> None:
    refused(login(wire, "twins@corp.example"), 403, "invalid_grant", WRONG)
    assert wire.events()[-1].reason == "ambiguous_name"
    wire.ok(login(wire, "twin1"))
    wire.ok(login(wire, "twin2"))  # who came last has the address


@once
def test_a_distinguished_name_with_every_special_sign_binds(wire: Wire, server: Server, corp: Realm) -> None:
    wire.ok(login(wire, "jsmith"))
    assert person(server, corp, "jsmith").name == ODD_NAME


# --- injection -------------------------------------------------------------------------------------------------------


def corpus() -> list[str]:
    """Names that a filter or a distinguished name could take for its own signs."""
    signs = list("*()\\|&!=<>~,+\"#;/?%$'` \t\n\r\0") + [
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u200b",
        "\uff0a",
    ]
    names = [
        f"{before}{sign}{after}"
        for sign in signs
        for before, after in (("", ""), ("alice", ""), ("", "alice"), ("al", "ice"))
    ]
    names += [
        "al*",
        "a*e",
        "*lice",
        "alice)",
        "(alice",
        "alice)(",
        "alice))",
        "*)(uid=*",
        "*)(|(uid=*",
        "*))%00",
    ]
    names += [
        "alice)(uid=alice",
        "alice)(objectClass=*",
        "*)(uid=admin)",
        "*)(userPassword=*)",
        "x)(|(mail=*)",
    ]
    names += [f"alice)(&(uid=alice)({name}=*)" for name in ("mail", "userPassword", "cn", "entryUUID")]
    names += [
        "alice\\",
        "alice\\2a",
        "\\2a",
        "\\2a\\29\\28uid=\\2a",
        "\\61lice",
        "al\\69ce",
        "\\00",
        "alice\\00",
    ]
    names += [
        "uid=alice",
        ALICE,
        f"{ALICE},",
        f"cn=reader,{BASE}",
        f"uid=alice+cn=x,{PEOPLE}",
        "dn:alice",
        "=alice",
    ]
    names += [
        "#616c696365",
        "#04056 16c696365",
        "alice,ou=people",
        'alice"',
        "alice;",
        "alice<",
        "alice>",
        "uid:=alice",
    ]
    names += [
        "(uid=alice)",
        "(|(uid=alice)(uid=bob))",
        "(!(uid=nobody))",
        "(&)",
        "(|)",
        "!(uid=x)",
        "&",
        "|",
        "!",
    ]
    names += [
        "alice\u0301",
        "\u00e1lice",
        "\uff41lice",
        "alic\u0435",
        "al\u00adice",
        "a\u200blice",
        "ALIC\u0130",
    ]
    names += [
        "\uff41lice@corp.example",
        "al\ufb01ce@corp.example",
        "a\u0301lice@corp.example",
        "@",
        "@corp.example",
    ]
    names += [
        "root",
        "cn=root",
        "reader",
        "anonymous",
        "belay-nobody",
        "cn=belay-nobody",
        "*@corp.example",
        "a" * 255,
    ]
    names += [
        "a" * 256,
        "*" * 255,
        "(" * 200,
        ")" * 200,
        "\\" * 200,
        "%2a",
        "%00",
        "&#42;",
        "\u0000*",
        "\xff\xfe",
    ]
    names += [f"alice{sign}@corp.example" for sign in '*()\\|&!=<>~,+"#; ']
    names += [f"*{sign}@corp.example" for sign in "()\\|&"]
    # White space around and full width are spellings of the same name in every realm.
    mine = ("alice", "alice@corp.example")
    return [name for name in dict.fromkeys(names) if normal_key(name) not in mine]


@once
def test_no_name_is_taken_for_a_filter(ctx: Context, corp: Realm) -> None:
    names = corpus()
    assert len(names) >= 200
    directory = DIRECTORIES["ldap"]

    def ask(name: str, password: str) -> Found:
        return directory.authenticate(ctx, corp, None, name, password)

    for name in names[: size(200, len(names))]:
        # The password is right for everybody here: whoever is found is in.
        found = ask(name, PASSWORD)
        assert not found.is_right and found.identity is None, name
        assert found.reason in ("unknown_user", "ambiguous_name"), (name, found.reason)
    pairs = [("alice)(uid=alice", "alice)(uid=nobody"), ("*)(mail=a*", "*)(mail=zz*"), ("al*", "zz*")]
    for one, other in pairs:
        assert ask(one, PASSWORD) == ask(other, PASSWORD)
    empties = ["", " ", "\0", "  \t", "\0\0", "\0x", "\r\n", "\u00a0", "\u3000", " \0 "]
    for name in ("alice", "bob", "reader", ALICE, "*", "", "nobody", f"cn=root,{BASE}"):
        for password in empties:
            assert not ask(name, password).is_right
    report("LDAP injection", tried=f"{len(names)} names, {8 * len(empties)} empty passwords", held="0 logins")


@once
def test_names_and_wrong_passwords_take_as_many_round_trips(ctx: Context, cast: Cast) -> None:
    found = ActiveDirectory(Member("alice", PASSWORD), Member("bob", PASSWORD, sub_code="775"))
    with listening(found.serve) as listener:
        realm = make_directory_realm(ctx.server, "corp", "ad", {"ldap": found.options(listener.port)})
        for name in ("alice", "bob", "nobody", "*", "\0", "a" * 300, "\u00e1lice"):
            found.requests.clear()
            assert not DIRECTORIES["ad"].authenticate(ctx, realm, None, name, "wrong").is_right
            assert found.requests == ["bind", "search", "bind"], name
        assert listener.accepted == 7


# --- Active Directory ------------------------------------------------------------------------------------------------

SUB_CODES = {
    "530": ("unauthorized", "logon_not_now"),
    "531": ("unauthorized", "logon_not_here"),
    "532": ("unauthorized", "password_expired"),
    "533": ("unauthorized", "account_disabled"),
    "701": ("unauthorized", "account_expired"),
    "773": ("unauthorized", "password_change_required"),
    "775": ("invalid_grant", "account_locked"),
}


@once
def test_what_active_directory_says_of_an_account(wire: Wire, server: Server, cast: Cast) -> None:
    """A right password is told what is wrong with the account, a wrong one nothing; a lock is told to nobody."""
    members = [Member(f"person{code}", PASSWORD, sub_code=code) for code in SUB_CODES]
    found = ActiveDirectory(*members, Member("flagged", PASSWORD, flags=514))
    with listening(found.serve) as listener:
        realm = make_directory_realm(server, "corp", "ad", {"ldap": found.options(listener.port)}, "app")
        for code, (error, reason) in SUB_CODES.items():
            answer = login(wire, f"person{code}")
            assert (answer.json["error"], wire.events()[-1].reason) == (error, reason)
            refused(login(wire, f"person{code}", "wrong"), 403, "invalid_grant", WRONG)
            assert wire.events()[-1].reason == ("account_locked" if code == "775" else "wrong_password")
        refused(login(wire, "flagged"), 401, "unauthorized", "user is blocked")
        for _ in range(12):  # a right password does not count, however often
            refused(login(wire, "person532"), 401, "unauthorized", "password must be changed")
    with server.db.read() as conn:
        assert users.count_users_of(conn, realm.id) == 0


def test_a_person_of_active_directory_has_the_id_of_the_entry(wire: Wire, server: Server, cast: Cast) -> None:
    alice = Member("alice", PASSWORD)
    found = ActiveDirectory(alice)
    with listening(found.serve) as listener:
        realm = make_directory_realm(server, "corp", "ad", {"ldap": found.options(listener.port)}, "app")
        token = wire.ok(login(wire, "alice", **FULL))["refresh_token"]
        known = person(server, realm, "alice")
        assert known.id == f"ad|corp|{alice.guid}" and known.name == "Alice of Corp"
        found.members = [replace(alice, name="alice2")]
        wire.ok(login(wire, "alice2"))
        assert person(server, realm, "alice2").id == known.id
        found.members = [replace(alice, flags=514)]
        with freeze_time(making.now() + timedelta(minutes=16)):
            refused(wire.refresh(token), 403, "unauthorized")


@once
def test_a_name_in_another_spelling_gives_no_further_guesses(ctx: Context, cast: Cast) -> None:
    """Active Directory takes é for e; each spelling would have its own ten guesses at one password."""
    found = ActiveDirectory(Member("alice", PASSWORD), Member("andr\u00e9", PASSWORD))
    with listening(found.serve) as listener:
        realm = make_directory_realm(ctx.server, "corp", "ad", {"ldap": found.options(listener.port)})
        ask = DIRECTORIES["ad"].authenticate
        for spelling in ("\u00e1lice", "al\u00efce", "andre", "andr\u00e8"):
            assert ask(ctx, realm, None, spelling, PASSWORD).reason == "unknown_user"
        for spelling in ("alice", "ALICE", "andr\u00e9", "andre\u0301", "ANDR\u00c9", " alice "):
            assert ask(ctx, realm, None, spelling, PASSWORD).is_right, spelling


# --- servers ---------------------------------------------------------------------------------------------------------


@once
def test_another_server_answers_for_one_that_is_down_or_hangs(
    wire: Wire, server: Server, cast: Cast, slapd: Slapd
) -> None:
    with listening(silence) as hanging:
        urls = ["ldap://127.0.0.1:1", f"ldap://127.0.0.1:{hanging.port}", slapd.url]
        make_directory_realm(
            server, "corp", "ldap", {"ldap": slapd.options(urls=urls, timeout_ms=900)}, "app"
        )
        for _ in range(FAILURES + 2):
            wire.ok(login(wire, "alice"))
            refused(login(wire, "alice", "wrong"), 403, "invalid_grant", WRONG)
        assert hanging.accepted == FAILURES  # then it is left alone for a while


def test_first_logins_at_once_make_one_person(server: Server, corp: Realm) -> None:
    def arrive(number: int) -> User:
        ctx = Context(server, making.now(), ip="", request_id=str(number))
        found = DIRECTORIES["ldap"].authenticate(ctx, corp, None, "alice", PASSWORD)
        return accounts.arrive(ctx, corp, found)

    with ThreadPoolExecutor(8) as pool:
        assert len({user.id for user in pool.map(arrive, range(8))}) == 1
    with server.db.read() as conn:
        assert users.count_users_of(conn, corp.id) == 1
    created = [e for e in Wire(server).events() if e.reason == "user_created"]
    assert len(created) == 1


def test_a_forgotten_password_of_a_directory_is_not_ours_to_change(wire: Wire, corp: Realm) -> None:
    wire.ok(login(wire, "alice"))
    answer = wire.post_json(
        "/dbconnections/change_password", client_id="app", connection="corp", email="alice@corp.example"
    )
    assert answer.status_code == 200
    assert (wire.events()[-1].type, wire.events()[-1].reason) == ("fcpr", "nobody_to_write_to")
    body = {"client_id": "app", "connection": "corp", "email": "new@corp.example", "password": PASSWORD}
    assert wire.post_json("/dbconnections/signup", **body).status_code == 400
