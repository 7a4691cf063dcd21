"""For whom security keys are made and who may present their answers: the relying party of WebAuthn, and its origins."""

import hashlib
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app import documents
from app.context import Context
from app.factors.factor import Demands
from app.store.clients import Client, is_web_origin, list_origins

STRICTNESS = ("discouraged", "preferred", "required")


def terms_of(ctx: Context, conn: Connection, kind: str, demands: Demands) -> tuple[str, str]:
    """(relying party, user verification) of new challenges; a realm may only be stricter than the tenant."""
    written = documents.content_of(ctx, conn, f"guardian/factors/{kind}/settings")
    named = written.get("relyingPartyIdentifier") if written.get("overrideRelyingParty") else None
    default = "required" if kind == "webauthn-platform" else "preferred"
    wishes = (written.get("userVerification") or default, demands.user_verification)
    return named or str(urlsplit(ctx.issuer).hostname), max(wishes, key=STRICTNESS.index)


def origins_of(ctx: Context, client: Client | None) -> tuple[str, ...]:
    """Whose pages and apps may present a response: our own, and those listed as the application's web origins."""
    url = urlsplit(ctx.issuer)
    own = f"{url.scheme}://{url.netloc}"
    if client is None:
        return (own,)
    with ctx.db.read() as conn:
        listed = ctx.look_up(conn, list_origins, client.id)
    return (own, *(origin for origin in listed if is_web_origin(client, origin)))


def user_handle(user_id: str) -> bytes:
    """What a key knows of its owner: always the same, and nothing that tells who it is (WebAuthn 14.6.1)."""
    return hashlib.sha256(f"webauthn/{user_id}".encode()).digest()
