"""Who calls the management API: the client of a token for it, with the scopes that it still has."""

import base64
import json
from dataclasses import dataclass

from app.context import Context
from app.errors import InvalidToken, NotPossible
from app.store.apis import find_api
from app.store.client_grants import find_granted
from app.store.clients import find_client
from app.tokens import signing
from app.tokens.audience import management_of
from app.web.bearer import bearer_token, has_authorization

MESSAGES = {
    "expired": "Expired token received for JSON Web Token validation",
    "not_a_token": "Invalid token",
    "strange_header": "Invalid token",
}
BAD_SIGNATURE = "Invalid signature received for JSON Web Token validation"


@dataclass(frozen=True)
class Caller:
    client_id: str
    scopes: frozenset[str]


def authenticate(ctx: Context) -> Caller:
    """Raises InvalidToken, NotPossible. A client that was disabled or lost its grant is refused at once."""
    presented = bearer_token()
    if presented is None:
        if has_authorization():
            raise NotPossible("Bad HTTP authentication header format", reason="")
        raise InvalidToken("Missing authentication", reason="no_token")
    audience = management_of(ctx.issuer)
    with ctx.db.read() as conn:
        try:
            claims = signing.verify(ctx, conn, presented, audience=audience, typs=("JWT", "at+jwt"))
        except InvalidToken as refusal:
            message = MESSAGES.get(refusal.reason, BAD_SIGNATURE)
            if refusal.reason == "wrong_audience":
                message = f"Bad audience: {_audience_of(presented)}"
            raise InvalidToken(message, reason=refusal.reason) from None
        client_id = str(claims.get("azp") or claims.get("client_id") or "")
        client = ctx.look_up(conn, find_client, client_id)
        api = ctx.look_up(conn, find_api, audience)
        granted = ctx.look_up(conn, find_granted, client_id, api.id) if api else None
    if claims["sub"] != f"{client_id}@clients" or client is None or not client.is_enabled or granted is None:
        raise InvalidToken("Client is not global.", reason="client_gone")
    return Caller(client_id, frozenset(str(claims.get("scope", "")).split()) & frozenset(granted))


def _audience_of(presented: str) -> str:
    """Of a token whose signature held."""
    payload = presented.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    aud = claims.get("aud")
    return ",".join(str(part) for part in aud) if isinstance(aud, list) else str(aud)
