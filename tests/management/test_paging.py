"""The three forms of lists: bare, with totals, with a checkpoint. SDKs parse each strictly."""

from typing import Any

import pytest

from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin
from tests.wire import FULL, Wire


@pytest.mark.parametrize(
    ("path", "key"),
    [("/connections", "connections"), ("/clients", "clients"), ("/roles/{role}/users", "users")],
)
def test_members_without_a_value_are_left_out_in_every_form(
    admin: Admin, cast: Cast, path: str, key: str
) -> None:
    role = admin.post("/roles", {"name": "reader"}, 200)["id"]
    admin.post(f"/roles/{role}/users", {"users": [cast.bob.id]}, 200)
    forms: list[dict[str, Any]] = [{}, {"include_totals": "true"}, {"take": 50}]
    bare, with_totals, checkpoint = (admin.get(path.format(role=role), **form) for form in forms)
    for listed in (bare, with_totals[key], checkpoint[key]):
        assert listed
        for shown in listed:
            assert None not in shown.values(), shown


def test_nulls_that_somebody_wrote_are_shown(admin: Admin) -> None:
    options = {"custom": {"nothing": None}}
    made = admin.post("/connections", {"name": "partners", "strategy": "auth0", "options": options})
    listed = admin.get("/connections", name="partners", take=1)["connections"]
    assert listed == [made] and made["options"]["custom"] == {"nothing": None}


def test_device_credentials_have_totals_where_they_are_asked_for(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    for _ in range(3):
        wire.ok(wire.password("bob@example.com", PASSWORD, **FULL))
    whose = {"user_id": cast.bob.id, "type": "refresh_token"}
    everything = admin.get("/device-credentials", **whose)
    assert len(everything) == 3
    page = admin.get("/device-credentials", **whose, include_totals="true", page=1, per_page=2)
    expected = {"start": 2, "limit": 2, "total": 3, "device_credentials": everything[2:]}
    assert page == expected
    past = admin.get("/device-credentials", **whose, include_totals="true", page=9, per_page=2)
    assert past["device_credentials"] == []
    nobodys = admin.get("/device-credentials", include_totals="true")
    assert (nobodys["total"], nobodys["device_credentials"]) == (0, [])
    chosen = admin.get("/device-credentials", **whose, fields="id")
    assert [set(device) for device in chosen] == [{"id"}] * 3
