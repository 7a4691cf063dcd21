"""The three forms of lists: bare, with totals, with a checkpoint. SDKs parse each strictly."""

from typing import Any

import pytest

from tests.making import Cast
from tests.management.conftest import Admin


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
