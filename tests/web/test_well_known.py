"""Discovery says what is served, and the keys verify what was signed."""

from joserfc import jwt as jose
from joserfc.jwk import KeySet

from app.grants import GRANTS
from tests.making import Cast
from tests.wire import FULL, Wire


def test_discovery_is_truthful(wire: Wire, cast: Cast) -> None:
    found = wire.ok(wire.get("/.well-known/openid-configuration"))
    assert found == wire.ok(wire.get("/.well-known/oauth-authorization-server"))
    assert found["issuer"] == "http://127.0.0.1:8000/"
    assert set(found["grant_types_supported"]) == set(GRANTS)
    for name in ("token", "userinfo", "mfa_challenge", "revocation"):
        path = found[f"{name}_endpoint"].removeprefix("http://127.0.0.1:8000")
        assert wire.client.post(path).status_code in (400, 401)
    assert "authorization_endpoint" not in found


def test_the_host_header_names_nothing(wire: Wire, cast: Cast) -> None:
    answer = wire.client.get("/.well-known/openid-configuration", headers={"Host": "evil.example"})
    assert "evil" not in answer.text


def test_another_library_verifies_with_the_published_keys(wire: Wire, cast: Cast) -> None:
    tokens = wire.login(cast.alice_totp, **FULL)
    published = wire.ok(wire.get("/.well-known/jwks.json"))
    assert all(key["kty"] == "RSA" and key["use"] == "sig" and key["kid"] for key in published["keys"])
    keys = KeySet.import_key_set(published)  # type: ignore[arg-type]
    for name in ("access_token", "id_token"):
        assert jose.decode(tokens[name], keys, algorithms=["RS256"]).claims["sub"] == cast.alice.id


def test_the_next_key_is_published_before_it_signs(wire: Wire, cast: Cast) -> None:
    answer = wire.get("/.well-known/jwks.json")
    assert len(wire.ok(answer)["keys"]) == 2
    assert answer.headers["Cache-Control"] == "public, max-age=300"
