"""Refresh: rotation, leeway, lifetimes, and the policy asked again. Races are in tests/races."""

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory

from app import accounts
from app.accounts.policies import mode_only
from app.context import Context
from app.store import clients, realms, users
from tests.making import Cast
from tests.wire import FULL, PHONE_APP, Wire, code_of, refused

UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


def bobs(wire: Wire, **members: str) -> str:
    return str(wire.ok(wire.password("bob@example.com", **(FULL | members)))["refresh_token"])


def test_a_refresh_answers_everything_again_and_rotates(wire: Wire, cast: Cast) -> None:
    first = bobs(wire)
    tokens = wire.ok(wire.refresh(first))
    assert tokens["scope"] == FULL["scope"] and tokens["refresh_token"] != first
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["gty"] == ["refresh_token", "password"]
    wire.ok(wire.refresh(tokens["refresh_token"]))


def test_what_was_proven_survives_unchanged(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    tokens = wire.login(cast.alice_totp, **FULL)
    before = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    clock.tick(3600)
    again = wire.ok(wire.refresh(tokens["refresh_token"]))
    after = jwt.decode(again["id_token"], options={"verify_signature": False})
    assert [after[name] for name in ("amr", "acr", "auth_time")] == [
        before[name] for name in ("amr", "acr", "auth_time")
    ]


def test_a_scope_can_only_shrink(wire: Wire, cast: Cast) -> None:
    narrowed = wire.ok(wire.refresh(bobs(wire), scope="openid profile write:things"))
    assert narrowed["scope"] == "openid profile"
    whole = wire.ok(wire.refresh(narrowed["refresh_token"]))
    assert whole["scope"] == FULL["scope"]


def test_reuse_ends_the_family(wire: Wire, cast: Cast) -> None:
    first = bobs(wire)
    second = wire.ok(wire.refresh(first))["refresh_token"]
    refused(wire.refresh(first), *UNKNOWN)
    refused(wire.refresh(second), *UNKNOWN)
    assert [event.type for event in wire.events()][-3:] == ["sertft", "ferrt", "fertft"]


def test_within_the_leeway_the_parent_gets_the_same_successor(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", refresh_leeway_seconds=10)
    first = bobs(wire)
    second = wire.ok(wire.refresh(first))["refresh_token"]
    assert wire.ok(wire.refresh(first))["refresh_token"] == second
    third = wire.ok(wire.refresh(second))["refresh_token"]
    clock.tick(10)
    refused(wire.refresh(second), *UNKNOWN)
    refused(wire.refresh(third), *UNKNOWN)


def test_within_the_leeway_a_grandparent_is_reuse(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", refresh_leeway_seconds=10)
    first = bobs(wire)
    second = wire.ok(wire.refresh(first))["refresh_token"]
    third = wire.ok(wire.refresh(second))["refresh_token"]
    refused(wire.refresh(first), *UNKNOWN)
    refused(wire.refresh(third), *UNKNOWN)


def test_it_runs_out_idle_and_at_last(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    idle = bobs(wire)
    clock.tick(1296000)
    refused(wire.refresh(idle), *UNKNOWN)
    token = bobs(wire)
    for _ in range(3):  # kept in use, but the lifetime of the first token stands
        clock.tick(800000)
        token = wire.ok(wire.refresh(token))["refresh_token"]
    clock.tick(192000)
    refused(wire.refresh(token), *UNKNOWN)


@pytest.mark.parametrize("text", ["", "v1.", "x" * 67, "v1." + "A" * 63, "v1." + "é" * 64, "v1." + "A" * 64])
def test_what_never_was_a_refresh_token_is_unknown(wire: Wire, cast: Cast, text: str) -> None:
    answer = wire.refresh(text or "v2.x")
    refused(answer, *UNKNOWN)


def test_another_client_cannot_use_or_end_it(wire: Wire, cast: Cast) -> None:
    token = bobs(wire)
    foreign = wire.post("/oauth/token", grant_type="refresh_token", refresh_token=token, **PHONE_APP)
    refused(foreign, *UNKNOWN)
    wire.ok(wire.refresh(token))


def test_a_client_without_rotation_keeps_its_token(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", refresh_rotates=False)
    token = bobs(wire)
    assert "refresh_token" not in wire.ok(wire.refresh(token))
    wire.ok(wire.refresh(token))


def test_a_deleted_or_blocked_person_is_told_apart(wire: Wire, cast: Cast, ctx: Context) -> None:
    blocked, deleted = bobs(wire), bobs(wire)
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.bob.id, is_blocked=True)
    refused(wire.refresh(blocked), 403, "unauthorized", "user is blocked")
    with wire.server.db.write() as conn:
        users.remove_user(conn, cast.bob.id)
    text = "The refresh_token was generated for a user who doesn't exist anymore."
    refused(wire.refresh(deleted), 403, "invalid_grant", text)


def test_a_changed_password_and_a_reset_end_every_token(wire: Wire, cast: Cast, ctx: Context) -> None:
    token = bobs(wire)
    new_hash = accounts.hash_new_password(wire.server, "a new password")
    with wire.server.db.write() as conn:
        accounts.set_password(conn, ctx, cast.bob, new_hash)
    refused(wire.refresh(token), *UNKNOWN)


def test_a_policy_that_became_stricter_asks_at_the_refresh(wire: Wire, cast: Cast) -> None:
    token = bobs(wire)
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only("always"))
    answer = wire.refresh(token)
    refused(answer, 403, "mfa_required")
    assert answer.json is not None
    enrolled = wire.ok(wire.associate(answer.json["mfa_token"]))
    done = wire.ok(wire.otp(answer.json["mfa_token"], code_of(enrolled["secret"])))
    assert wire.ok(wire.refresh(done["refresh_token"]))["scope"] == FULL["scope"]
