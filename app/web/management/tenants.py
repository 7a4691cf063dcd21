"""`/tenants/settings`: what holds for the whole server."""

from typing import Annotated, Any

from pydantic import Field

from app import accounts
from app.store import documents, tenant
from app.store.tenant import lock_tenant
from app.web.management.operation import Call, operation
from app.web.management.paging import Fields, choose
from app.web.management.schema import Lenient
from app.web.management.setting import merged

DOCUMENT = "tenants/settings"
DEFAULTS: dict[str, Any] = {
    "enabled_locales": ["en"],
    "session_lifetime": 168,
    "idle_session_lifetime": 72,
    "ephemeral_session_lifetime": 72,
    "idle_ephemeral_session_lifetime": 24,
    "sandbox_version": "22",
    "sandbox_versions_available": ["22"],
    "customize_mfa_in_postlogin_action": False,
    "flags": {
        "mfa_show_factor_list_on_enrollment": False,
        "disable_management_api_sms_obfuscation": False,
        "revoke_refresh_token_grant": False,
    },
}
OURS = {
    "friendly_name": "name",
    "default_directory": "default_directory",
    "default_audience": "default_audience",
}
EMPTIED = (
    "default_token_quota",
    "error_page",
    "mtls",
    "skip_non_verifiable_callback_uri_confirmation_prompt",
)


def _view(call: Call) -> dict[str, Any]:
    with call.ctx.db.read() as conn:
        known = tenant.get_tenant(conn)
        found = documents.find_document(conn, DOCUMENT)
    kept = merged(DEFAULTS, found.content if found else {})
    return {
        **{name: value for name, value in kept.items() if value is not None},
        "friendly_name": known.name,
        "default_directory": known.default_directory or "",
        "default_audience": known.default_audience or "",
    }


@operation("GET", "/tenants/settings", scopes="read:tenant_settings", query=Fields)
def show_settings(call: Call) -> object:
    """Settings of the tenant"""
    return choose(_view(call), call.query, [*DEFAULTS, *OURS, *Changes.model_fields, *EMPTIED])


Hours = Annotated[float, Field(gt=0, le=8760)]


class Changes(Lenient):
    """Lenient: tools write many settings of pages and features that this server does not have. They are kept."""

    friendly_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    default_directory: Annotated[str, Field(max_length=128)] | None = None
    default_audience: Annotated[str, Field(max_length=600)] | None = None
    support_email: str | None = None
    support_url: str | None = None
    picture_url: str | None = None
    enabled_locales: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    session_lifetime: Hours | None = None
    idle_session_lifetime: Hours | None = None
    flags: dict[str, Any] | None = None


@operation("PATCH", "/tenants/settings", scopes="update:tenant_settings", body=Changes)
def update_settings(call: Call) -> object:
    """Change settings of the tenant; `flags` merge, null unsets"""
    given = call.body.model_dump(mode="json", exclude_unset=True)
    own = {column: given.pop(name) or None for name, column in OURS.items() if name in given}
    if own.get("name", "") is None:
        del own["name"]
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        if own:
            accounts.update_tenant(conn, call.ctx, tenant.get_tenant(conn), **own)
        if given:
            found = documents.find_document(conn, DOCUMENT)
            content = merged(found.content if found else {}, given)
            accounts.put_document(conn, call.ctx, DOCUMENT, content)
    return _view(call)


OPERATIONS = (show_settings, update_settings)
