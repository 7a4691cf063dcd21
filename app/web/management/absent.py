"""What tools read on an ordinary run although this server does not have it: the right empty shape, or a refusal."""

from dataclasses import dataclass
from typing import Any

from app.errors import Forbidden, Missing
from app.web.management.operation import Call, Operation, operation
from app.web.management.paging import Anywhere, Query
from app.web.management.schema import Lenient
from app.web.management.setting import Setting, operations_of


@dataclass(frozen=True)
class Empty:
    path: str
    scope: str
    body: Any
    """The answer; a text is the key of a list that has pages."""


EMPTY = (
    Empty("/actions/modules", "read:actions", {"modules": []}),
    Empty("/grants", "read:grants", "grants"),
    Empty("/organizations", "read:organizations", "organizations"),
    Empty("/users/{id}/organizations", "read:organizations", "organizations"),
    Empty("/custom-domains", "read:custom_domains", []),
    Empty("/branding/phone/providers", "read:phone_providers", {"providers": []}),
    Empty("/branding/phone/templates", "read:phone_templates", {"templates": []}),
    Empty("/prompts", "read:prompts", {"universal_login_experience": "new", "identifier_first": False}),
    Empty("/prompts/rendering", "read:prompts", "configs"),
    Empty("/prompts/{prompt}/custom-text/{language}", "read:prompts", {}),
    Empty("/prompts/{prompt}/partials", "read:prompts", {}),
    Empty("/forms", "read:forms", "forms"),
    Empty("/flows", "read:flows", "flows"),
    Empty("/flows/vault/connections", "read:flows_vault_connections", "connections"),
    Empty("/event-streams", "read:event_streams", {"eventStreams": []}),
    Empty("/network-acls", "read:network_acls", "network_acls"),
    Empty("/self-service-profiles", "read:self_service_profiles", "self_service_profiles"),
    Empty("/user-attribute-profiles", "read:user_attribute_profiles", {"user_attribute_profiles": []}),
    Empty("/connection-profiles", "read:connection_profiles", {"connection_profiles": []}),
    Empty("/token-exchange-profiles", "read:token_exchange_profiles", {"token_exchange_profiles": []}),
    Empty("/groups", "read:groups", {"groups": []}),
    Empty("/risk-assessments/settings", "read:attack_protection", {"enabled": False}),
    Empty("/risk-assessments/settings/new-device", "read:attack_protection", {"remember_for": 30}),
    Empty("/keys/encryption", "read:encryption_keys", "keys"),
    Empty("/users/{id}/connected-accounts", "read:users", {"connected_accounts": []}),
    Empty("/users/{id}/groups", "read:groups", "groups"),
    Empty("/users/{id}/federated-connections-tokensets", "read:federated_connections_tokens", []),
    Empty("/client-grants/{id}/organizations", "read:organization_client_grants", "organizations"),
)
MISSING = (
    ("/branding/themes/default", "read:branding", "theme_not_found"),
    ("/branding/templates/universal-login", "read:branding", "template_not_found"),
    ("/keys/custom-signing", "read:custom_signing_keys", "inexistent_custom_signing_keys"),
    ("/connections/{id}/scim-configuration", "read:scim_config", "inexistent_scim_configuration"),
    ("/connections/{id}/directory-provisioning", "read:directory_provisionings", "inexistent_provisioning"),
    ("/connections/{id}/keys", "read:connections_keys", "inexistent_keys"),
    ("/connections/{id}/scim-configuration/tokens", "read:scim_token", "inexistent_scim_configuration"),
    ("/actions/executions/{id}", "read:actions", "inexistent_execution"),
    ("/actions/modules/{id}", "read:actions", "inexistent_module"),
    ("/branding/phone/providers/{id}", "read:phone_providers", "inexistent_phone_provider"),
    ("/branding/phone/templates/{id}", "read:phone_templates", "inexistent_phone_template"),
    ("/branding/themes/{themeId}", "read:branding", "theme_not_found"),
    ("/keys/encryption/{kid}", "read:encryption_keys", "inexistent_encryption_key"),
)
REFUSED = (
    ("/supplemental-signals", "read:supplemental_signals"),
    ("/rate-limit-policies", "read:rate_limit_policies"),
    ("/connections-directory-provisionings", "read:directory_provisionings"),
    ("/connections-scim-configurations", "read:scim_config"),
)
SETTINGS = (
    Setting("/branding", Lenient, ("read:branding", "update:branding"), {}, ("GET", "PATCH")),
    Setting("/prompts/mfa-push", Lenient, ("read:prompts", "update:prompts"), {}, ("GET", "PUT")),
)


def _words(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("-", "_").replace("{", "").replace("}", "")


class NoQuery(Query):
    pass


def _empty(found: Empty) -> Operation:
    def show(call: Call) -> object:
        if not isinstance(found.body, str):
            return found.body
        query: Anywhere = call.query
        if query.take is not None:
            return {found.body: []}
        if not query.include_totals:
            return []
        return {"start": query.page * query.per_page, "limit": query.per_page, "total": 0, found.body: []}

    show.__name__, show.__doc__ = f"list_{_words(found.path)}", "Nothing of this kind is here"
    query = Anywhere if isinstance(found.body, str) else NoQuery
    return operation("GET", found.path, scopes=found.scope, query=query)(show)


def _missing(path: str, scope: str, code: str) -> Operation:
    def show(call: Call) -> object:
        raise Missing("There is nothing of this kind.", reason=code)

    show.__name__, show.__doc__ = f"show_{_words(path)}", "Nothing of this kind is here"
    return operation("GET", path, scopes=scope)(show)


def _refused(path: str, scope: str) -> Operation:
    """Features that tools try and do without where the plan lacks them."""

    def show(call: Call) -> object:
        raise Forbidden("This server does not have this feature.", reason="insufficient_scope")

    show.__name__, show.__doc__ = f"list_{_words(path)}", "Not a feature of this server"
    return operation("GET", path, scopes=scope)(show)


# --- grants: nobody consents here, so none is left to take back ---------------------------------------------------


class GrantsQuery(Query):
    user_id: str


@operation("DELETE", "/grants", scopes="delete:grants", ok=204, query=GrantsQuery)
def delete_grants(call: Call) -> object:
    """Take back what a user consented to"""
    return None


@operation("DELETE", "/grants/{id}", scopes="delete:grants", ok=204)
def delete_grant(call: Call) -> object:
    """Take back one consent"""
    return None


OPERATIONS = (
    delete_grants,
    delete_grant,
    *(_empty(found) for found in EMPTY),
    *(_missing(*found) for found in MISSING),
    *(_refused(*found) for found in REFUSED),
    *(made for setting in SETTINGS for made in operations_of(setting)),
)
