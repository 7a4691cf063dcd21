"""`/client-grants`: what applications may ask of APIs for themselves."""

from tests.making import API, Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire


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


def test_grants_on_behalf_of_users_are_refused(admin: Admin, cast: Cast) -> None:
    """Nothing here would enforce them, so none is taken."""
    body = {"client_id": "app", "audience": API, "scope": [], "subject_type": "user"}
    refused(admin.ask("POST", "/client-grants", body), 400, "invalid_body")
