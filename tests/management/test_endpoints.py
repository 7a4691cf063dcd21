"""The list of endpoints that tools may count on, held to the code: method, path and scopes."""

import re
from pathlib import Path

from app.web.management import OPERATIONS
from tests.making import Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import Wire

LISTED = [line.split() for line in (Path(__file__).parent / "endpoints.txt").read_text().splitlines()]

# Branding of phone messages cannot be made here, and applications register no devices of the older kind.
ABSENT = re.compile(r"(POST|PATCH|DELETE) /branding/phone/.*|POST /device-credentials")
# A job may be read by those who could start it.
MORE = {("GET", "/jobs/{}"): {"read:mfa_policies", "delete:guardian_enrollments"}}


def unnamed(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_endpoint_of_the_list_is_served_with_its_scopes() -> None:
    served = {(found.method, unnamed(found.path)): set(found.scopes) for found in OPERATIONS}
    absent = []
    for tier, method, path, *scopes in LISTED:
        key = (method, unnamed(path))
        if key in served:
            assert served[key] - MORE.get(key, set()) == set(scopes), (method, path)
        else:
            assert tier == "should", (method, path)
            absent.append(f"{method} {path}")
    assert all(ABSENT.fullmatch(found) for found in absent), absent


def test_grants_are_taken_back_where_there_are_none(admin: Admin, cast: Cast) -> None:
    assert admin.get("/grants") == []
    admin.delete("/grants", user_id=cast.bob.id)
    admin.delete("/grants/nothing")
    refused(admin.ask("DELETE", "/grants"), 400, "invalid_query_string")


def test_how_a_connection_is_set_up_is_shown_to_those_who_may_read_connections(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    path = "/clients/app/connections"
    full = admin.get(path)["connections"]
    assert full and all("options" in found for found in full)
    narrow = Admin(wire, token_for(wire, "read:client_summary", client_id="narrow"))
    found = narrow.get(path)["connections"]
    assert [one["name"] for one in found] == [one["name"] for one in full]
    assert not any("options" in one for one in found)
    refused(narrow.ask("GET", path, fields="name,options"), 400, "invalid_query_string")
