"""`/emails/provider`: how mail leaves."""

from tests.management.conftest import Admin

FIELDS = {"fields": "name,enabled,credentials,settings,default_from_address", "include_fields": "true"}


def test_another_provider_inherits_nothing_of_the_one_before(admin: Admin) -> None:
    first = {
        "name": "ses",
        "default_from_address": "a@example.com",
        "credentials": {"accessKeyId": "A", "secretAccessKey": "S", "region": "eu-west-1"},
        "settings": {"message": {"configuration_set_name": "example"}},
    }
    admin.post("/emails/provider", first)
    kept = admin.patch("/emails/provider", {"enabled": False})
    assert kept["settings"] == first["settings"] and kept["credentials"] == {"region": "eu-west-1"}
    second = {"name": "mandrill", "credentials": {"api_key": "K"}}
    changed = admin.patch("/emails/provider", second)
    expected = {
        "name": "mandrill",
        "enabled": False,
        "default_from_address": "a@example.com",
        "credentials": {},
    }
    assert changed == expected == admin.get("/emails/provider", **FIELDS)
