"""Mails that tell somebody what happened to the account, or carry a link; beside the login, never part of it.

They go to the account's address; a new factor is told to the account's telephone as well. What is not verified is not
known to be the person's. A server without mail or texts sends none, and nothing fails for it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app import documents
from app.channels import email, outbox, sms, wording
from app.channels.channel import Message
from app.context import Context
from app.crypto import random_id
from app.store import buckets
from app.store.tenant import get_tenant
from app.store.users import User

# Whoever adds a factor with a stolen password may have the mailbox, too.
TOLD_BY_TEXT = ("factor_added",)
TEXTS_A_DAY = 3

VALID_FOR = timedelta(hours=24)  # a server whose mail is down for longer has other news to tell

# By language and event: a subject, and what is said.
TEXTS: dict[str, dict[str, tuple[str, str]]] = {
    "en": {
        "factor_added": (
            "A second factor was added to your account",
            "A second factor ({factor}) was added to your account at {tenant}. If that was not you, tell the people "
            "who run {tenant} at once.",
        ),
        "factor_removed": (
            "A second factor was removed from your account",
            "A second factor was removed from your account at {tenant}. If that was not you, tell the people who run "
            "{tenant} at once.",
        ),
        "push_rejected": (
            "A login was rejected on your phone",
            "A login to your account at {tenant} was rejected on your phone. If you did not begin it, somebody knows "
            "your password: change it.",
        ),
        "recovery_code_used": (
            "Your recovery code was used",
            "The recovery code of your account at {tenant} was used to log in, and replaced by a new one. If that was "
            "not you, tell the people who run {tenant} at once.",
        ),
        "password_changed": (
            "Your password was changed",
            "The password of your account at {tenant} was changed. If that was not you, tell the people who run "
            "{tenant} at once.",
        ),
        "reset_email": (
            "Set a new password",
            "Somebody asked for a new password for your account at {tenant}. With this link you set it:\n\n{url}\n\n"
            "If it was not you, leave it: nothing has changed.",
        ),
        "verify_email": (
            "Confirm your address",
            "With this link you confirm that this is your address at {tenant}:\n\n{url}",
        ),
        "blocked_account": (
            "Your account has been blocked",
            "Somebody has tried many wrong passwords for your account at {tenant}, and logins from there are blocked "
            "now. If it was you, this link lets you try again:\n\n{url}\n\nIf not, you need not do anything.",
        ),
        "stolen_credentials": (
            "Your password is known to others",
            "The password of your account at {tenant} is on a list of passwords that were stolen from other services. "
            "Please choose a new one, which you use nowhere else.",
        ),
        "factor_guessed": (
            "Somebody knows your password",
            "Somebody has entered the password of your account at {tenant}, and then many wrong codes. If that was not "
            "you, choose a new password, and tell the people who run {tenant}.",
        ),
        "grace_until": (
            "Set up a second factor",
            "Your account at {tenant} needs a second factor. You can log in without one until {until}; set one up "
            "before, in the application or with the people who run {tenant}.",
        ),
        "grace_skips": (
            "Set up a second factor",
            "Your account at {tenant} needs a second factor. Logins without one that are left: {left}. Set one up "
            "before, in the application or with the people who run {tenant}.",
        ),
        "enrollment_email": (
            "Add a second factor",
            "With this link you add a second factor to your account at {tenant}, once:\n\n{url}",
        ),
    },
    "de": {
        "factor_added": (
            "Ihrem Konto wurde ein zweiter Faktor hinzugefügt",
            "Ihrem Konto bei {tenant} wurde ein zweiter Faktor ({factor}) hinzugefügt. Wenn Sie das nicht waren, "
            "melden Sie es sofort bei {tenant}.",
        ),
        "factor_removed": (
            "Ein zweiter Faktor wurde von Ihrem Konto entfernt",
            "Von Ihrem Konto bei {tenant} wurde ein zweiter Faktor entfernt. Wenn Sie das nicht waren, melden Sie es "
            "sofort bei {tenant}.",
        ),
        "push_rejected": (
            "Eine Anmeldung wurde auf Ihrem Telefon abgelehnt",
            "Auf Ihrem Telefon wurde eine Anmeldung an Ihrem Konto bei {tenant} abgelehnt. Wenn nicht Sie sie begonnen "
            "haben, kennt jemand Ihr Passwort: Ändern Sie es.",
        ),
        "recovery_code_used": (
            "Ihr Wiederherstellungscode wurde benutzt",
            "Mit dem Wiederherstellungscode Ihres Kontos bei {tenant} hat sich jemand angemeldet; er wurde durch einen "
            "neuen ersetzt. Wenn Sie das nicht waren, melden Sie es sofort bei {tenant}.",
        ),
        "password_changed": (
            "Ihr Passwort wurde geändert",
            "Das Passwort Ihres Kontos bei {tenant} wurde geändert. Wenn Sie das nicht waren, melden Sie es sofort bei "
            "{tenant}.",
        ),
        "reset_email": (
            "Neues Passwort setzen",
            "Jemand hat für Ihr Konto bei {tenant} ein neues Passwort verlangt. Mit diesem Link setzen Sie es:\n\n"
            "{url}\n\nWenn Sie das nicht waren, lassen Sie es: Es hat sich nichts geändert.",
        ),
        "verify_email": (
            "Adresse bestätigen",
            "Mit diesem Link bestätigen Sie, dass dies Ihre Adresse bei {tenant} ist:\n\n{url}",
        ),
        "blocked_account": (
            "Ihr Konto wurde gesperrt",
            "Jemand hat viele falsche Passwörter für Ihr Konto bei {tenant} probiert; Anmeldungen von dort sind jetzt "
            "gesperrt. Wenn Sie das waren, hebt dieser Link die Sperre auf:\n\n{url}\n\nWenn nicht, müssen Sie nichts "
            "tun.",
        ),
        "stolen_credentials": (
            "Ihr Passwort ist anderen bekannt",
            "Das Passwort Ihres Kontos bei {tenant} steht auf einer Liste von Passwörtern, die anderswo gestohlen "
            "wurden. Bitte wählen Sie ein neues, das Sie nirgends sonst benutzen.",
        ),
        "factor_guessed": (
            "Jemand kennt Ihr Passwort",
            "Jemand hat das Passwort Ihres Kontos bei {tenant} eingegeben und danach viele falsche Codes. Wenn Sie das "
            "nicht waren, wählen Sie ein neues Passwort und melden Sie es {tenant}.",
        ),
        "grace_until": (
            "Richten Sie einen zweiten Faktor ein",
            "Ihr Konto bei {tenant} braucht einen zweiten Faktor. Ohne ihn können Sie sich bis {until} anmelden; "
            "richten Sie vorher einen ein, in der Anwendung oder bei {tenant}.",
        ),
        "grace_skips": (
            "Richten Sie einen zweiten Faktor ein",
            "Ihr Konto bei {tenant} braucht einen zweiten Faktor. Verbleibende Anmeldungen ohne ihn: {left}. Richten "
            "Sie vorher einen ein, in der Anwendung oder bei {tenant}.",
        ),
        "enrollment_email": (
            "Zweiten Faktor hinzufügen",
            "Mit diesem Link fügen Sie Ihrem Konto bei {tenant} einmal einen zweiten Faktor hinzu:\n\n{url}",
        ),
    },
}


def put(
    conn: Connection,
    ctx: Context,
    user: User,
    event: str,
    *,
    to: str | None = None,
    valid_for: timedelta = VALID_FOR,
    is_for_nobody: bool = False,
    waits_for: timedelta = timedelta(0),
    **values: str,
) -> bool:
    """Have a mail sent once this transaction is committed; False where there is no address or no mail.

    Some are told by a text message, too.

    A notice goes to an address that is known to be the person's; a link proves that by being used. One for nobody is
    written and never sent.
    """
    if event in TOLD_BY_TEXT:
        _text(conn, ctx, user, event, values)
    address = to or user.email
    is_link = "url" in values
    if address is None or not (is_link or user.email_verified) or not email.is_ready(ctx, conn):
        return False
    tenant = ctx.look_up(conn, get_tenant).name
    subject, text = TEXTS.get(ctx.language, TEXTS["en"])[event]
    own = _own(ctx, conn, event, user, tenant, values)
    message = Message(
        id=f"msg_{random_id(22)}",
        destination=address,
        text=text.format(tenant=tenant, **values),
        subject=own.subject if own and own.subject else subject,
        html=own.html if own else None,
        sender=own.sender if own else None,
        language=ctx.language if ctx.language in TEXTS else "en",
    )
    outbox.put(
        conn,
        ctx,
        "email",
        message,
        expires_at=ctx.now + valid_for,
        user_id=None if is_for_nobody else user.id,
        is_for_nobody=is_for_nobody,
        waits_for=waits_for,
    )
    return True


def _text(conn: Connection, ctx: Context, user: User, event: str, values: Mapping[str, str]) -> None:
    if user.phone_number is None or not user.phone_verified or not sms.CHANNEL.is_ready(ctx, conn):
        return
    key, refill_seconds = f"notice/sms/{user.id}", 86400 / TEXTS_A_DAY
    if buckets.spend(conn, key, size=TEXTS_A_DAY, refill_seconds=refill_seconds, now=ctx.now) is not None:
        return
    _, text = TEXTS.get(ctx.language, TEXTS["en"])[event]
    message = Message(
        id=f"msg_{random_id(22)}",
        destination=user.phone_number,
        text=text.format(tenant=ctx.look_up(conn, get_tenant).name, **values),
        language=ctx.language if ctx.language in TEXTS else "en",
        payload={"user_id": user.id},
    )
    outbox.put(conn, ctx, "sms", message, expires_at=ctx.now + VALID_FOR, user_id=user.id)


def _own(
    ctx: Context, conn: Connection, event: str, user: User, tenant: str, values: Mapping[str, str]
) -> wording.Wording | None:
    """What an administrator's template says, where there is one that can be rendered."""
    template = documents.content_of(ctx, conn, f"email-templates/{event}")
    if not template or not template.get("enabled", True):
        return None
    given: dict[str, Any] = {
        **values,
        "link": values.get("url", ""),
        "tenant": urlsplit(ctx.issuer).hostname,
        "friendly_name": tenant,
        "request_language": ctx.language,
        "user": {"email": user.email, "name": user.name, "user_metadata": user.user_metadata},
    }
    html = wording.rendered(template.get("body", ""), given, escapes=True)
    if html is None or values.get("url", "") not in html.replace("&amp;", "&"):
        return None
    subject = wording.rendered(template.get("subject", ""), given) or ""
    return wording.Wording("", subject, html, template.get("from"))
