"""`/tickets`: links that let somebody set a password or prove an e-mail address."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import changes
from app.accounts import tickets as made
from app.channels import notices
from app.errors import Missing, NotPossible
from app.factors import FACTORS
from app.store import realms, users
from app.store.users import User
from app.web.management.operation import Call, operation
from app.web.management.schema import Body, Email
from app.web.management.users import UNKNOWN, get_user

NO_ADDRESS = "The user does not have an email address."
NOT_SUPPORTED = "The user's main connection does not support this operation."

Seconds = Annotated[int, Field(ge=1, le=2592000)]
Url = Annotated[str, Field(max_length=2000, pattern=r"^https?://\S+$")]


class Identity(Body):
    user_id: str
    provider: str


class PasswordTicket(Body):
    user_id: str | None = None
    connection_id: str | None = None
    email: Email | None = None
    result_url: Url | None = None
    client_id: str | None = None
    organization_id: str | None = None
    ttl_sec: Seconds | None = None
    mark_email_as_verified: bool = False
    includeEmailInRedirect: bool | None = None
    identity: Identity | None = None


def _whose(conn: Connection, given: PasswordTicket) -> User:
    """Raises Missing, NotPossible."""
    if given.user_id is not None:
        return get_user(conn, given.user_id)
    if given.connection_id is None or given.email is None:
        raise NotPossible("Payload validation error: 'Give user_id, or connection_id and email'.")
    realm = realms.find_realm(conn, given.connection_id)
    user = users.find_user_by_key(conn, realm.id, users.key_of(given.email)) if realm else None
    if user is None:
        raise Missing(UNKNOWN, reason="inexistent_user")
    return user


def _check(conn: Connection, user: User) -> None:
    realm = realms.find_realm(conn, user.realm_id)
    if realm is None or realm.kind != "database" or not realm.takes_passwords:
        raise NotPossible(NOT_SUPPORTED, reason="operation_not_supported")


@operation("POST", "/tickets/password-change", scopes="create:user_tickets", ok=201, body=PasswordTicket)
def create_password_ticket(call: Call) -> object:
    """A link with which its holder sets a new password, once"""
    given: PasswordTicket = call.body
    with call.ctx.db.write() as conn:
        user = _whose(conn, given)
        _check(conn, user)
        ticket, token = made.create_ticket(
            conn,
            call.ctx,
            user,
            "password",
            seconds=given.ttl_sec or made.DEFAULT_SECONDS,
            result_url=given.result_url,
            marks_verified=given.mark_email_as_verified,
        )
        call.ctx.facts.user_id = user.id
        changes.record(conn, call.ctx, "password_ticket_created", user.id, after=ticket)
    return {"ticket": made.address(call.ctx, "password", token)}


class VerificationTicket(Body):
    user_id: str
    result_url: Url | None = None
    client_id: str | None = None
    organization_id: str | None = None
    ttl_sec: Seconds | None = None
    includeEmailInRedirect: bool | None = None
    identity: Identity | None = None


@operation(
    "POST", "/tickets/email-verification", scopes="create:user_tickets", ok=201, body=VerificationTicket
)
def create_verification_ticket(call: Call) -> object:
    """A link that proves its holder reads the user's mail, once"""
    given: VerificationTicket = call.body
    with call.ctx.db.write() as conn:
        user = get_user(conn, given.user_id)
        if user.email is None:
            raise NotPossible(NO_ADDRESS, reason="operation_not_supported")
        ticket, token = made.create_ticket(
            conn,
            call.ctx,
            user,
            "verification",
            seconds=given.ttl_sec or made.DEFAULT_SECONDS,
            result_url=given.result_url,
        )
        call.ctx.facts.user_id = user.id
        changes.record(conn, call.ctx, "verification_ticket_created", user.id, after=ticket)
    return {"ticket": made.address(call.ctx, "verification", token)}


NO_SUCH_FACTOR = "This server has no such factor yet."
KINDS = {
    "push-notification": ("push",),
    "phone": ("sms", "voice"),
    "email": ("email",),
    "otp": ("totp",),
    "webauthn-roaming": ("webauthn-roaming",),
    "webauthn-platform": ("webauthn-platform",),
}


class EnrollmentTicket(Body):
    user_id: str
    email: Email | None = None
    send_mail: bool | None = None
    email_locale: str | None = None
    factor: (
        Literal["push-notification", "phone", "email", "otp", "webauthn-roaming", "webauthn-platform"] | None
    ) = None
    allow_multiple_enrollments: bool = False


@operation(
    "POST",
    "/guardian/enrollments/ticket",
    scopes="create:guardian_enrollment_tickets",
    body=EnrollmentTicket,
)
def create_enrollment_ticket(call: Call) -> object:
    """A link with which its holder enrols a second factor, once: the one that is named, or one of those switched on"""
    given: EnrollmentTicket = call.body
    kinds = tuple(kind for kind in KINDS[given.factor] if kind in FACTORS) if given.factor else ()
    if given.factor and not kinds:
        raise NotPossible(NO_SUCH_FACTOR, reason="operation_not_supported")
    with call.ctx.db.write() as conn:
        user = get_user(conn, given.user_id)
        ticket, token = made.create_ticket(
            conn,
            call.ctx,
            user,
            "enrollment",
            seconds=made.DEFAULT_SECONDS,
            allows_more=given.allow_multiple_enrollments,
            kinds=kinds,
        )
        call.ctx.facts.user_id = user.id
        url = made.address(call.ctx, "enrollment", token)
        if given.send_mail:
            ctx = replace(call.ctx, language=(given.email_locale or "en")[:2].lower())
            notices.put(conn, ctx, user, "enrollment_email", to=given.email, url=url)
        changes.record(conn, call.ctx, "enrollment_ticket_created", user.id, after=ticket)
    return {"ticket_id": ticket.id, "ticket_url": url}


OPERATIONS = (create_password_ticket, create_verification_ticket, create_enrollment_ticket)
