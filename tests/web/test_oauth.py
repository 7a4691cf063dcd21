"""`/userinfo`, `/oauth/revoke`, and the client address."""

import pytest

from app import accounts
from app.accounts.policies import mode_only
from app.context import Context
from app.store import clients, realms
from tests import making
from tests.making import Cast
from tests.wire import APP, FULL, Wire, code_of, refused


def test_userinfo_opens_what_the_scopes_say_by_get_and_post(wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="openid profile email"))["access_token"]
    found = wire.ok(wire.get("/userinfo", token))
    assert found["sub"] == cast.bob.id and found["email"] == "bob@example.com"
    assert found["email_verified"] is True and found["nickname"] == "bob"
    assert found["updated_at"].endswith("Z")
    posted = wire.client.post("/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert wire.ok(posted) == found


def test_userinfo_takes_the_token_of_an_api_that_names_it(wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", **FULL))["access_token"]
    assert wire.ok(wire.get("/userinfo", token))["sub"] == cast.bob.id


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c"])
def test_userinfo_refuses_every_bad_token_alike(wire: Wire, cast: Cast, token: str | None) -> None:
    answer = wire.get("/userinfo", token)
    refused(answer, 401, "invalid_token", "Unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_userinfo_needs_openid(wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="profile"))["access_token"]
    refused(wire.get("/userinfo", token), 403, "insufficient_scope")


def test_an_offboarded_holder_is_refused_at_once(wire: Wire, cast: Cast, ctx: Context) -> None:
    tokens = [
        wire.ok(wire.password("bob@example.com", **extra))["access_token"]
        for extra in (FULL, {"scope": "openid"})
    ]

    def holds() -> list[int]:
        return [wire.get("/userinfo", token).status_code for token in tokens]

    assert holds() == [200, 200]
    for is_enabled, status in ((False, 401), (True, 200)):
        with wire.server.db.write() as conn:
            clients.update_client(conn, "app", is_enabled=is_enabled)
        assert holds() == [status, status]
    for is_enabled, status in ((False, 401), (True, 200)):
        with wire.server.db.write() as conn:
            realms.update_realm(conn, cast.staff.id, is_enabled=is_enabled)
        assert holds() == [status, status]
    with wire.server.db.write() as conn:
        accounts.set_blocked(conn, ctx, cast.bob, True)
    assert holds() == [401, 401]


def test_revoking_ends_the_family_and_its_opaque_token(wire: Wire, cast: Cast) -> None:
    tokens = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    done = wire.post("/oauth/revoke", token=tokens["refresh_token"], **APP)
    assert (done.status_code, done.data) == (200, b"")
    refused(wire.refresh(tokens["refresh_token"]), 403, "invalid_grant", "Unknown or invalid refresh token.")
    refused(wire.get("/userinfo", tokens["access_token"]), 401, "invalid_token")
    assert [event.type for event in wire.events()][-2:] == ["srrt", "fertft"]


def test_revoking_an_unknown_or_foreign_token_is_a_silent_success(wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="offline_access"))["refresh_token"]
    mallory = {"client_id": "mallory", "client_secret": making.MALLORY_SECRET}
    for presented in (token, "v1.unknown", "x"):
        assert wire.post("/oauth/revoke", token=presented, token_type_hint="x", **mallory).status_code == 200
    wire.ok(wire.refresh(token))


def test_revoking_needs_a_client_and_a_token(wire: Wire, cast: Cast) -> None:
    refused(wire.post("/oauth/revoke", token="x", client_id="app", client_secret="no"), 401, "invalid_client")
    refused(wire.post("/oauth/revoke", **APP), 400, "invalid_request", "Missing required parameter: token")


def last_ip(wire: Wire) -> str:
    return wire.events()[-1].ip


def test_a_forwarded_address_counts_only_from_a_trusted_client_with_its_secret(
    wire: Wire, cast: Cast
) -> None:
    header = {"auth0-forwarded-for": "203.0.113.7"}
    wire.password(headers=header)
    assert last_ip(wire) == "127.0.0.1"
    with wire.server.db.write() as conn:
        for client_id in ("app", "phone-app"):
            clients.update_client(conn, client_id, trusts_forwarded_ip=True)
    wire.password(headers=header)
    assert last_ip(wire) == "203.0.113.7"
    public = {"grant_type": "password", "username": "alice", "password": "x", "client_id": "phone-app"}
    wire.post("/oauth/token", headers=header, **public)
    assert last_ip(wire) == "127.0.0.1"
    for nonsense in ("203.0.113.7, 10.0.0.1", "localhost", "300.1.1.1"):
        wire.password(headers={"auth0-forwarded-for": nonsense})
        assert last_ip(wire) == "127.0.0.1"


def test_a_login_for_own_factors_needs_the_factor_even_where_the_realm_asks_none(
    wire: Wire, cast: Cast
) -> None:
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only("never"))
    wire.ok(wire.password())
    token = wire.mfa_token(audience="http://127.0.0.1:8000/mfa/")
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
