"""A code to somebody's verified address or telephone, in the login that is to enrol their first second factor.

A contact is no factor: it completes no login, is not kept among the authenticators, and counts for nothing but the
opening of enrolment. It only borrows their shape, so that it is asked for, answered and limited as they are.
"""

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from app.channels import CHANNELS
from app.channels.channel import CONTACTS
from app.context import Context
from app.crypto import digest
from app.errors import AccessDenied
from app.factors import oob_code
from app.factors.factor import Answer, Begun, Challenging, Enrolling, Enrollment, Factor, Proof
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge, consume_challenge
from app.store.users import User


def contacts_of(user: User) -> tuple[Authenticator, ...]:
    """Where codes may go for somebody: what is verified, the address last, which is taken where nobody chooses."""
    number = user.phone_number if user.phone_verified else None
    address = user.email if user.email_verified else None
    found = zip(CONTACTS, (number, address), strict=True)
    return tuple(_device(user, kind, destination) for kind, destination in found if destination)


def _device(user: User, kind: str, destination: str) -> Authenticator:
    return Authenticator(
        id=kind,
        user_id=user.id,
        kind=kind,
        created_at=user.created_at,
        details={"destination": destination},
        confirmed_at=user.created_at,
    )


def asked_at(user: User, challenge: Challenge | None) -> list[Authenticator]:
    """The contact that a code was sent to, if it is still the person's and verified."""
    sent_to = challenge.details.get("contact") if challenge is not None else None
    return [a for a in contacts_of(user) if sent_to == _mark(a)]


def _mark(contact: Authenticator) -> str:
    return digest(f"{contact.kind} {contact.details['destination']}")


def _challenge(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    contact = challenging.authenticators[0]
    device = replace(contact, kind=CONTACTS[contact.kind])
    begun = oob_code.begin(ctx, conn, replace(challenging, authenticators=(device,)))
    challenge = replace(
        begun.challenge, kind=contact.kind, authenticator_id=None, details={"contact": _mark(contact)}
    )
    return replace(begun, challenge=challenge)


def _verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    challenge = answer.challenge
    if challenge is None or challenge.details.get("contact") != _mark(authenticator):
        return "other_challenge"
    reason = oob_code.judge(challenge, answer)
    return reason or Proof(authenticator, lambda conn, now: consume_challenge(conn, challenge.id, now))


def _enroll(ctx: Context, enrolling: Enrolling) -> Enrollment:
    raise AccessDenied(reason="contact_is_no_factor")


def _contact_over(kind: str) -> Factor:
    channel = CHANNELS[CONTACTS[kind]]
    reach = oob_code.REACHES[channel.reaches]
    return Factor(
        kind=kind,
        wire_type="oob",
        id_prefix=kind,
        is_challengeable=True,
        enroll=_enroll,
        verify=_verify,
        wrong_answer=oob_code.WRONG,
        limit_event="gd_otp_rate_limit_exceed",
        challenge=_challenge,
        listed_type=reach.listed_type,
        oob_channel=channel.name,
        is_kept=False,
        costs=channel.name,
        is_ready=channel.is_ready,
        shown_name=partial(_shown_name, channel.reaches),
    )


def _shown_name(reaches: str, contact: Authenticator) -> str:
    return oob_code.REACHES[reaches].masked(str(contact.details["destination"]))


FACTORS_OF_CONTACTS = tuple(_contact_over(kind) for kind in CONTACTS)
