"""`/clients`: applications, as tools administer them."""

from typing import Any

import pytest

from tests.management.conftest import Admin


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
