"""How a challenge is asked: written together with what is sent for it, if there may be one more message."""

from sqlalchemy import Connection

from app.channels import outbox
from app.context import Context
from app.factors.factor import Begun, Factor
from app.guards import sends
from app.store import challenges
from app.store.authenticators import Authenticator
from app.store.realms import Realm


def ask(
    conn: Connection,
    ctx: Context,
    factor: Factor,
    device: Authenticator,
    realm: Realm | None,
    begun: Begun,
) -> None:
    """Write a challenge and what is sent with it, if there may be one more. Raises InvalidRequest (429)."""
    if factor.costs is not None and begun.message is not None:
        realm_id = realm.id if realm else ""
        sends.before(
            conn,
            ctx,
            realm_id=realm_id,
            device=device,
            channel=factor.costs,
            budget=sends.budget_of(realm),
            transaction_id=begun.challenge.transaction_id,
        )
    challenges.add_challenge(conn, begun.challenge)
    if begun.message is not None:
        channel, message = begun.message
        outbox.put(
            conn,
            ctx,
            channel,
            message,
            expires_at=begun.challenge.expires_at,
            user_id=begun.challenge.user_id,
            challenge_id=begun.challenge.id,
        )
