"""ID tokens, and the claims about a person that `/userinfo` answers as well."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from app.context import Context
from app.store.clients import Client
from app.store.signing_keys import Signer
from app.store.users import User
from app.tokens import signing
from app.tokens.methods import Methods, claims


def iso(moment: datetime) -> str:
    """ISO 8601 UTC with milliseconds and `Z`, as every timestamp of this dialect."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def profile(user: User, scope: tuple[str, ...]) -> dict[str, object]:
    """`sub` and the claims that the scopes open."""
    found: dict[str, object | None] = {"sub": user.id}
    if "profile" in scope:
        found |= {
            "name": user.name or user.email or user.username,
            "given_name": user.given_name,
            "family_name": user.family_name,
            "nickname": user.nickname or user.username or (user.email or "").partition("@")[0],
            "picture": user.picture,
            "updated_at": iso(user.updated_at),
        }
    if "email" in scope and user.email:
        found |= {"email": user.email, "email_verified": user.email_verified}
    if "phone" in scope and user.phone_number:
        found |= {"phone_number": user.phone_number, "phone_number_verified": user.phone_verified}
    return {name: value for name, value in found.items() if value not in (None, "")}


def sign_id_token(
    ctx: Context,
    signer: Signer,
    user: User,
    client: Client,
    scope: tuple[str, ...],
    methods: Methods,
    further: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """No `nonce`: SDKs refuse one that they did not ask for. `further` claims never replace one of ours."""
    now = int(ctx.now.timestamp())
    expiry = {"iss": ctx.issuer, "aud": client.id, "iat": now, "exp": now + client.id_token_seconds}
    return signing.sign(ctx, signer, {**further} | profile(user, scope) | expiry | claims(methods))
