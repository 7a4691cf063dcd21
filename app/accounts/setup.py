"""What every server has from its first start."""

from datetime import datetime

from sqlalchemy import Connection

from app.accounts import apis
from app.context import Context, Server
from app.crypto import digest, random_id
from app.store import apis as api_rows
from app.store import clients, tenant
from app.store.apis import Api
from app.store.clients import Client
from app.store.database import lock_installation
from app.tokens import signing
from app.tokens.audience import management_of

HEX = "0123456789abcdef"

_CRUD = ("read", "create", "update", "delete")
_MANAGED = (
    "users users_app_metadata clients client_keys client_credentials client_grants connections resource_servers rules "
    "rules_configs hooks actions roles role_members authentication_methods email_templates email_provider "
    "phone_providers phone_templates log_streams sessions refresh_tokens custom_domains device_credentials"
).split()
_OTHER = (
    "read:logs read:logs_users read:stats read:tenant_settings update:tenant_settings read:guardian_factors "
    "update:guardian_factors read:guardian_enrollments delete:guardian_enrollments "
    "create:guardian_enrollment_tickets read:mfa_policies update:mfa_policies read:attack_protection "
    "update:attack_protection read:anomaly_blocks delete:anomaly_blocks create:user_tickets create:signing_keys "
    "read:signing_keys update:signing_keys read:grants delete:grants read:connections_options "
    "update:connections_options read:branding update:branding read:prompts update:prompts read:client_summary "
    "read:organizations read:forms read:flows read:flows_vault_connections read:event_streams read:network_acls "
    "read:self_service_profiles read:user_attribute_profiles read:connection_profiles read:token_exchange_profiles "
    "read:groups read:encryption_keys read:custom_signing_keys read:scim_config read:directory_provisionings "
    "read:supplemental_signals read:rate_limit_policies read:user_idp_tokens read:federated_connections_tokens "
    "read:organization_client_grants read:connections_keys read:scim_token"
).split()
MANAGEMENT_SCOPES = (*(f"{verb}:{thing}" for thing in _MANAGED for verb in _CRUD), *_OTHER)


def install(server: Server, now: datetime) -> None:
    """The tenant's row, signing keys, the management API, the client that stands for all. Repeatable."""
    ctx = Context(server, now, ip="")
    with server.db.write() as conn:
        lock_installation(conn)
        if not tenant.has_tenant(conn):
            tenant.add_tenant(conn, "Belay", now)
        signing.ensure_keys(server, conn, signing.DEFAULT_ALGORITHM, now)
        _install_management_api(conn, ctx)
        _install_global_client(conn, now)
        _install_bootstrap_client(conn, ctx)


def _install_management_api(conn: Connection, ctx: Context) -> None:
    identifier = management_of(ctx.issuer)
    known = api_rows.find_api(conn, identifier)
    if known is None:
        api = Api(
            random_id(24, HEX), identifier, "Management API", ctx.now, MANAGEMENT_SCOPES, is_system=True
        )
        api_rows.add_api(conn, api)
    elif set(MANAGEMENT_SCOPES) - set(known.scopes):  # a newer version serves more
        api_rows.update_api(conn, known.id, scopes=list(MANAGEMENT_SCOPES))


def _install_global_client(conn: Connection, now: datetime) -> None:
    """Tools that export everything ask for it first. It has no grant and no secret."""
    if not clients.has_global_client(conn):
        client = Client(
            random_id(32), "All Applications", "non_interactive", "client_secret_post", now, is_global=True
        )
        clients.add_client(conn, client)


def _install_bootstrap_client(conn: Connection, ctx: Context) -> None:
    settings = ctx.settings
    if not settings.bootstrap_client_id or clients.find_client(conn, settings.bootstrap_client_id):
        return
    client = Client(
        id=settings.bootstrap_client_id,
        name="Bootstrap",
        app_type="non_interactive",
        auth_method="client_secret_post",
        created_at=ctx.now,
        grant_types=("client_credentials",),
        secret_digests=(digest(settings.bootstrap_client_secret),),
    )
    clients.add_client(conn, client)
    apis.grant_scopes(conn, ctx, client.id, management_of(ctx.issuer), MANAGEMENT_SCOPES)
