"""What a login is about, for the phone that is asked about it (Guardian's "rich consent"): before a tap, not instead.

Only the phone that was rung may look, and only while its answer is waited for: it shows the token of the push, and a
proof signed with the key that it enrolled. To look twice tells nothing new, so the proof's `jti` is not kept.
"""

from app.accounts import devices
from app.channels import wording
from app.context import Context
from app.errors import InvalidToken, Missing, Unauthorized
from app.factors.push import moment
from app.store import clients, transactions
from app.store.tenant import get_tenant
from app.tokens import phone

PATH = "rich-consents"


def show(ctx: Context, named: str, token: str, proof: str) -> dict[str, object]:
    """Raises Unauthorized, Missing."""
    with ctx.db.read() as conn:
        asked = devices.challenge_of(conn, token)
        if asked is None or asked.details.get("is_enrollment"):
            raise Unauthorized(devices.BAD_TOKEN, reason="invalid_token")
        device, _ = devices.asked_and_owner(ctx, conn, asked)
        transaction = transactions.find_transaction_by_id(conn, asked.transaction_id)
        client = ctx.look_up(conn, clients.find_client, str(asked.details.get("client_id")))
        tenant = ctx.look_up(conn, get_tenant)
    key = device.details.get("public_key")
    try:
        if not isinstance(key, dict):
            raise InvalidToken(reason="no_key")
        phone.check_proof(proof, key, url=f"{ctx.issuer}{PATH}/{named}", token=token, now=ctx.now)
    except InvalidToken:
        raise Unauthorized(devices.BAD_TOKEN, reason="invalid_token") from None
    if named != asked.id or transaction is None or not devices.is_waiting(ctx, asked):
        raise Missing(devices.NO_TRANSACTION, reason="login_transaction_not_found")
    return {
        "id": named,
        "requested_details": {
            "audience": transaction.audience or f"{ctx.issuer}userinfo",
            "scope": transaction.scope.split(),
            "binding_message": wording.of_push(ctx.language, tenant.name, client.name if client else ""),
            "authorization_details": [],
        },
        "created_at": moment(asked.created_at),
        "expires_at": moment(asked.expires_at),
    }
