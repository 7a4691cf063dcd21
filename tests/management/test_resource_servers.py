"""`/resource-servers`: APIs, as tools administer them."""

from urllib.parse import quote

import pytest

from app import accounts
from app.context import Context, Server
from app.errors import Conflict
from app.store.clients import Client
from tests.conftest import NOON
from tests.making import Cast
from tests.management.conftest import Admin, refused

IDENTIFIER = "https://api.example.com/things/v1"


def test_an_api_of_an_identifier_alone_has_the_recorded_defaults(admin: Admin) -> None:
    made = admin.post("/resource-servers", {"identifier": IDENTIFIER})
    assert len(made.pop("id")) == 24
    assert made == {
        "identifier": IDENTIFIER,
        "signing_alg": "RS256",
        "token_lifetime": 86400,
        "token_lifetime_for_web": 7200,
        "allow_offline_access": False,
        "skip_consent_for_verifiable_first_party_clients": False,
        "subject_type_authorization": {
            "client": {"policy": "require_client_grant"},
            "user": {"policy": "allow_all"},
        },
    }


@pytest.mark.parametrize(
    "spelled", [quote(IDENTIFIER, safe=""), quote(IDENTIFIER, safe=":"), quote(IDENTIFIER, safe=":/")]
)
def test_an_identifier_is_found_in_three_spellings(admin: Admin, cast: Cast, spelled: str) -> None:
    made = admin.post("/resource-servers", {"identifier": IDENTIFIER})
    assert admin.get(f"/resource-servers/{spelled}") == made
    changed = admin.patch(f"/resource-servers/{spelled}", {"token_lifetime": 600})
    assert changed == made | {"token_lifetime": 600}
    admin.delete(f"/resource-servers/{spelled}")
    assert admin.ask("GET", f"/resource-servers/{made['id']}").status_code == 404


def test_no_api_has_the_name_of_a_client(admin: Admin, server: Server, cast: Cast) -> None:
    """An ID token's audience is its client: an API of that name would take it for an access token."""
    refused(admin.ask("POST", "/resource-servers", {"identifier": "app"}), 400, "invalid_body")
    admin.post("/resource-servers", {"identifier": "till"})
    till = Client("till", "Till", "native", "none", NOON)
    with server.db.write() as conn, pytest.raises(Conflict) as refusal:
        accounts.create_client(conn, Context(server, NOON, ip=""), till)
    assert refusal.value.description == "till is the identifier of an API"
