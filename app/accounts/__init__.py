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
from app.accounts.arrivals import arrive, is_still_there
from app.accounts.log_streams import create_log_stream, remove_log_stream, update_log_stream
from app.accounts.passwords import generate as initial_password
from app.accounts.people import (
    HEX,
    create_user,
    end_access,
    hash_new_password,
    label_refresh_token,
    new_user,
    remove_user,
    reset_factors,
    revoke_access,
    revoke_refresh_tokens,
    revoke_refresh_tokens_of,
    set_blocked,
    set_password,
    sign_up,
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
from app.accounts.recovering import make_pass, reset_mfa, void_passes
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
    "arrive",
    "create_api",
    "create_client",
    "create_grant",
    "create_log_stream",
    "create_realm",
    "create_user",
    "end_access",
    "grant_scopes",
    "grant_types_of",
    "hash_new_password",
    "initial_password",
    "is_still_there",
    "label_refresh_token",
    "make_pass",
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
    "remove_log_stream",
    "remove_realm",
    "remove_user",
    "reset_factors",
    "reset_mfa",
    "revoke_access",
    "revoke_refresh_tokens",
    "revoke_refresh_tokens_of",
    "rotate_secret",
    "set_blocked",
    "set_clients",
    "set_mfa_mode",
    "set_mfa_policies",
    "set_names",
    "set_password",
    "sign_up",
    "unblock",
    "update_api",
    "update_client",
    "update_grant",
    "update_log_stream",
    "update_realm",
    "update_tenant",
    "update_user",
    "void_passes",
    "with_defaults",
]
