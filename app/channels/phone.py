"""What SMS and voice share: the gateway to the telephone network.

Any host that speaks Twilio's messages and calls API, or a webhook that takes JSON.
"""

import json
from base64 import b64encode
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from sqlalchemy import Connection

from app import documents, hooks
from app.channels import terminal
from app.channels.channel import DeliveryFailed, Message
from app.channels.gateways import Gateway, ask, check, read_gateway
from app.context import Context
from app.errors import TemporarilyUnavailable
from app.rules.rule import Answered
from app.store import users
from app.store.hooks import Hook

TWILIO = "guardian/factors/phone/providers/twilio"
SELECTED = "guardian/factors/phone/selected-provider"
HOOK = "phone-message-hook"
TWILIO_HOST = "api.twilio.com"
API = "/2010-04-01/Accounts"


def gateway_of(ctx: Context, conn: Connection, channel: str) -> Gateway | None:
    """What an administrator chose and wrote, else the setting; None where there is neither."""
    if documents.content_of(ctx, conn, SELECTED).get("provider") == HOOK:
        # Nobody else is asked instead: codes go where the administrator said, or nowhere.
        hook = hooks.in_force(ctx, conn, hooks.SEND_PHONE_MESSAGE)
        return None if hook is None else Gateway(HOOK)
    written = documents.find(ctx, conn, TWILIO)
    if written is not None and written.content.get("sid"):
        content, secrets = written.content, documents.secrets_of(ctx, written)
        options = {"from": content.get("from"), "service": content.get("messaging_service_sid")}
        return Gateway(
            "twilio",
            TWILIO_HOST,
            username=content["sid"],
            password=secrets.get("auth_token", ""),
            options={name: value for name, value in options.items() if value},
        )
    address = ctx.settings.voice_url if channel == "voice" else ctx.settings.sms_url
    return read_gateway(address) if address else None


def is_ready(ctx: Context, conn: Connection, channel: str) -> bool:
    return gateway_of(ctx, conn, channel) is not None


def deliver(ctx: Context, message: Message, channel: str) -> None:
    """Raises DeliveryFailed."""
    with ctx.db.read() as conn:
        gateway = gateway_of(ctx, conn, channel)
        hook = hooks.in_force(ctx, conn, hooks.SEND_PHONE_MESSAGE)
    if gateway is None:
        raise DeliveryFailed("no_gateway", may_repeat=False)
    if gateway.kind == HOOK:
        if hook is None:
            raise DeliveryFailed("no_gateway", may_repeat=False)
        return _call_hook(ctx, hook, message, channel)
    if gateway.kind == "terminal":
        terminal.deliver(channel, message)
    elif gateway.kind == "twilio":
        _twilio(ctx, gateway, message, channel)
    else:
        webhook(
            ctx,
            gateway,
            {
                "to": message.destination,
                "channel": channel,
                "text": message.text,
                "code": message.code,
                "message_id": message.id,
            },
        )


def _call_hook(ctx: Context, hook: Hook, message: Message, channel: str) -> None:
    """Raises DeliveryFailed; what a hook began may have gone out, so it is not called again."""
    about = dict(message.payload)
    with ctx.db.read() as conn:
        user = users.find_user(conn, str(about.pop("user_id", "")))
    shown: dict[str, object] = {}
    if user is not None:
        shown = {
            "user_id": user.id,
            "name": user.name or user.email or user.username,
            "email": user.email,
            "app_metadata": user.app_metadata,
            "user_metadata": user.user_metadata,
        }
    told = {
        "message_type": channel,
        "language": message.language,
        "code": message.code,
        "user": shown,
    } | about
    try:
        outcome = hooks.call(ctx, hook, message.destination, message.text, told)
    except TemporarilyUnavailable:
        raise DeliveryFailed("hook_not_called", may_repeat=True) from None
    if not isinstance(outcome, Answered):
        raise DeliveryFailed(f"hook_{outcome.why}", may_repeat=False)


def _twilio(ctx: Context, gateway: Gateway, message: Message, channel: str) -> None:
    account = quote(gateway.username, safe="")
    form = {"To": message.destination}
    if gateway.options.get("service") and channel == "sms":
        form["MessagingServiceSid"] = gateway.options["service"]
    elif gateway.options.get("from"):
        form["From"] = gateway.options["from"]
    if channel == "voice":
        # Read twice and slowly: nobody has a pen at hand the first time.
        spoken = escape(" ".join(message.text) if message.text.isdigit() else message.text)
        form["Twiml"] = (
            f'<Response><Say loop="2" language="{escape(message.language)}">{spoken}</Say></Response>'
        )
        url = f"{gateway.origin}{API}/{account}/Calls.json"
    else:
        form["Body"] = message.text
        url = f"{gateway.origin}{API}/{account}/Messages.json"
    basic = b64encode(f"{gateway.username}:{gateway.password}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"}
    post(ctx, gateway, url, urlencode(form).encode(), headers)


def webhook(ctx: Context, gateway: Gateway, body: dict[str, object]) -> None:
    """POST JSON to `webhook+https://…`. Raises DeliveryFailed."""
    query = f"?{urlencode(gateway.options)}" if gateway.options else ""
    headers = {"Content-Type": "application/json"}
    if gateway.username:
        basic = b64encode(f"{gateway.username}:{gateway.password}".encode()).decode()
        headers["Authorization"] = f"Basic {basic}"
    post(ctx, gateway, f"{gateway.origin}{gateway.path}{query}", json.dumps(body).encode(), headers)


def post(ctx: Context, gateway: Gateway, url: str, body: bytes, headers: dict[str, str]) -> None:
    """Raises DeliveryFailed."""
    is_local = gateway.origin.startswith("http://")
    check(ask(ctx, url, body, headers, is_local=is_local).status)
