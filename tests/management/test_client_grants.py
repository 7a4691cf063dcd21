"""`/client-grants`: what applications may ask of APIs for themselves."""

import jwt
import pytest
from werkzeug.test import TestResponse

from tests.making import API, MALLORY_SECRET, Cast
from tests.management.conftest import Admin, refused
from tests.wire import FULL, Wire, code_of
from tests.wire import refused as denied


def test_all_scopes_are_those_that_the_api_has_at_the_time(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/client-grants", {"client_id": "app", "audience": API, "scope": ["read:things"]})
    path = f"/client-grants/{made['id']}"

    def granted() -> str:
        return str(wire.ok(wire.token(grant_type="client_credentials", audience=API))["scope"])

    assert granted() == "read:things"
    everything = admin.patch(path, {"allow_all_scopes": True})
    assert "scope" not in everything and everything["allow_all_scopes"] is True
    assert admin.get(path) == everything and admin.get("/client-grants", client_id="app") == [everything]
    assert granted() == "read:things write:things"
    admin.patch(f"/resource-servers/{API}", {"scopes": [{"value": "read:things"}, {"value": "burn:things"}]})
    assert granted() == "read:things burn:things"
    narrowed = admin.patch(path, {"allow_all_scopes": False, "scope": []})
    assert (narrowed["scope"], narrowed["allow_all_scopes"]) == ([], False)
    refusal = wire.token(grant_type="client_credentials", audience=API, scope="read:things")
    assert refusal.status_code == 403


def test_a_client_has_one_grant_for_itself_and_one_for_people(admin: Admin, cast: Cast) -> None:
    body = {"client_id": "app", "audience": API, "scope": []}
    own = admin.post("/client-grants", body)
    for_people = admin.post("/client-grants", body | {"subject_type": "user"})
    assert (own["subject_type"], for_people["subject_type"]) == ("client", "user")
    for subject_type, grant in (("client", own), ("user", for_people)):
        refused(
            admin.ask("POST", "/client-grants", body | {"subject_type": subject_type}),
            409,
            "client_grant_conflict",
        )
        assert admin.get("/client-grants", client_id="app", subject_type=subject_type) == [grant]
    refused(admin.ask("GET", "/client-grants", subject_type="nobody"), 400, "invalid_query_string")


def subjects(admin: Admin, **policies: str) -> None:
    written = {kind: {"policy": policy} for kind, policy in policies.items()}
    changed = admin.patch(f"/resource-servers/{API}", {"subject_type_authorization": written})
    assert changed["subject_type_authorization"].items() >= written.items()


DENIED = f"Client is not authorized to access {API}."


def test_an_api_may_be_closed_to_clients_for_themselves(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.post("/client-grants", {"client_id": "app", "audience": API, "scope": ["read:things"]})
    asked = {"grant_type": "client_credentials", "audience": API}
    assert wire.token(**asked).status_code == 200
    subjects(admin, client="deny_all")
    denied(wire.token(**asked), 403, "access_denied", DENIED)
    assert wire.password("bob@example.com", audience=API).status_code == 200
    subjects(admin, client="require_client_grant")
    assert wire.token(**asked).status_code == 200


@pytest.mark.parametrize("policy", ["deny_all", "require_client_grant"])
def test_an_api_may_be_closed_to_people_at_every_step(
    admin: Admin, wire: Wire, cast: Cast, policy: str
) -> None:
    """A grant that a client has for itself opens nothing for people."""
    admin.post("/client-grants", {"client_id": "app", "audience": API, "scope": ["read:things"]})
    refresh_token = wire.ok(wire.password("bob@example.com", **FULL))["refresh_token"]
    mfa_token = wire.mfa_token(**FULL)
    subjects(admin, user=policy)
    denied(wire.password("bob@example.com", **FULL), 403, "access_denied", DENIED)
    denied(wire.otp(mfa_token, code_of(cast.alice_totp)), 403, "access_denied", DENIED)
    denied(wire.refresh(refresh_token), 403, "access_denied", DENIED)
    assert wire.password("bob@example.com").status_code == 200, "userinfo is nobody's API"
    subjects(admin, user="allow_all")
    assert wire.ok(wire.refresh(refresh_token))["scope"] == FULL["scope"], "nothing was used up"
    assert wire.otp(mfa_token, code_of(cast.alice_totp)).status_code == 200


def test_a_grant_for_people_bounds_what_a_client_asks_for_them(admin: Admin, wire: Wire, cast: Cast) -> None:
    subjects(admin, user="require_client_grant")
    body = {"client_id": "app", "audience": API, "subject_type": "user"}
    grant = admin.post("/client-grants", body | {"scope": ["read:things", "write:things"]})
    wanted = {"audience": API, "scope": "offline_access read:things write:things"}

    def given(answer: TestResponse) -> str:
        token = jwt.decode(wire.ok(answer)["access_token"], options={"verify_signature": False})
        return str(token["scope"])

    first = wire.password("bob@example.com", **wanted)
    assert given(first) == "offline_access read:things write:things"
    mfa_token = wire.mfa_token(**wanted)
    admin.patch(f"/client-grants/{grant['id']}", {"scope": ["read:things"]})
    assert given(wire.password("bob@example.com", **wanted)) == "offline_access read:things"
    assert given(wire.refresh(wire.ok(first)["refresh_token"])) == "offline_access read:things"
    assert given(wire.otp(mfa_token, code_of(cast.alice_totp))) == "offline_access read:things"
    denied(
        wire.password("bob@example.com", client_id="mallory", client_secret=MALLORY_SECRET, **wanted),
        403,
        "access_denied",
        DENIED,
    )
