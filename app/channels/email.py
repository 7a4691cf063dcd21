"""Mail, over SMTP. Certificates are verified; a password is never sent over a connection that is not encrypted."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app import documents, http_out
from app.channels import terminal
from app.channels.channel import Channel, DeliveryFailed, Message
from app.channels.gateways import Gateway, read_gateway
from app.context import Context

PROVIDER = "emails/provider"
STEP_SECONDS = 5.0  # of connecting, and of each step of the conversation
PORTS = {"smtp": 25, "smtps": 465}


def gateway_of(ctx: Context, conn: Connection) -> Gateway | None:
    """What an administrator wrote, else the setting; None where there is neither, or the first is switched off."""
    written = documents.find(ctx, conn, PROVIDER)
    if written is not None and written.content.get("name") == "smtp":
        content, credentials = written.content, written.content.get("credentials") or {}
        if not content.get("enabled", True):
            return None
        port = credentials.get("smtp_port") or PORTS["smtp"]
        sender = content.get("default_from_address")
        return Gateway(
            "smtps" if port == PORTS["smtps"] else "smtp",
            credentials.get("smtp_host", ""),
            port,
            credentials.get("smtp_user") or "",
            documents.secrets_of(ctx, written).get("smtp_pass", ""),
            options={"from": sender} if sender else {},
        )
    return read_gateway(ctx.settings.smtp_url) if ctx.settings.smtp_url else None


def is_ready(ctx: Context, conn: Connection) -> bool:
    return gateway_of(ctx, conn) is not None


def deliver(ctx: Context, message: Message) -> None:
    """Raises DeliveryFailed."""
    with ctx.db.read() as conn:
        gateway = gateway_of(ctx, conn)
    if gateway is None:
        raise DeliveryFailed("no_gateway", may_repeat=False)
    if gateway.kind == "terminal":
        terminal.deliver("email", message)
        return
    try:
        mail = _mail(ctx, gateway, message)
    except ValueError:  # a line break in a header
        raise DeliveryFailed("not_sendable", may_repeat=False) from None
    step = "connecting"
    try:
        with _connected(gateway) as smtp:
            step = "offered"
            smtp.send_message(mail)
            step = "taken"
    except smtplib.SMTPRecipientsRefused as refusal:
        codes = [code for code, _ in refusal.recipients.values()]
        raise _refused(max(codes, default=550)) from None
    except smtplib.SMTPResponseException as refusal:
        raise _refused(refusal.smtp_code) from None
    except ssl.SSLError:
        if step != "taken":
            raise DeliveryFailed("tls_failed", may_repeat=step == "connecting") from None
    except (smtplib.SMTPNotSupportedError, UnicodeError, ValueError):
        raise DeliveryFailed("not_sendable", may_repeat=False) from None
    except (smtplib.SMTPException, OSError):
        # Broken off in the middle of the offer, it may have been taken all the same.
        if step == "offered":
            raise DeliveryFailed("connection_broken", may_repeat=False) from None
        if step == "connecting":
            raise DeliveryFailed("not_reachable", may_repeat=True) from None


def _refused(code: int) -> DeliveryFailed:
    """RFC 5321 4.2.1: a code that begins with 4 may be otherwise later."""
    return DeliveryFailed(f"smtp_{code}", may_repeat=400 <= code < 500)


def _connected(gateway: Gateway) -> smtplib.SMTP:
    port = gateway.port or PORTS[gateway.kind]
    is_local = gateway.origin.startswith("http://")
    if gateway.kind == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            gateway.host, port, timeout=STEP_SECONDS, context=http_out.trusted_authorities()
        )
    else:
        smtp = smtplib.SMTP(gateway.host, port, timeout=STEP_SECONDS)
    try:
        smtp.ehlo()
        is_encrypted = gateway.kind == "smtps"
        # Demanded by `starttls=1` or a password, taken where it is offered.
        wants = gateway.options.get("starttls") == "1" or (gateway.username and not is_local)
        if not is_encrypted and (wants or smtp.has_extn("starttls")):
            smtp.starttls(context=http_out.trusted_authorities())
            smtp.ehlo()
        if gateway.username:
            smtp.login(gateway.username, gateway.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _mail(ctx: Context, gateway: Gateway, message: Message) -> EmailMessage:
    domain = urlsplit(ctx.issuer).hostname or "localhost"
    mail = EmailMessage()
    mail["From"] = message.sender or gateway.options.get("from") or f"no-reply@{domain}"
    mail["To"] = message.destination
    mail["Subject"] = message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.id}@{domain}>"  # a server that gets it twice can tell
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail["Content-Language"] = message.language
    mail.set_content(message.text)
    if message.html is not None:
        mail.add_alternative(message.html, subtype="html")
    return mail


CHANNEL = Channel("email", deliver, is_ready, "gd_send_email", "gd_send_email_failure", reaches="email")
