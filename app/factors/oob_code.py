"""A code sent over a channel: six digits, five minutes, one use. One kind a channel, all of them made here.

The client holds the `oob_code`, the person gets the `binding_code`; both are needed, in the same login. The code's
digest is keyed with the `oob_code`, which is not kept: whoever reads the database has nothing to try codes on.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import phonenumbers
from sqlalchemy import Connection

from app.channels import CHANNELS, wording
from app.channels.channel import Channel, Message
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import InvalidRequest
from app.factors.factor import Answer, Begun, Challenging, Enrolling, Enrollment, Factor, Proof
from app.identifiers import is_email_address
from app.store.authenticators import Authenticator, use_authenticator
from app.store.challenges import Challenge, consume_challenge

DIGITS = 6  # 20 bits (NIST 3.1.3.2); what a guesser may try of them is limited per person and authenticator
LIFETIME = timedelta(minutes=5)  # of the ten that NIST permits

BAD_NUMBER = "The phone number is invalid."  # Auth0's text
BAD_ADDRESS = "The email address is invalid."
WRONG = "Invalid binding_code."


def checked(kind: str, text: str) -> str:
    """A destination of that kind as it is kept. Raises InvalidRequest."""
    return checked_address(text) if CHANNELS[kind].reaches == "email" else checked_number(text)


def phone_number(enrolling: Enrolling) -> str:
    if not enrolling.members.get("phone_number"):
        raise InvalidRequest("Missing required parameter: phone_number", reason="no_phone_number")
    return checked_number(enrolling.members.get("phone_number", ""))


def checked_number(text: str) -> str:
    """The number in E.164. Raises InvalidRequest."""
    try:
        found = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        raise InvalidRequest(BAD_NUMBER, reason="bad_phone_number") from None
    if not phonenumbers.is_valid_number(found) or found.extension:
        raise InvalidRequest(BAD_NUMBER, reason="bad_phone_number")
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def email_address(enrolling: Enrolling) -> str:
    """The address that was named, else the account's. Raises InvalidRequest."""
    return checked_address(enrolling.members.get("email") or enrolling.user.email or "")


def checked_address(text: str) -> str:
    """Raises InvalidRequest."""
    if not is_email_address(text):
        raise InvalidRequest(BAD_ADDRESS, reason="bad_email")
    return text


def masked_number(number: str) -> str:
    return "X" * (len(number) - 4) + number[-4:]


def masked_address(address: str) -> str:
    """`ana@example.com` is `a**@exam*******`: its owner knows it again, nobody else learns it."""
    local, _, domain = address.rpartition("@")
    shown = domain[:4]
    return f"{local[:1]}{'*' * max(2, len(local) - 1)}@{shown}{'*' * max(0, len(domain) - len(shown))}"


def _enroll(
    ctx: Context, enrolling: Enrolling, *, kind: str, destination: Callable[[Enrolling], str]
) -> Enrollment:
    authenticator = Authenticator(
        id=f"{kind}|dev_{random_id()}",
        user_id=enrolling.user.id,
        kind=kind,
        created_at=ctx.now,
        details={"destination": destination(enrolling)},
        transaction_id=enrolling.transaction_id,
    )
    return Enrollment(authenticator)


def begin(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    device = challenging.authenticators[0]
    oob_code, code = random_token(), f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    challenge = Challenge(
        id=f"cha_{random_id(22)}",
        handle_digest=digest(oob_code),
        kind=device.kind,
        user_id=device.user_id,
        authenticator_id=device.id,
        transaction_id=challenging.transaction_id,
        created_at=ctx.now,
        expires_at=ctx.now + LIFETIME,
        secret_digest=_keyed(oob_code, code),
    )
    user, client = challenging.user, challenging.client
    values = {
        "tenant": {"friendly_name": challenging.issuer_name},
        "user": {"email": user.email, "name": user.name, "user_metadata": user.user_metadata},
        "application": {"name": client.name if client else ""},
    }
    said = wording.of_code(ctx, conn, device.kind, code, enrolls=device.confirmed_at is None, values=values)
    message = Message(
        id=f"msg_{random_id(22)}",
        destination=str(device.details["destination"]),
        text=said.text,
        subject=said.subject,
        html=said.html,
        sender=said.sender,
        code=code,
        language=ctx.language,
        payload={
            "action": "enrollment" if device.confirmed_at is None else "second-factor-authentication",
            "client_id": client.id if client else "",
            "client_name": client.name if client else "",
            "user_id": user.id,
        },
    )
    return Begun(challenge, {"oob_code": oob_code, "binding_method": "prompt"}, (device.kind, message))


def _keyed(oob_code: str, code: str) -> str:
    return hmac.new(oob_code.encode(), code.encode(), hashlib.sha256).hexdigest()


def verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    challenge = answer.challenge
    if challenge is None or challenge.authenticator_id != authenticator.id:
        return "other_challenge"
    # It is proven by the way that the code went, which need not be the one by which the device is kept.
    asked = replace(authenticator, kind=challenge.kind)
    return judge(challenge, answer) or Proof(asked, partial(_consume, authenticator, challenge))


def judge(challenge: Challenge, answer: Answer) -> str:
    """Why the code is not the one that was sent; empty where it is. Raises InvalidRequest where there is none."""
    code = answer.members.get("binding_code", "")
    if not code:
        # Not a guess that failed: the client forgot what the challenge told it to ask for.
        raise InvalidRequest("Missing required parameter: binding_code", reason="no_binding_code")
    typed = code.replace(" ", "").replace("-", "")
    if not re.fullmatch(rf"[0-9]{{{DIGITS}}}", typed):
        return "malformed_code"
    expected = challenge.secret_digest or ""
    if not hmac.compare_digest(_keyed(answer.members["oob_code"], typed), expected):
        return "wrong_code"
    return "" if challenge.state == "open" else "code_replayed"


def _consume(authenticator: Authenticator, challenge: Challenge, conn: Connection, now: datetime) -> bool:
    return consume_challenge(conn, challenge.id, now) and use_authenticator(conn, authenticator, now)


@dataclass(frozen=True)
class Reach:
    """A way to name a person's device: how it is read, shown and listed."""

    read: Callable[[Enrolling], str]
    masked: Callable[[str], str]
    listed_type: str


REACHES = {
    "phone_number": Reach(phone_number, masked_number, "phone"),
    "email": Reach(email_address, masked_address, "email"),
}


def factor_over(channel: Channel) -> Factor:
    """The factor whose codes go over that channel."""
    reach, kind = REACHES[channel.reaches], channel.name
    return Factor(
        kind=kind,
        wire_type="oob",
        id_prefix=kind,
        is_challengeable=True,
        enroll=partial(_enroll, kind=kind, destination=reach.read),
        verify=verify,
        wrong_answer=WRONG,
        limit_event="gd_otp_rate_limit_exceed",
        challenge=begin,
        reaches=channel.reaches,
        listed_type=reach.listed_type,
        oob_channel=kind,
        costs=kind,
        is_ready=channel.is_ready,
        shown_name=lambda authenticator: reach.masked(str(authenticator.details.get("destination", ""))),
    )


FACTORS_OVER_CHANNELS = tuple(factor_over(channel) for channel in CHANNELS.values() if channel.reaches)
