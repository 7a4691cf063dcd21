"""Settings of the whole server: the tenant's own, and the documents beside them."""

import json
from typing import Any

from sqlalchemy import Connection

from app.accounts import changes
from app.context import Context
from app.crypto import owner_of
from app.errors import NotPossible
from app.policy import TENANT_POLICIES
from app.store import documents, realms
from app.store import tenant as rows
from app.store.apis import find_api
from app.store.documents import Document
from app.store.tenant import Tenant


def update_tenant(conn: Connection, ctx: Context, tenant: Tenant, **changed: Any) -> None:
    """Raises NotPossible."""
    directory = changed.get("default_directory")
    if directory:
        realm = realms.find_realm_by_name(conn, directory)
        if realm is None or not realm.takes_passwords:
            raise NotPossible("default_directory must be a connection that exists and takes passwords.")
    audience = changed.get("default_audience")
    api = find_api(conn, audience) if audience else None
    if audience and (api is None or api.is_system):
        raise NotPossible("default_audience must be an API that exists.")
    rows.update_tenant(conn, **changed)
    changes.record(conn, ctx, "tenant_updated", "tenant", before=tenant, after=rows.get_tenant(conn))


def set_mfa_policies(conn: Connection, ctx: Context, tenant: Tenant, policies: tuple[str, ...]) -> None:
    """Raises NotPossible."""
    if set(policies) - set(TENANT_POLICIES):
        raise NotPossible(f"a policy is one of: {', '.join(TENANT_POLICIES)}")
    update_tenant(conn, ctx, tenant, mfa_policies=list(policies))


def put_document(
    conn: Connection, ctx: Context, name: str, content: Any, secrets: dict[str, str] | None = None
) -> None:
    """Write a document of settings. `secrets` replace those it had; None leaves them."""
    before = documents.find_document(conn, name)
    sealed = before.sealed_secrets if before else None
    if secrets is not None:
        raw = json.dumps(secrets).encode()
        sealed = ctx.server.keyring.seal(raw, owner_of("documents", name)) if secrets else None
    documents.put_document(conn, Document(name, content, sealed))
    shown_before = before.content if before else None
    written = content
    if secrets and isinstance(
        content, dict
    ):  # where they stand in it is nobody's business: they were written
        written = content | {"secrets": dict.fromkeys(secrets, changes.MASK)}
    changes.record(conn, ctx, "settings_updated", name, before=shown_before, after=written)


def remove_document(conn: Connection, ctx: Context, name: str) -> bool:
    before = documents.find_document(conn, name)
    if before is None:
        return False
    documents.remove_document(conn, name)
    changes.record(conn, ctx, "settings_removed", name, before=before.content)
    return True
