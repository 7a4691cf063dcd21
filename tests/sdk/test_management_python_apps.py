"""auth0-python's ManagementClient as it is installed: connections, applications, APIs and what they grant."""

from typing import Any

import pytest
from auth0.management import ManagementClient
from auth0.management.errors import BadRequestError, ConflictError, NotFoundError
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.crypto import random_id
from tests.sdk.site import Site
from tests.sdk.test_management_python import ONCE, told


def new_name() -> str:
    return f"n{random_id()}"


def test_a_connection_of_name_and_strategy_alone_has_the_defaults(management: ManagementClient) -> None:
    name = new_name()
    made = management.connections.create(name=name, strategy="auth0")
    assert made.id is not None and made.id.startswith("con_")
    assert made.dict(exclude={"id"}, exclude_none=True) == {
        "name": name,
        "strategy": "auth0",
        "options": {
            "mfa": {"active": True, "return_enroll_settings": True},
            "passwordPolicy": "good",
            "passkey_options": {
                "challenge_ui": "both",
                "local_enrollment_enabled": True,
                "progressive_enrollment_enabled": True,
            },
            "strategy_version": 2,
            "authentication_methods": {
                "password": {"enabled": True, "api_behavior": "required", "signup_behavior": "allow"},
                "passkey": {"enabled": False},
            },
            "brute_force_protection": True,
        },
        "realms": [name],
        "enabled_clients": [],
        "is_domain_connection": False,
        "authentication": {"active": True},
        "connected_accounts": {"active": False},
    }
    assert management.connections.get(made.id).dict() == made.dict()
    [listed] = management.connections.list(name=name, strategy=["auth0"], take=10)
    assert listed.dict() == made.dict()
    with pytest.raises(ConflictError) as error:
        management.connections.create(name=name, strategy="auth0", request_options=ONCE)
    assert told(error)[2] == "A connection with the same name already exists"
    management.connections.delete(made.id)
    with pytest.raises(NotFoundError) as gone:
        management.connections.get(made.id)
    assert told(gone) == (404, "inexistent_connection", "The connection does not exist")


def test_a_connection_is_read_as_it_was_written(management: ManagementClient) -> None:
    options: Any = {
        "passwordPolicy": "fair",
        "brute_force_protection": False,
        "password_history": {"size": 5},
    }
    metadata: dict[str, str | None] = {"team": "security"}
    made = management.connections.create(
        name=new_name(), strategy="auth0", options=options, metadata=metadata, display_name="Staff"
    )
    assert made.id is not None and made.options is not None
    assert options.items() <= made.options.items() and made.metadata == metadata
    replaced: Any = {"passwordPolicy": "low", "mfa": {"active": False, "return_enroll_settings": True}}
    changed = management.connections.update(made.id, options=replaced, metadata={"team": None, "a": "b"})
    assert changed.metadata == {"a": "b"} and changed.display_name == "Staff"
    kept = {name: made.options[name] for name in ("authentication_methods", "passkey_options")}
    assert management.connections.get(made.id).options == replaced | kept


def test_both_generations_of_enabled_clients_agree(management: ManagementClient) -> None:
    clients = [management.clients.create(name=new_name()).client_id or "" for _ in range(2)]
    connection = management.connections.create(name=new_name(), strategy="auth0", enabled_clients=clients[:1])
    assert connection.id is not None
    enabled = management.connections.clients
    assert [client.client_id for client in enabled.get(connection.id)] == clients[:1]
    switch: Any = [{"client_id": clients[0], "status": False}, {"client_id": clients[1], "status": True}]
    enabled.update(connection.id, request=switch)
    assert management.connections.get(connection.id).enabled_clients == clients[1:]
    management.connections.update(connection.id, enabled_clients=clients)
    assert {client.client_id for client in enabled.get(connection.id, take=1)} == set(clients)
    [found] = management.clients.connections.get(clients[0])
    assert found.id == connection.id


def test_an_application_from_creation_to_deletion(management: ManagementClient) -> None:
    refresh: Any = {
        "rotation_type": "rotating",
        "expiration_type": "expiring",
        "leeway": 10,
        "token_lifetime": 86400,
        "idle_token_lifetime": 3600,
        "infinite_token_lifetime": False,
        "infinite_idle_token_lifetime": False,
    }
    written: dict[str, Any] = {
        "name": new_name(),
        "description": "Back office",
        "app_type": "regular_web",
        "callbacks": ["https://app.example.com/back"],
        "grant_types": ["password", "http://auth0.com/oauth/grant-type/mfa-otp", "refresh_token"],
        "client_metadata": {"team": "security"},
        "refresh_token": refresh,
        "jwt_configuration": {"alg": "RS256", "lifetime_in_seconds": 7200},
        "oidc_conformant": True,
        "is_token_endpoint_ip_header_trusted": True,
        "token_endpoint_auth_method": "client_secret_basic",
    }
    made = management.clients.create(**written)
    assert made.client_id is not None and len(made.client_id) == 32 and len(made.client_secret or "") == 64
    shown = management.clients.get(made.client_id)
    members = shown.dict(exclude_none=True)
    assert members.pop("jwt_configuration").items() >= written["jwt_configuration"].items()
    assert {name: members[name] for name in written if name != "jwt_configuration"} == {
        name: value for name, value in written.items() if name != "jwt_configuration"
    }
    assert (shown.is_first_party, shown.cross_origin_authentication, shown.global_) == (True, False, False)
    changed = management.clients.update(made.client_id, description="Front", client_metadata={"a": "b"})
    assert changed.description == "Front" and changed.client_metadata == {"team": "security", "a": "b"}
    rotated = management.clients.rotate_secret(made.client_id).client_secret
    assert rotated is not None and len(rotated) == 64 and rotated != made.client_secret
    assert made.client_id in {client.client_id for client in management.clients.list(per_page=100)}
    [everything] = management.clients.list(is_global=True).items or []
    assert everything.name == "All Applications" and everything.global_ is True
    management.clients.delete(made.client_id)
    management.clients.delete(made.client_id)
    with pytest.raises(NotFoundError) as error:
        management.clients.get(made.client_id)
    assert told(error)[1] == "inexistent_client"


def test_an_application_that_signs_has_credentials(management: ManagementClient) -> None:
    keys = [rsa.generate_private_key(65537, 2048).public_key() for _ in range(2)]
    first, second = (
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in keys
    )
    methods: Any = {"private_key_jwt": {"credentials": [{"credential_type": "public_key", "pem": first}]}}
    made = management.clients.create(
        name=new_name(), app_type="non_interactive", client_authentication_methods=methods
    )
    assert made.client_id is not None and made.client_secret is None
    credentials = management.clients.credentials
    [known] = credentials.list(made.client_id)
    added = credentials.create(
        made.client_id, credential_type="public_key", name="Second", pem=second, alg="PS256"
    )
    assert added.id is not None and known.id is not None
    got = credentials.get(made.client_id, added.id)
    assert (got.name, got.alg, got.credential_type) == ("Second", "PS256", "public_key")
    chosen: Any = {"private_key_jwt": {"credentials": [{"id": added.id}]}}
    management.clients.update(made.client_id, client_authentication_methods=chosen)
    assert [left.id for left in credentials.list(made.client_id)] == [added.id]
    credentials.delete(made.client_id, added.id)
    with pytest.raises(NotFoundError):
        credentials.get(made.client_id, added.id)


def test_an_api_is_found_by_its_identifier_slashes_and_all(management: ManagementClient) -> None:
    identifier = f"https://api.example.com/{new_name()}/v1"
    scopes: Any = [{"value": "read:a", "description": "Read a"}, {"value": "read:b"}]
    made = management.resource_servers.create(
        identifier=identifier, name="Things", scopes=scopes, token_lifetime=600, allow_offline_access=True
    )
    assert made.id is not None and made.signing_alg == "RS256"
    by_identifier = management.resource_servers.get(identifier)
    assert by_identifier.dict() == management.resource_servers.get(made.id).dict() == made.dict()
    assert [scope.dict(exclude_none=True) for scope in by_identifier.scopes or []] == scopes
    [listed] = management.resource_servers.list(identifiers=[identifier])
    assert listed.dict() == made.dict()
    changed = management.resource_servers.update(
        identifier, scopes=scopes[:1], enforce_policies=True, token_dialect="access_token_authz"
    )
    assert len(changed.scopes or []) == 1 and changed.token_dialect == "access_token_authz"
    with pytest.raises(ConflictError) as error:
        management.resource_servers.create(identifier=identifier, request_options=ONCE)
    assert told(error)[2] == "A resource server with the same identifier already exists."
    management.resource_servers.delete(identifier)
    with pytest.raises(NotFoundError):
        management.resource_servers.get(made.id)


def test_the_management_api_is_there_and_stays(management: ManagementClient, managed_site: Site) -> None:
    own = management.resource_servers.get(f"{managed_site.issuer}api/v2/")
    assert own.is_system is True and own.token_lifetime == 86400 and own.signing_alg == "RS256"
    with pytest.raises(BadRequestError) as error:
        management.resource_servers.delete(str(own.id))
    assert told(error)[2] == "System resource servers cannot be deleted."


def test_client_grants(management: ManagementClient) -> None:
    client_id = management.clients.create(name=new_name()).client_id or ""
    scopes: Any = [{"value": "read:a"}, {"value": "read:b"}]
    audience = f"https://api.example.com/{new_name()}"
    management.resource_servers.create(identifier=audience, scopes=scopes)
    made = management.client_grants.create(client_id=client_id, audience=audience, scope=["read:a"])
    assert made.id is not None and made.id.startswith("cgr_") and made.subject_type == "client"
    assert management.client_grants.get(made.id).dict() == made.dict()
    listed = list(management.client_grants.list(client_id=client_id, audience=audience))
    assert [found.dict() for found in listed] == [made.dict()]
    assert management.client_grants.update(made.id, scope=["read:b"]).scope == ["read:b"]
    with pytest.raises(BadRequestError) as error:
        management.client_grants.update(made.id, scope=["read:c"])
    assert told(error)[2] == "Payload validation error: scope must be a subset of resource server scopes"
    again: Any = {"client_id": client_id, "audience": audience, "scope": []}
    with pytest.raises(ConflictError):
        management.client_grants.create(**again, request_options=ONCE)
    management.client_grants.delete(made.id)
    management.client_grants.delete(made.id)
    assert list(management.client_grants.list(client_id=client_id)) == []
