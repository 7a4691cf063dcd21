"""Every token that opens a second step, at every door that is not its own (T18, T20)."""

import string
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import Connection
from werkzeug.test import TestResponse

from app import accounts
from app.context import Context, Server
from app.crypto import random_id
from app.store import authenticators, clients, realms
from app.store.users import User
from tests import making
from tests.conftest import NOON
from tests.evidence import report, size
from tests.making import API, CAROLS_PASSWORD, MALLORY_SECRET, Cast
from tests.wire import APP, FULL, PHONE_APP, Wire, bearer, code_of, refused, told

MFA = "http://127.0.0.1:8000/mfa/"
SCOPE = "enroll read:authenticators remove:authenticators"
MALLORY = {"client_id": "mallory", "client_secret": MALLORY_SECRET}
CLIENTS: dict[str, dict[str, Any]] = {"app": APP, "phone-app": PHONE_APP, "mallory": MALLORY}
BAD_BEARER = "The mfa_token provided is invalid. Try getting a new token."


def as_client(name: str) -> dict[str, Any]:
    """What replaces the confidential client that requests name unless told otherwise."""
    return {"client_secret": ""} | CLIENTS[name]


def challenge(wire: Wire, token: str, client: str = "app", **members: Any) -> TestResponse:
    return wire.post_json("/mfa/challenge", mfa_token=token, **(as_client(client) | members))


def malformed(answer: TestResponse) -> None:
    refused(answer, 403, "invalid_grant", "Malformed mfa_token")


def no_bearer(answer: TestResponse) -> None:
    refused(answer, 401, "invalid_grant", BAD_BEARER)


def ids_of(server: Server, user: User) -> list[str]:
    with server.db.read() as conn:
        return [found.id for found in authenticators.list_authenticators(conn, user.id)]


def own(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory, scope: str = SCOPE, client: str = "app") -> str:
    """Alice's token for her own factors, proven by her code; the next code is there afterwards."""
    members = {"audience": MFA, "scope": scope} | as_client(client)
    token = wire.mfa_token(**members)
    found = wire.ok(wire.otp(token, code_of(cast.alice_totp), **as_client(client)))
    clock.tick(30)
    return str(found["access_token"])


def bobs(wire: Wire) -> str:
    """Bob's token for his own factors, for which his password was enough."""
    return str(wire.ok(wire.password("bob@example.com", audience=MFA, scope=SCOPE))["access_token"])


# --- whose and what for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "thief"), [(a, b) for a, b in product(CLIENTS, CLIENTS) if a != b])
def test_a_token_is_its_clients_own(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory, owner: str, thief: str
) -> None:
    code = code_of(cast.alice_totp)
    sealed = wire.mfa_token(**as_client(owner))
    for answer in (
        wire.otp(sealed, code, **as_client(thief)),
        wire.recovery(sealed, cast.alice_recovery, **as_client(thief)),
        challenge(wire, sealed, thief),
    ):
        refused(answer, 400, "invalid_request", "mfa_token not issued to this client")
    wire.ok(wire.otp(sealed, code, **as_client(owner)))
    clock.tick(30)
    token, code = own(wire, cast, clock, client=owner), code_of(cast.alice_totp)
    refused(
        wire.otp(token, code, **as_client(thief)),
        400,
        "invalid_request",
        "mfa_token not issued to this client",
    )
    malformed(challenge(wire, token, thief))
    wire.ok(wire.otp(token, code, **as_client(owner)))


def test_a_client_that_names_itself_beside_a_bearer_must_be_the_tokens(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token, body = own(wire, cast, clock), {"authenticator_types": ["otp"]}

    def associate(**members: Any) -> TestResponse:
        return wire.client.post("/mfa/associate", json=body | members, headers=bearer(token))

    client: dict[str, Any]
    for client in (MALLORY, PHONE_APP, {"client_id": "mallory"}, {"client_id": "nobody"}):
        refused(associate(**client), 400, "invalid_request", "mfa_token not issued to this client")
    refused(associate(client_id="app", client_secret="x"), 401, "access_denied", "Unauthorized")
    refused(associate(client_id="mallory", client_secret="x"), 401, "access_denied", "Unauthorized")
    for client in (APP, {"client_id": "app"}, {"client_id": None}, {}):
        assert associate(**client).status_code == 200


def test_an_mfa_token_opens_nothing_but_the_second_step(wire: Wire, server: Server, cast: Cast) -> None:
    sealed = wire.mfa_token(**FULL)
    userinfo = wire.get("/userinfo", sealed)
    refused(userinfo, 401, "invalid_token", "Unauthorized")
    assert told(userinfo) == told(wire.get("/userinfo", "nobody's"))
    refused(wire.refresh(sealed), 403, "invalid_grant", "Unknown or invalid refresh token.")
    for found in ids_of(server, cast.alice):
        no_bearer(wire.delete(found, sealed))
    refused(wire.associate(sealed), 403, "access_denied", "User is already enrolled.")
    assert len(wire.ok_list(wire.get("/mfa/authenticators", sealed))) == 2
    wire.ok(challenge(wire, sealed))
    wire.ok(wire.otp(sealed, code_of(cast.alice_totp)))


def test_no_other_token_is_an_mfa_token(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    full = wire.login(cast.alice_totp, **FULL)
    clock.tick(30)
    opaque = wire.ok(wire.password("bob@example.com", scope="openid"))["access_token"]
    reading = own(wire, cast, clock, "read:authenticators remove:authenticators")
    for token in (*(full[name] for name in ("access_token", "id_token", "refresh_token")), opaque, reading):
        malformed(wire.otp(token, code_of(cast.alice_totp)))
        malformed(wire.recovery(token, cast.alice_recovery))
        malformed(challenge(wire, token))
        if token != reading:
            no_bearer(wire.get("/mfa/authenticators", token))
            no_bearer(wire.associate(token))
    malformed(challenge(wire, own(wire, cast, clock)))
    wire.ok(wire.recovery(wire.mfa_token(), cast.alice_recovery))


def test_what_the_second_request_says_besides_is_ignored(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    wider = {"scope": "openid profile email offline_access read:things write:things", "audience": MFA}
    other = {
        "username": "bob@example.com",
        "user_id": cast.bob.id,
        "sub": cast.bob.id,
        "realm": "guests",
        "connection": "x",
    }
    more = {"password": "x", "resource": "x", "amr": "mfa", "expires_in": "999999", "gty": "x", "token": "x"}
    sealed = wire.mfa_token(audience=API, scope="openid read:things")
    tokens = wire.ok(wire.otp(sealed, code_of(cast.alice_totp), **wider, **other, **more))
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (
        claims["sub"] == cast.alice.id
        and claims["scope"] == "openid read:things"
        and claims["gty"] == "password"
    )
    assert claims["aud"][0] == API and claims["exp"] - claims["iat"] == 86400 == tokens["expires_in"]
    assert "refresh_token" not in tokens
    assert set(wire.ok(wire.get("/userinfo", tokens["access_token"]))) == {"sub"}


def test_a_code_is_its_owners_own(wire: Wire, server: Server, cast: Cast) -> None:
    bobs_secret = making.enroll_totp(server, cast.bob)
    carols_secret = making.enroll_totp(server, cast.carol)
    alices, bobs_token = wire.mfa_token(), wire.mfa_token("bob@example.com")
    carols = wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")
    codes = {alices: cast.alice_totp, bobs_token: bobs_secret, carols: carols_secret}
    for token, secret in product(codes, codes.values()):
        if codes[token] != secret:
            refused(
                wire.otp(token, code_of(secret), realm="staff"), 403, "invalid_grant", "Invalid otp_code."
            )
    for token in (bobs_token, carols):
        refused(wire.recovery(token, cast.alice_recovery), 403, "unsupported_challenge_type")
    for token, secret in codes.items():
        wire.ok(wire.otp(token, code_of(secret)))


# --- how long ------------------------------------------------------------------------------------------------------


def test_an_mfa_token_lives_for_ten_minutes(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    token = own(wire, cast, clock)
    sealed, in_time = wire.mfa_token(), wire.mfa_token()
    clock.tick(569)
    assert wire.get("/mfa/authenticators", token).status_code == 200
    clock.tick(1)
    for answer in (wire.otp(token, code_of(cast.alice_totp)), wire.recovery(token, cast.alice_recovery)):
        refused(answer, 403, "expired_token", "mfa_token is expired")
    clock.tick(29)
    wire.ok(wire.otp(in_time, code_of(cast.alice_totp)))
    clock.tick(1)
    for answer in (
        wire.otp(sealed, code_of(cast.alice_totp)),
        wire.recovery(sealed, "x"),
        challenge(wire, sealed),
    ):
        refused(answer, 403, "expired_token", "mfa_token is expired")
    for old in (token, sealed):
        no_bearer(wire.get("/mfa/authenticators", old))
        no_bearer(wire.associate(old))
        no_bearer(wire.delete("totp|dev_x", old))


def test_a_used_mfa_token_is_like_none(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    for is_otp in (True, False):
        sealed, code = wire.mfa_token(), code_of(cast.alice_totp)
        wire.ok(wire.otp(sealed, code) if is_otp else wire.recovery(sealed, cast.alice_recovery))
        clock.tick(30)
        for token in (sealed, "nobody's", sealed + "x", sealed[:-1], sealed.swapcase(), "x" * 43):
            malformed(wire.otp(token, code_of(cast.alice_totp)))
            malformed(wire.recovery(token, cast.alice_recovery))
            malformed(challenge(wire, token))
            no_bearer(wire.get("/mfa/authenticators", token))
            no_bearer(wire.associate(token))


def change_password(conn: Connection, ctx: Context, cast: Cast) -> None:
    accounts.set_password(conn, ctx, cast.alice, accounts.hash_new_password(ctx.server, "another password"))


def disable_client(conn: Connection, ctx: Context, cast: Cast) -> None:
    clients.update_client(conn, "app", is_enabled=False)


def disable_realm(conn: Connection, ctx: Context, cast: Cast) -> None:
    realms.update_realm(conn, cast.staff.id, is_enabled=False)


ENDINGS: dict[str, Callable[[Connection, Context, Cast], object]] = {
    "password changed": change_password,
    "blocked": lambda conn, ctx, cast: accounts.set_blocked(conn, ctx, cast.alice, True),
    "factors reset": lambda conn, ctx, cast: accounts.reset_factors(conn, ctx, cast.alice),
    "person removed": lambda conn, ctx, cast: accounts.remove_user(conn, ctx, cast.alice),
    "access ended": lambda conn, ctx, cast: accounts.end_access(conn, ctx, cast.alice),
    "client disabled": disable_client,
    "client removed": lambda conn, ctx, cast: clients.remove_client(conn, "app"),
    "realm disabled": disable_realm,
    "realm closed to the client": lambda conn, ctx, cast: realms.set_clients_of(
        conn, cast.staff.id, ["mallory"]
    ),
    "realm removed": lambda conn, ctx, cast: realms.remove_realm(conn, cast.staff.id),
}


# What is signed lives on until it runs out, unless the person, the client or the realm is shut out.
_SIGNED = ("userinfo", "token otp", "token recovery", "token list", "token associate", "token delete")
LASTING = {"access ended": _SIGNED}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_ends_access_ends_the_second_step(
    wire: Wire, ctx: Context, cast: Cast, clock: FrozenDateTimeFactory, ending: str
) -> None:
    userinfo = wire.login(cast.alice_totp, **FULL)["access_token"]
    clock.tick(30)
    token, sealed = own(wire, cast, clock), wire.mfa_token()
    code, recovery = code_of(cast.alice_totp), cast.alice_recovery
    doors: dict[str, Callable[[], TestResponse]] = {
        "userinfo": partial(wire.get, "/userinfo", userinfo),
        "challenge": partial(challenge, wire, sealed),
    }
    for name, text in {"sealed": sealed, "token": token}.items():
        doors |= {
            f"{name} otp": partial(wire.otp, text, code),
            f"{name} recovery": partial(wire.recovery, text, recovery),
            f"{name} list": partial(wire.get, "/mfa/authenticators", text),
            f"{name} associate": partial(wire.associate, text),
            f"{name} delete": partial(wire.delete, "totp|dev_x", text),
        }
    assert doors["userinfo"]().status_code == doors["challenge"]().status_code == 200
    with ctx.db.write() as conn:
        ENDINGS[ending](conn, replace(ctx, now=making.now()), cast)
    heard = {name: door().status_code for name, door in doors.items() if name not in LASTING.get(ending, ())}
    assert set(heard.values()) <= {400, 401, 403}, heard
    bearers = {status for name, status in heard.items() if name.split()[-1] in ("userinfo", "list", "delete")}
    assert bearers == {401}, heard


def test_being_unblocked_brings_no_login_back(wire: Wire, ctx: Context, cast: Cast) -> None:
    sealed = wire.mfa_token()
    for is_blocked in (True, False):
        with ctx.db.write() as conn:
            accounts.set_blocked(conn, ctx, cast.alice, is_blocked)
    malformed(wire.otp(sealed, code_of(cast.alice_totp)))
    no_bearer(wire.get("/mfa/authenticators", sealed))
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))


# --- managing factors ----------------------------------------------------------------------------------------------


def test_only_a_proven_factor_manages_factors(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    by_password = bobs(wire)
    pending = wire.ok(wire.associate(by_password))
    making.enroll_totp(server, cast.bob)  # Bob himself was faster than whoever knows his password
    before = ids_of(server, cast.bob)
    refused(wire.associate(by_password), 403, "access_denied", "User is already enrolled.")
    for found in before:
        refused(wire.delete(found, by_password), 403, "access_denied")
    for token in (by_password, wire.mfa_token("bob@example.com")):
        refused(wire.otp(token, code_of(pending["secret"])), 403, "invalid_grant", "Invalid otp_code.")
        refused(wire.recovery(token, pending["recovery_codes"][0]), 403, "unsupported_challenge_type")
    listed = {a["id"]: a["active"] for a in wire.ok_list(wire.get("/mfa/authenticators", by_password))}
    assert list(listed.values()).count(True) == 1 and not listed[pending["id"]]
    assert ids_of(server, cast.bob) == before


def test_a_proven_factor_manages_factors(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    """The control of the refusals here."""
    token = own(wire, cast, clock)
    new = wire.ok(wire.associate(token))
    wire.ok(wire.otp(token, code_of(new["secret"])))
    assert wire.delete(new["id"], token).status_code == 204
    refused(wire.delete(new["id"], token), 404, "not_found")
    first = bobs(wire)
    pending = wire.ok(wire.associate(first))
    assert wire.delete(pending["id"], first).status_code == 204 and ids_of(server, cast.bob) == []


def test_a_token_manages_what_its_scope_says(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    verbs: dict[str, Callable[[str], TestResponse]] = {
        "enroll": wire.associate,
        "read:authenticators": lambda token: wire.get("/mfa/authenticators", token),
        "remove:authenticators": lambda token: wire.delete("totp|dev_nobody", token),
    }
    for scope in verbs:
        token = own(wire, cast, clock, scope)
        for needed, verb in verbs.items():
            answer = verb(token)
            if needed == scope:
                assert answer.status_code in (200, 404), answer.text
            else:
                refused(answer, 403, "insufficient_scope", f"Insufficient scope, expected: {needed}")


def neighbours(found: str) -> list[str]:
    """Ids near one that exists."""
    kind, _, name = found.partition("|")
    near = [f"{kind}|{name[:-1]}{c}" for c in string.ascii_letters + string.digits if c != name[-1]]
    near += [
        found.upper(),
        found.lower(),
        found.swapcase(),
        found + " ",
        " " + found,
        found + "x",
        found[:-1],
        name,
    ]
    near += [f"{other}|{name}" for other in ("totp", "otp", "sms", "recovery-code", "") if other != kind]
    return near + [
        f"{found}%",
        f"{kind}|%",
        "%",
        "*",
        "_" * len(found),
        f"{found}' OR '1'='1",
        f"{found}|{name}",
        f"./{found}",
    ]


@pytest.mark.slow
def test_foreign_authenticators_look_missing(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    making.enroll_totp(server, cast.bob)
    making.enroll_totp(server, cast.carol)
    making.give_recovery_code(server, cast.bob, "Z" * 24)
    foreign = ids_of(server, cast.bob) + ids_of(server, cast.carol)
    mine, token, sealed = ids_of(server, cast.alice), own(wire, cast, clock), wire.mfa_token()
    tried = [*foreign, *[near for found in foreign + mine for near in neighbours(found)]]
    tried += [f"totp|dev_{random_id()}" for _ in range(size(200, 10_000))]
    assert len(foreign) == 3 and not set(mine) & set(tried)
    removals, challenges = set[str](), set[str]()
    for found in tried:
        answer = wire.delete(found, token)
        refused(answer, 404, "not_found")
        removals.add(told(answer))
        answer = challenge(wire, sealed, authenticator_id=found)
        refused(answer, 403, "invalid_grant")
        challenges.add(told(answer))
    assert len(removals) == len(challenges) == 1
    assert (
        ids_of(server, cast.alice) == mine
        and ids_of(server, cast.bob) + ids_of(server, cast.carol) == foreign
    )
    report(
        "authenticator ids of others", tried=f"{len(tried)} ids x 2 doors", held="0 found, one text a door"
    )
    wire.ok(
        challenge(wire, sealed, authenticator_id=next(found for found in mine if found.startswith("totp")))
    )
    app_first = sorted(mine, reverse=True)  # the recovery code goes with the last factor
    assert [wire.delete(found, token).status_code for found in app_first] == [204, 404]


def test_the_clock_of_these_tests_is_the_servers(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    claims = jwt.decode(own(wire, cast, clock), options={"verify_signature": False})
    assert claims["iat"] == int(NOON.timestamp()) and claims["exp"] - claims["iat"] == 600
