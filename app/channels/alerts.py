"""What a realm's policy wants its security team to hear of, at once: an event for log streams, a mail, or both.

The mail goes to the tenant's `support_email`. Whoever causes alerts must not be able to bury others under them: those
that strangers can cause are told once for a person and day, and mails are limited for the realm and the kind.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit, documents
from app.channels import email, outbox
from app.channels.channel import Message
from app.channels.notices import VALID_FOR
from app.context import Context
from app.crypto import random_id
from app.identifiers import is_email_address
from app.policy_terms import AlertKind, Terms
from app.store import buckets, realms
from app.store.events import add_event
from app.store.realms import Realm
from app.store.tenant import get_tenant

SETTINGS = "tenants/settings"
MAILS = (10, 360.0)  # of one kind and realm: ten, and one back each six minutes
BURST = (20, 180.0)  # enrolments of a realm that are nothing unusual: twenty at once, or an hour

# By language and kind: a subject, and what is said.
TEXTS: dict[str, dict[AlertKind, tuple[str, str]]] = {
    "en": {
        "break_glass": (
            "An emergency account was used",
            "An emergency account logged in without a second factor.",
        ),
        "exemption_used": (
            "Somebody logged in by an exemption",
            "Somebody logged in without a second factor, because the policy exempts them. Of this person you hear "
            "once a day.",
        ),
        "reset": (
            "Second factors were reset",
            "An administrator removed somebody's second factors.",
        ),
        "enrollment_burst": (
            "Many second factors were added",
            "Unusually many people have added a second factor within the hour. You hear of it once an hour.",
        ),
        "otp_guessing": (
            "Somebody guesses at a second factor",
            "Somebody has entered the password of an account, and then many wrong codes. Of this account you hear "
            "once a day.",
        ),
        "policy_changed": (
            "The policy of second factors was changed",
            "An administrator changed the policy of second factors.",
        ),
    },
    "de": {
        "break_glass": (
            "Ein Notfallkonto wurde benutzt",
            "Ein Notfallkonto hat sich ohne zweiten Faktor angemeldet.",
        ),
        "exemption_used": (
            "Jemand hat sich mit einer Ausnahme angemeldet",
            "Jemand hat sich ohne zweiten Faktor angemeldet, weil die Richtlinie es ausnimmt. Von dieser Person hören "
            "Sie einmal am Tag.",
        ),
        "reset": (
            "Zweite Faktoren wurden zurückgesetzt",
            "Ein Administrator hat jemandes zweite Faktoren entfernt.",
        ),
        "enrollment_burst": (
            "Viele zweite Faktoren wurden hinzugefügt",
            "Ungewöhnlich viele Personen haben innerhalb einer Stunde einen zweiten Faktor hinzugefügt. Sie hören "
            "davon einmal in der Stunde.",
        ),
        "otp_guessing": (
            "Jemand rät an einem zweiten Faktor",
            "Jemand hat das Passwort eines Kontos eingegeben und danach viele falsche Codes. Von diesem Konto hören "
            "Sie einmal am Tag.",
        ),
        "policy_changed": (
            "Die Richtlinie für zweite Faktoren wurde geändert",
            "Ein Administrator hat die Richtlinie für zweite Faktoren geändert.",
        ),
    },
}
FACTS = {
    "en": """

Tenant: {tenant}
Connection: {realm}
Account: {account}
Address: {ip}
Time: {time}
Request: {request}""",
    "de": """

Mandant: {tenant}
Verbindung: {realm}
Konto: {account}
Adresse: {ip}
Zeit: {time}
Anfrage: {request}""",
}


@dataclass(frozen=True)
class _Once:
    """Of the same thing one hears once in that time."""

    seconds: float
    is_of_person: bool


_ONCE: dict[AlertKind, _Once] = {
    "exemption_used": _Once(86400.0, is_of_person=True),
    "otp_guessing": _Once(86400.0, is_of_person=True),
    "enrollment_burst": _Once(3600.0, is_of_person=False),
}


def tell(conn: Connection, ctx: Context, realm_id: str, kind: AlertKind, user_id: str | None = None) -> None:
    """Alert whoever the realm's policy names, if it wants to hear of that; in the transaction that it is about."""
    realm = ctx.look_up(conn, realms.find_realm, realm_id)
    if realm is not None and realm.mfa_policy is not None:
        tell_by(conn, ctx, realm, realm.mfa_policy.terms, kind, user_id)


def tell_by(
    conn: Connection, ctx: Context, realm: Realm, terms: Terms, kind: AlertKind, user_id: str | None = None
) -> None:
    """The same by terms that are in force no more, or not yet."""
    alerts = terms.alerts
    if kind not in alerts.on or not alerts.channels:
        return
    if (once := _ONCE.get(kind)) is not None:
        about = user_id if once.is_of_person else ""
        key = f"alert/{realm.id}/{kind}/{about}"
        if buckets.spend(conn, key, size=1, refill_seconds=once.seconds, now=ctx.now) is not None:
            return
    mail = _mail(conn, ctx, realm, kind, user_id) if "email" in alerts.channels else "unwanted"
    if "log_stream" in alerts.channels:
        told = {"kind": kind, "connection_id": realm.id, "mail": mail}
        event = audit.event_of(
            ctx, "mfa_policy_alert", kind, {"alert": told},
            realm=realm.name, user_id=user_id or ctx.facts.user_id,
        )  # fmt: skip
        add_event(conn, event)


def count_enrollment(conn: Connection, ctx: Context, realm_id: str, user_id: str) -> None:
    """Tell of a burst of enrolments; nobody counts where nobody wants to hear of it."""
    realm = ctx.look_up(conn, realms.find_realm, realm_id)
    if realm is None or realm.mfa_policy is None:
        return
    if "enrollment_burst" not in realm.mfa_policy.terms.alerts.on:
        return
    size, refill = BURST
    key = f"alert/{realm_id}/enrollments"
    if buckets.spend(conn, key, size=size, refill_seconds=refill, now=ctx.now) is not None:
        tell(conn, ctx, realm_id, "enrollment_burst", user_id)


def _mail(conn: Connection, ctx: Context, realm: Realm, kind: AlertKind, user_id: str | None) -> str:
    """What became of the mail, in a word for the event."""
    settings = documents.content_of(ctx, conn, SETTINGS)
    address = settings.get("support_email")
    if not isinstance(address, str) or not is_email_address(address):
        return "no_address"
    if not email.is_ready(ctx, conn):
        return "no_gateway"
    size, refill = MAILS
    key = f"alert/{realm.id}/{kind}/mails"
    if buckets.spend(conn, key, size=size, refill_seconds=refill, now=ctx.now) is not None:
        return "limit"
    language = next((word for word in settings.get("enabled_locales") or () if word in TEXTS), "en")
    subject, text = TEXTS[language][kind]
    facts = FACTS[language].format(
        tenant=ctx.look_up(conn, get_tenant).name,
        realm=realm.name,
        account=user_id or "-",
        ip=ctx.ip or "-",
        time=f"{ctx.now:%Y-%m-%d %H:%M:%S} UTC",
        request=ctx.request_id or "-",
    )
    message = Message(
        id=f"msg_{random_id(22)}",
        destination=address,
        text=text + facts,
        subject=f"{subject} ({realm.name})",
        language=language,
    )
    outbox.put(conn, ctx, "email", message, expires_at=ctx.now + VALID_FOR)
    return "queued"
