"""`/clients`: applications, as tools administer them."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from freezegun.api import FrozenDateTimeFactory

from app.grants.client_auth import ASSERTION_TYPE
from tests import making
from tests.jose import assertion, private_key, public_pem
from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire


@pytest.mark.parametrize("written", [None, {"lifetime_in_seconds": 600}, {"alg": "RS256"}, {"alg": "PS256"}])
def test_what_nobody_wrote_of_its_tokens_is_not_shown(admin: Admin, written: dict[str, Any] | None) -> None:
    body: dict[str, Any] = {"name": "Back office"} | ({"jwt_configuration": written} if written else {})
    made = admin.post("/clients", body)
    shown = admin.get(f"/clients/{made['client_id']}")
    defaults = {"secret_encoded": False, "lifetime_in_seconds": 36000}
    assert shown["jwt_configuration"] == defaults | (written or {}) == made["jwt_configuration"]


def test_a_kind_of_application_that_nobody_said_is_not_shown(admin: Admin) -> None:
    made = admin.post("/clients", {"name": "Back office"})
    assert "app_type" not in made and made["token_endpoint_auth_method"] == "client_secret_post"
    path = f"/clients/{made['client_id']}"
    assert "app_type" not in admin.patch(path, {"description": "Internal"})
    assert admin.patch(path, {"app_type": "spa"})["app_type"] == "spa" == admin.get(path)["app_type"]


def test_a_key_of_an_application_counts_until_it_expires(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    making.make_client(wire.server, "signer", realm_names=("staff",), auth_method="private_key_jwt")
    key = {
        "credential_type": "public_key",
        "pem": public_pem("signer"),
        "expires_at": "2026-11-23T12:30:00.000Z",
    }
    made = admin.post("/clients/signer/credentials", key)
    assert made["expires_at"] == key["expires_at"]

    def logs_in() -> bool:
        now = int(making.now().timestamp())
        proof = {"client_assertion": assertion(exp=now + 60), "client_assertion_type": ASSERTION_TYPE}
        sent = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | proof
        return wire.post("/oauth/token", **sent).status_code == 200

    path = f"/clients/signer/credentials/{made['id']}"

    def changed(body: dict[str, Any]) -> dict[str, Any]:
        answer = admin.ask("PATCH", path, body)
        assert answer.status_code == 201 and answer.json is not None, answer.text
        return dict(answer.json)

    assert logs_in()
    clock.tick(1801)
    assert not logs_in()
    later = "2026-11-24T12:00:00.000Z"
    assert changed({"expires_at": later})["expires_at"] == later
    assert admin.get(path)["expires_at"] == later and logs_in()
    refused(admin.ask("PATCH", path, {"expires_at": "2020-01-01T00:00:00Z"}), 400, "invalid_body")
    assert "expires_at" not in changed({"expires_at": None})
    clock.tick(timedelta(days=400))
    assert logs_in()


def test_an_expiry_is_read_from_a_certificate(admin: Admin, wire: Wire, cast: Cast) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    end = making.now().replace(microsecond=0) + timedelta(days=3)
    building = x509.CertificateBuilder(name, name, private_key("signer").public_key(), 1)
    building = building.not_valid_before(end - timedelta(days=9)).not_valid_after(end)
    pem = building.sign(private_key("signer"), hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    key = {"credential_type": "public_key", "pem": pem, "parse_expiry_from_cert": True}
    made = admin.post("/clients/app/credentials", key)
    assert made["expires_at"] == end.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    plain = key | {"pem": public_pem("signer")}
    refused(admin.ask("POST", "/clients/app/credentials", plain), 400, "invalid_body")
