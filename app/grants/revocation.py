"""RFC 7009: a client gives back a refresh token. The whole family ends, and its opaque access tokens with it.

An unknown token and somebody else's are the same silent success.
"""

from app import audit
from app.context import Context
from app.store import opaque_tokens, refresh_families
from app.store.clients import Client
from app.tokens import refresh


def revoke(ctx: Context, client: Client, token: str) -> None:
    presented = refresh.read(token)
    if presented is None:
        return
    with ctx.db.write() as conn:
        family = refresh_families.hold_family(conn, presented.handle_digest)
        if family is None or family.client_id != client.id:
            return
        ctx.facts.user_id = family.user_id
        if refresh_families.revoke_family(conn, family.handle_digest, ctx.now):
            opaque_tokens.remove_opaque_tokens_of_family(conn, family.handle_digest)
            audit.record(conn, ctx, "srrt")
