"""node-auth0's ManagementClient as it is published, over TLS: the ground of auth0-python's, more briefly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from app.crypto import random_id
from tests.making import API
from tests.sdk.auth_js import Calls, SdkError, running
from tests.sdk.site import NEW_PASSWORD, Site


class Management:
    """A `ManagementClient`."""

    def __init__(self, calls: Calls, **options: str) -> None:
        self._calls = calls
        self("new", options)

    def __call__(self, method: str, *args: object) -> Any:
        """Await one method. Of a list with pages comes `{"response": …, "items": […]}`. Raises SdkError."""
        return self._calls.send({"method": method, "args": args})

    def items(self, method: str, *args: object) -> list[dict[str, Any]]:
        """Of every page."""
        found: list[dict[str, Any]] = self(method, *args)["items"]
        return found


@pytest.fixture
def sdk(managed_site: Site, authority: Path) -> Iterator[Management]:
    client_id, secret = managed_site.administrator()
    with running("management.mjs", authority / "ca.pem") as calls:
        yield Management(calls, domain=managed_site.domain, clientId=client_id, clientSecret=secret)


def refused(error: pytest.ExceptionInfo[SdkError]) -> tuple[str, int, str | None, str]:
    told = error.value.told
    assert told["isManagementError"] and told["body"]["statusCode"] == told["statusCode"], told
    return told["name"], told["statusCode"], told["body"].get("errorCode"), told["body"]["message"]


def new_name() -> str:
    return f"n{random_id()}"


def address() -> str:
    return f"{random_id()}@example.com".lower()


def test_a_user_with_factors_and_roles(sdk: Management) -> None:
    email = address()
    user = sdk("users.create", {"connection": "staff", "email": email, "password": NEW_PASSWORD})
    user_id = user["user_id"]
    assert sdk("users.get", user_id) == user and user["identities"][0]["provider"] == "auth0"
    assert [found["user_id"] for found in sdk("users.listUsersByEmail", {"email": email})] == [user_id]
    sdk("users.update", user_id, {"user_metadata": {"a": {"x": 1}, "b": 2}})
    changed = sdk("users.update", user_id, {"user_metadata": {"a": {"y": 1}, "b": None}})
    assert changed["user_metadata"] == {"a": {"y": 1}}
    assert not sdk("users.update", user_id, {"user_metadata": {}}).get("user_metadata")

    new = {"type": "totp", "name": "Phone", "totp_secret": pyotp.random_base32()}
    method = sdk("users.authenticationMethods.create", user_id, new)
    listed = sdk("users.authenticationMethods.list", user_id)
    assert listed["response"]["total"] == 1 and listed["response"]["authenticators"] == listed["items"]
    assert [found["id"] for found in listed["items"]] == [method["id"]]
    assert sdk("users.enrollments.get", user_id)[0]["status"] == "confirmed"
    assert len(sdk("users.regenerateRecoveryCode", user_id)["recovery_code"]) == 24
    sdk("users.authenticationMethods.delete", user_id, method["id"])
    sdk("users.authenticators.deleteAll", user_id)
    assert sdk.items("users.authenticationMethods.list", user_id) == []

    role = sdk("roles.create", {"name": new_name(), "description": "Reads"})
    right = {"permissions": [{"resource_server_identifier": API, "permission_name": "read:things"}]}
    sdk("roles.permissions.add", role["id"], right)
    sdk("users.roles.assign", user_id, {"roles": [role["id"]]})
    assert [found["id"] for found in sdk.items("users.roles.list", user_id)] == [role["id"]]
    [permission] = sdk.items("users.permissions.list", user_id)
    assert permission["sources"][0]["source_type"] == "ROLE"
    assert [member["user_id"] for member in sdk.items("roles.users.list", role["id"])] == [user_id]
    sdk("roles.permissions.delete", role["id"], right)
    sdk("users.roles.delete", user_id, {"roles": [role["id"]]})
    sdk("roles.delete", role["id"])
    sdk("users.revokeAccess", user_id)
    assert sdk.items("users.refreshToken.list", user_id) == []
    sdk("userBlocks.delete", user_id)
    assert sdk("userBlocks.listByIdentifier", {"identifier": email}) == {"blocked_for": []}
    assert sdk("users.delete", user_id) is None


def test_users_are_listed_to_the_last_page(sdk: Management, managed_site: Site) -> None:
    made = {managed_site.person("guests").id for _ in range(3)}
    search = {"q": 'identities.connection:"guests"', "per_page": 2}
    listed = sdk("users.list", search)
    first = listed["response"]
    assert (first["start"], first["limit"], first["length"]) == (0, 2, 2) and first["total"] >= 3
    assert made <= {user["user_id"] for user in listed["items"]}
    assert made <= {user["user_id"] for user in sdk.items("users.list", {"q": search["q"]})}


def test_a_connection_an_application_an_api_and_a_grant(sdk: Management) -> None:
    client = sdk("clients.create", {"name": new_name(), "app_type": "non_interactive"})
    client_id = client["client_id"]
    assert len(client["client_secret"]) == 64
    rotated = sdk("clients.rotateSecret", client_id)
    assert rotated["client_secret"] != client["client_secret"]
    shown = sdk("clients.update", client_id, {"client_metadata": {"team": "security"}})
    assert sdk("clients.get", client_id) == shown
    assert client_id in {found["client_id"] for found in sdk.items("clients.list", {"per_page": 100})}

    connection = sdk("connections.create", {"name": new_name(), "strategy": "auth0"})
    assert sdk("connections.get", connection["id"]) == connection
    assert connection["options"]["mfa"] == {"active": True, "return_enroll_settings": True}
    switch = [{"client_id": client_id, "status": True}]
    assert sdk("connections.clients.update", connection["id"], switch) is None
    assert sdk.items("connections.clients.get", connection["id"]) == [{"client_id": client_id}]
    assert sdk("connections.get", connection["id"])["enabled_clients"] == [client_id]
    named = {"name": connection["name"], "strategy": ["auth0"], "take": 5}
    assert [found["id"] for found in sdk.items("connections.list", named)] == [connection["id"]]

    identifier = f"https://api.example.com/{new_name()}/v1"
    api = sdk("resourceServers.create", {"identifier": identifier, "scopes": [{"value": "read:a"}]})
    assert sdk("resourceServers.get", identifier) == api == sdk("resourceServers.get", api["id"])
    changed = sdk("resourceServers.update", identifier, {"token_lifetime": 600})
    assert sdk.items("resourceServers.list", {"identifiers": [identifier]}) == [changed]
    wanted = {"client_id": client_id, "audience": identifier}
    grant = sdk("clientGrants.create", wanted | {"scope": ["read:a"]})
    assert sdk.items("clientGrants.list", wanted) == [grant]
    assert sdk("clientGrants.update", grant["id"], {"scope": []})["scope"] == []

    for method, found in (
        ("clientGrants.delete", grant["id"]),
        ("resourceServers.delete", identifier),
        ("clients.delete", client_id),
        ("connections.delete", connection["id"]),
    ):
        sdk(method, found)
    with pytest.raises(SdkError) as error:
        sdk("resourceServers.get", identifier)
    assert refused(error)[:3] == ("NotFoundError", 404, "inexistent_resource_server")


def test_what_holds_for_the_whole_server(sdk: Management, managed_site: Site) -> None:
    factors = sdk("guardian.factors.list")
    assert [factor["name"] for factor in factors][:3] == ["sms", "push-notification", "otp"]
    assert len(factors) == 8 and factors[2]["enabled"] is True
    assert sdk("guardian.factors.set", "otp", {"enabled": True}) == {"enabled": True}
    assert sdk("guardian.policies.set", ["all-applications"]) == ["all-applications"]
    assert sdk("guardian.policies.set", []) == sdk("guardian.policies.list") == []
    types = {"message_types": ["sms"]}
    assert sdk("guardian.factors.phone.setMessageTypes", types) == types
    assert sdk("guardian.factors.phone.getMessageTypes") == types

    settings = sdk("tenants.settings.update", {"support_url": "https://help.example.com"})
    assert sdk("tenants.settings.get") == settings and settings["default_directory"] == "staff"
    guard = sdk("attackProtection.bruteForceProtection.get")
    assert sdk("attackProtection.bruteForceProtection.update", guard) == guard
    throttling = sdk("attackProtection.suspiciousIpThrottling.get")
    assert sdk("attackProtection.suspiciousIpThrottling.update", throttling) == throttling

    keys = sdk("keys.signing.list")
    [following] = [key["kid"] for key in keys if key["next"]]
    assert sdk("keys.signing.rotate")["kid"] == following
    assert sdk("keys.signing.get", following)["current"] is True

    provider = {"name": "smtp", "credentials": {"smtp_host": "mail.example.com", "smtp_port": 25}}
    sdk("emails.provider.create", provider)
    assert sdk("emails.provider.get") == {"name": "smtp", "enabled": True}
    sdk("emails.provider.delete")

    listed = sdk("logs.list", {"search": "type:sapi", "per_page": 5})
    assert listed["response"]["total"] >= 5 and listed["response"]["length"] == 5
    assert sdk("logs.get", listed["items"][0]["log_id"])["type"] == "sapi"
    assert isinstance(sdk("stats.getActiveUsersCount"), int) and sdk("stats.getDaily", {})


def test_refusals_are_errors_with_message_and_code(
    sdk: Management, managed_site: Site, authority: Path
) -> None:
    new = {"connection": "staff", "email": str(managed_site.person().email), "password": NEW_PASSWORD}
    with pytest.raises(SdkError) as error:
        sdk("users.create", new)
    assert refused(error) == ("ConflictError", 409, "auth0_idp_error", "The user already exists.")
    with pytest.raises(SdkError) as error:
        sdk("users.create", new | {"connection": "nowhere"})
    message = "The connection does not exist."
    assert refused(error) == ("BadRequestError", 400, "inexistent_connection", message)
    with pytest.raises(SdkError) as error:
        sdk("users.get", "auth0|nobody")
    assert refused(error) == ("NotFoundError", 404, "inexistent_user", "The user does not exist.")
    client_id, secret = managed_site.administrator("read:users")
    with running("management.mjs", authority / "ca.pem") as calls:
        reader = Management(calls, domain=managed_site.domain, clientId=client_id, clientSecret=secret)
        with pytest.raises(SdkError) as error:
            reader("connections.list")
        message = "Insufficient scope, expected any of: read:connections"
        assert refused(error) == ("ForbiddenError", 403, "insufficient_scope", message)
    with running("management.mjs", authority / "ca.pem") as calls:
        stranger = Management(calls, domain=managed_site.domain, token="not a token")
        with pytest.raises(SdkError) as error:
            stranger("users.list")
        assert refused(error) == ("UnauthorizedError", 401, None, "Invalid token")
