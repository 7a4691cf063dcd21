"""What administrators may do: one implementation below the command line, the management API and the demo.

Each function takes the open transaction and the request's context, changes what it names together with everything
that follows from it, and leaves the event.
"""

from app.accounts.apis import (
    TOKEN_DIALECTS,
    create_api,
    create_grant,
    grant_scopes,
    remove_api,
    remove_grant,
    update_api,
    update_grant,
)
from app.accounts.applications import (
    APP_TYPES,
    AUTH_METHODS,
    add_key,
    create_client,
    grant_types_of,
    new_client_id,
    remove_client,
    remove_key,
    rotate_secret,
    update_client,
)
from app.accounts.people import (
    HEX,
    create_user,
    end_access,
    hash_new_password,
    initial_password,
    new_user,
    remove_user,
    reset_factors,
    revoke_access,
    set_blocked,
    set_password,
    unblock,
    update_user,
    with_defaults,
)
from app.accounts.realms import (
    create_realm,
    new_realm,
    remove_realm,
    set_clients,
    set_mfa_mode,
    set_names,
    update_realm,
)
from app.accounts.setup import install
from app.accounts.tenant import put_document, remove_document, set_mfa_policies, update_tenant
from app.errors import NotPossible

__all__ = [
    "APP_TYPES",
    "AUTH_METHODS",
    "HEX",
    "NotPossible",
    "TOKEN_DIALECTS",
    "add_key",
    "create_api",
    "create_client",
    "create_grant",
    "create_realm",
    "create_user",
    "end_access",
    "grant_scopes",
    "grant_types_of",
    "hash_new_password",
    "initial_password",
    "install",
    "new_client_id",
    "new_realm",
    "new_user",
    "put_document",
    "remove_api",
    "remove_client",
    "remove_document",
    "remove_grant",
    "remove_key",
    "remove_realm",
    "remove_user",
    "reset_factors",
    "revoke_access",
    "rotate_secret",
    "set_blocked",
    "set_clients",
    "set_mfa_mode",
    "set_mfa_policies",
    "set_names",
    "set_password",
    "unblock",
    "update_api",
    "update_client",
    "update_grant",
    "update_realm",
    "update_tenant",
    "update_user",
    "with_defaults",
]
