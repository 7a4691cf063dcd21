"""Push messages to the app on a person's phone, in the shapes that apps built on the Guardian SDKs read.

An app names the service that reaches it. APNs and FCM go with what an administrator wrote; for everything else there
is the gateway of the environment: an ntfy server, or a webhook that takes JSON.
"""

import json
import re
from base64 import b64encode
from dataclasses import replace

from sqlalchemy import Connection

from app import documents
from app.channels import apns, fcm, phone, terminal
from app.channels.channel import Channel, DeliveryFailed, Message
from app.channels.gateways import read_gateway
from app.context import Context
from app.store.documents import Document

PROVIDERS = "guardian/factors/push-notification/providers"
SELECTED = "guardian/factors/push-notification/selected-provider"
SENDERS = {"APNS": (f"{PROVIDERS}/apns", apns.send), "GCM": (f"{PROVIDERS}/fcmv1", fcm.send)}
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what ntfy takes


def provider_of(ctx: Context, conn: Connection, service: str) -> Document | None:
    """What an administrator wrote for that service; None where it lacks what signs."""
    if service not in SENDERS or documents.content_of(ctx, conn, SELECTED).get("provider") == "sns":
        return None
    found = documents.find(ctx, conn, SENDERS[service][0])
    return found if found is not None and found.sealed_secrets is not None else None


def is_ready(ctx: Context, conn: Connection) -> bool:
    return bool(ctx.settings.push_url) or any(provider_of(ctx, conn, service) for service in SENDERS)


def deliver(ctx: Context, message: Message) -> None:
    """Raises DeliveryFailed."""
    service, _, token = message.destination.partition(":")
    with ctx.db.read() as conn:
        provider = provider_of(ctx, conn, service)
    if provider is not None:
        SENDERS[service][1](ctx, provider, token, message)
    elif ctx.settings.push_url:
        _through_gateway(ctx, service, token, message)
    else:
        raise DeliveryFailed("no_gateway", may_repeat=False)


def _through_gateway(ctx: Context, service: str, token: str, message: Message) -> None:
    gateway = read_gateway(ctx.settings.push_url)
    enrollment_id = str(message.payload["dai"])
    if gateway.kind == "terminal":
        lines = f"{message.text}\n  {json.dumps(message.payload)}"
        terminal.deliver("push", replace(message, destination=enrollment_id, text=lines))
    elif gateway.kind.startswith("ntfy"):
        # An app of one's own takes its topic for its token; one that has none listens to its enrolment.
        topic = token if TOPIC.fullmatch(token) else enrollment_id
        title = b64encode(message.subject.encode()).decode()  # RFC 2047: a header is ASCII
        headers = {"Title": f"=?UTF-8?B?{title}?=", "Priority": "high"}
        if gateway.password:
            basic = b64encode(f"{gateway.username}:{gateway.password}".encode()).decode()
            headers["Authorization"] = f"Basic {basic}"
        url = f"{gateway.origin}{gateway.path.rstrip('/')}/{topic}"
        phone.post(ctx, gateway, url, json.dumps(message.payload).encode(), headers)
    else:
        credentials = {"service": service, "token": token} if token else None
        body: dict[str, object] = {
            "enrollment_id": enrollment_id,
            "push_credentials": credentials,
            "payload": message.payload,
            "message_id": message.id,
        }
        phone.webhook(ctx, gateway, body)


CHANNEL = Channel("push", deliver, is_ready, "gd_send_pn", "gd_send_pn_failure")
