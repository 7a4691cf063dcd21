"""auth0-python's ManagementClient as it is installed, over TLS: people, their factors, roles and access; refusals."""

from typing import Any

import httpx
import pyotp
import pytest
from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError
from auth0.management.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)

from app.crypto import random_id
from tests.making import API, APP_SECRET, PASSWORD
from tests.sdk.site import NEW_PASSWORD, Site
from tests.wire import FULL, PASSWORD_REALM, code_of

ONCE: Any = {"max_retries": 0}  # the SDK repeats a 409 with pauses; one test is enough for that


def address() -> str:
    return f"{random_id()}@example.com".lower()


def told(error: pytest.ExceptionInfo[Any]) -> tuple[int, str | None, str]:
    body = error.value.body
    assert isinstance(error.value, ApiError) and body["statusCode"] == error.value.status_code, body
    return body["statusCode"], body.get("errorCode"), body["message"]


def log_in(site: Site, username: str, **members: str) -> httpx.Response:
    form = {"grant_type": PASSWORD_REALM, "realm": "staff", "client_id": "app", "client_secret": APP_SECRET}
    return httpx.post(
        f"{site.issuer}oauth/token",
        data=form | {"username": username, "password": PASSWORD} | members,
    )


def test_a_user_from_creation_to_deletion(management: ManagementClient) -> None:
    users, email = management.users, address()
    made = users.create(
        connection="staff",
        email=email.upper(),
        password=NEW_PASSWORD,
        user_metadata={"plan": {"name": "gold"}},
    )
    assert made.user_id is not None and made.user_id.startswith("auth0|") and made.email == email
    assert made.email_verified is False and made.name == email and made.created_at is not None
    [identity] = made.identities or []
    assert (identity.connection, identity.provider, identity.is_social) == ("staff", "auth0", False)
    shown = users.get(made.user_id)
    assert shown.dict() == made.dict() and shown.app_metadata is None and shown.blocked is None
    assert [user.user_id for user in users.list_users_by_email(email=email)] == [made.user_id]
    assert users.list_users_by_email(email=address()) == []
    some = users.get(made.user_id, fields="user_id,email", include_fields=True)
    assert some.dict(exclude_unset=True) == {"user_id": made.user_id, "email": email}
    users.delete(made.user_id)
    users.delete(made.user_id)
    with pytest.raises(NotFoundError) as error:
        users.get(made.user_id)
    assert told(error) == (404, "inexistent_user", "The user does not exist.")


def test_metadata_merge_at_their_first_level(management: ManagementClient, managed_site: Site) -> None:
    users, user_id = management.users, managed_site.person().id
    users.update(user_id, user_metadata={"a": {"x": 1}, "b": 1, "d": 4}, app_metadata={"plan": "gold"})
    changed = users.update(user_id, user_metadata={"a": {"z": 3}, "b": None, "c": [1]})
    assert changed.user_metadata == {"a": {"z": 3}, "c": [1], "d": 4} and changed.app_metadata == {
        "plan": "gold"
    }
    erased = users.update(user_id, user_metadata={}, app_metadata={})
    assert not erased.user_metadata and not erased.app_metadata
    blocked = users.update(user_id, blocked=True, nickname="Bobby")
    assert blocked.blocked is True and blocked.nickname == "Bobby"
    assert not users.update(user_id, blocked=False).blocked


def test_users_are_listed_page_by_page_and_searched(management: ManagementClient) -> None:
    made = [
        management.users.create(connection="guests", email=address(), password=NEW_PASSWORD, nickname="paged")
        for _ in range(3)
    ]
    wanted: dict[str, Any] = {"q": 'identities.connection:"guests"', "sort": "created_at:-1", "per_page": 2}
    pager = management.users.list(**wanted)
    assert pager.response is not None and (pager.response.total or 0) >= 3
    assert (pager.response.start, pager.response.limit, pager.response.length) == (0, 2, 2)
    # The pager stops at an empty page only.
    assert {user.user_id for user in made} <= {user.user_id for user in pager}
    [found] = management.users.list(q=f'email:"{made[0].email}"').items or []
    assert found.user_id == made[0].user_id
    with pytest.raises(BadRequestError) as error:
        management.users.list(page=11, per_page=100)
    assert told(error)[1] == "invalid_paging"


def test_second_factors_of_a_user(management: ManagementClient, managed_site: Site) -> None:
    user = managed_site.person()
    methods, secret = management.users.authentication_methods, pyotp.random_base32()
    made = methods.create(user.id, type="totp", name="Phone", totp_secret=secret)
    assert (made.type, made.name, made.totp_secret) == ("totp", "Phone", secret)
    assert made.id is not None and made.id.startswith("totp|dev_")
    listed = methods.list(user.id)
    assert listed.response is not None and listed.response.total == 1
    [only] = listed.response.authenticators
    assert (only.id, only.type, only.confirmed) == (made.id, "totp", True)
    assert methods.get(user.id, made.id).name == "Phone"
    assert methods.update(user.id, made.id, name="Tablet").name == "Tablet"
    [enrollment] = management.users.enrollments.get(user.id)
    assert (enrollment.status, enrollment.auth_method) == ("confirmed", "authenticator")
    assert management.guardian.enrollments.get(str(enrollment.id)).id == enrollment.id
    assert management.users.get(user.id).multifactor == ["guardian"]

    owed = log_in(managed_site, str(user.email))
    assert (owed.status_code, owed.json()["error"]) == (403, "mfa_required")
    code = management.users.regenerate_recovery_code(user.id).recovery_code
    assert code is not None and len(code) == 24
    assert {method.type for method in methods.list(user.id)} == {"totp", "recovery-code"}
    methods.delete(user.id, made.id)
    with pytest.raises(NotFoundError) as error:
        methods.get(user.id, made.id)
    assert told(error)[2] == "The authentication method could not be found."
    management.users.authenticators.delete_all(user.id)
    assert list(methods.list(user.id)) == [] and not management.users.get(user.id).multifactor
    assert log_in(managed_site, str(user.email)).status_code == 200
    with pytest.raises(NotFoundError) as error:
        management.users.regenerate_recovery_code(user.id)
    assert told(error)[2] == "Enrollment not found."


def test_more_ways_to_remove_and_replace_factors(management: ManagementClient, managed_site: Site) -> None:
    user, secret = managed_site.enrolled_person()
    methods = management.users.authentication_methods
    wanted: Any = [{"type": "totp", "name": "New", "totp_secret": secret}]
    [replaced] = methods.set(user.id, request=wanted)
    assert [method.id for method in methods.list(user.id)] == [replaced.id]
    management.users.multifactor.delete_provider(user.id, "google-authenticator")
    assert list(methods.list(user.id)) == []
    management.users.multifactor.invalidate_remember_browser(user.id)
    methods.create(user.id, type="totp", totp_secret=secret)
    [enrollment] = management.users.enrollments.get(user.id)
    management.guardian.enrollments.delete(str(enrollment.id))
    methods.create(user.id, type="totp", totp_secret=secret)
    methods.delete_all(user.id)
    assert management.users.enrollments.get(user.id) == []


def test_roles_and_permissions(management: ManagementClient, managed_site: Site) -> None:
    user, name = managed_site.person(), random_id()
    role = management.roles.create(name=name, description="May read")
    assert role.id is not None and role.id.startswith("rol_")
    assert management.roles.get(role.id).description == "May read"
    assert [found.id for found in management.roles.list(name_filter=name)] == [role.id]
    assert management.roles.update(role.id, description="Reads").description == "Reads"
    right: Any = [{"resource_server_identifier": API, "permission_name": "read:things"}]
    management.roles.permissions.add(role.id, permissions=right)
    [permission] = management.roles.permissions.list(role.id)
    assert (permission.resource_server_identifier, permission.permission_name) == (API, "read:things")
    management.roles.users.assign(role.id, users=[user.id])
    assert [member.user_id for member in management.roles.users.list(role.id, take=10)] == [user.id]
    assert [found.id for found in management.users.roles.list(user.id)] == [role.id]
    management.users.permissions.create(user.id, permissions=right)
    [owned] = management.users.permissions.list(user.id)
    assert {source["source_type"] for source in owned.sources or []} == {"ROLE", "DIRECT"}
    management.users.permissions.delete(user.id, permissions=right)
    management.users.roles.delete(user.id, roles=[role.id])
    assert list(management.users.permissions.list(user.id)) == []
    management.users.roles.assign(user.id, roles=[role.id])
    management.roles.permissions.delete(role.id, permissions=right)
    management.roles.delete(role.id)
    assert list(management.users.roles.list(user.id)) == []
    with pytest.raises(NotFoundError) as error:
        management.roles.get(role.id)
    assert told(error)[1:] == ("inexistent_role", "The role does not exist.")


def test_blocks_refresh_tokens_and_the_end_of_access(
    management: ManagementClient, managed_site: Site
) -> None:
    user = managed_site.person()
    email = str(user.email)
    for _ in range(10):
        log_in(managed_site, email, password="not the password")
    assert log_in(managed_site, email).status_code == 429
    by_name = management.user_blocks.list_by_identifier(identifier=email).blocked_for or []
    assert [(block.identifier, block.connection) for block in by_name] == [(email, "staff")]
    assert len(management.user_blocks.list(user.id).blocked_for or []) == 1
    management.user_blocks.delete(user.id)
    management.user_blocks.delete_by_identifier(identifier=email)
    assert management.user_blocks.list(user.id).blocked_for == []
    assert log_in(managed_site, email, **FULL).status_code == 200
    log_in(managed_site, email, **FULL)
    [first, second] = management.users.refresh_token.list(user.id)
    assert first.id is not None and second.id is not None and first.client_id == "app"
    assert management.refresh_tokens.get(first.id).user_id == user.id
    labelled = management.refresh_tokens.update(first.id, refresh_token_metadata={"device": "desk"})
    assert labelled.refresh_token_metadata == {"device": "desk"}
    management.refresh_tokens.delete(first.id)
    assert [token.id for token in management.refresh_tokens.list(user_id=user.id)] == [second.id]
    [device] = management.device_credentials.list(user_id=user.id, type="rotating_refresh_token")
    assert (device.id, device.client_id) == (second.id, "app")
    management.refresh_tokens.revoke(user_id=user.id, client_id="app")
    assert list(management.users.refresh_token.list(user.id)) == []
    log_in(managed_site, email, **FULL)
    management.users.revoke_access(user.id)
    log_in(managed_site, email, **FULL)
    management.users.refresh_token.delete(user.id)
    assert list(management.users.refresh_token.list(user.id)) == []
    assert list(management.users.sessions.list(user.id)) == []


def test_refusals_arrive_as_the_classes_of_the_sdk(management: ManagementClient, managed_site: Site) -> None:
    taken = str(managed_site.person().email)
    with pytest.raises(ConflictError) as conflict:
        management.users.create(connection="staff", email=taken, password=NEW_PASSWORD)
    assert told(conflict) == (409, "auth0_idp_error", "The user already exists.")
    with pytest.raises(BadRequestError) as bad:
        management.users.create(connection="nowhere", email=taken, password=NEW_PASSWORD)
    assert told(bad) == (400, "inexistent_connection", "The connection does not exist.")
    narrow, secret = managed_site.administrator("read:users")
    with managed_site.management(client_id=narrow, client_secret=secret) as reader:
        assert reader.users.list(per_page=1).items
        with pytest.raises(ForbiddenError) as forbidden:
            reader.users.create(connection="staff", email=address(), password=NEW_PASSWORD)
    message = "Insufficient scope, expected any of: create:users"
    assert told(forbidden) == (403, "insufficient_scope", message)
    with (
        managed_site.management(token="not a token") as stranger,
        pytest.raises(UnauthorizedError) as unknown,
    ):
        stranger.users.list()
    assert told(unknown) == (401, None, "Invalid token")
    assert unknown.value.body["attributes"] == {"error": "Invalid token"}


def test_a_factor_that_an_administrator_gave_opens_the_second_step(
    management: ManagementClient, managed_site: Site
) -> None:
    user, secret = managed_site.person(), pyotp.random_base32()
    management.users.authentication_methods.create(user.id, type="totp", totp_secret=secret)
    owed = log_in(managed_site, str(user.email)).json()
    grant = "http://auth0.com/oauth/grant-type/mfa-otp"
    proof = {"grant_type": grant, "mfa_token": owed["mfa_token"], "otp": code_of(secret)}
    assert log_in(managed_site, str(user.email), **proof).status_code == 200
