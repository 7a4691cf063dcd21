"""One-time passwords from an authenticator app (RFC 6238): six digits, 30 seconds, one step of tolerance."""

import re
from datetime import datetime
from functools import partial

import pyotp
from pyotp.exceptions import OTPVerificationError
from sqlalchemy import Connection

from app.context import Context
from app.crypto import owner_of, random_id
from app.factors.factor import Answer, Enrolling, Enrollment, Factor, Proof
from app.store.authenticators import Authenticator, advance_counter

DIGITS = 6
PERIOD_SECONDS = 30
WINDOW = 1  # steps before and after: RFC 6238 5.2 permits one for the delay of the network and the hand


def enroll(ctx: Context, enrolling: Enrolling) -> Enrollment:
    user = enrolling.user
    secret = pyotp.random_base32()  # 160 bits
    authenticator_id = f"{FACTOR.id_prefix}|dev_{random_id()}"
    account = user.email or user.username or user.phone_number or user.id
    uri = pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS).provisioning_uri(
        name=account, issuer_name=enrolling.issuer_name
    )
    # pyotp leaves the defaults out; SDKs and older apps want to read them.
    uri += f"&algorithm=SHA1&digits={DIGITS}&period={PERIOD_SECONDS}"
    authenticator = Authenticator(
        id=authenticator_id,
        user_id=user.id,
        kind=FACTOR.kind,
        created_at=ctx.now,
        sealed_secret=ctx.server.keyring.seal(secret.encode(), owner_of("authenticators", authenticator_id)),
        details={"digits": DIGITS, "period": PERIOD_SECONDS},
        transaction_id=enrolling.transaction_id,
    )
    return Enrollment(authenticator, {"secret": secret, "barcode_uri": uri, "manual_input_code": secret})


def verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    """Raises crypto.SealBroken when the seed cannot be opened."""
    code = answer.members.get("otp", "").replace(
        " ", ""
    )  # people copy "123 456"; every other spelling is wrong
    if not re.fullmatch(rf"[0-9]{{{DIGITS}}}", code):
        return "malformed_code"
    sealed = authenticator.sealed_secret or ""
    secret = ctx.server.keyring.open(sealed, owner_of("authenticators", authenticator.id)).decode()
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS)
    try:
        step = totp.verify_and_get_timecode(code, for_time=ctx.now, valid_window=WINDOW)
    except OTPVerificationError:
        return "wrong_code"
    # A step that was used, or one before it, is dead: a code seen over a shoulder must not be worth anything.
    if step <= authenticator.counter:
        return "code_replayed"
    return Proof(authenticator, partial(_consume, authenticator, step))


def _consume(authenticator: Authenticator, step: int, conn: Connection, now: datetime) -> bool:
    return advance_counter(conn, authenticator, step, now)


FACTOR = Factor("totp", "otp", "totp", True, enroll, verify, "Invalid otp_code.", "gd_otp_rate_limit_exceed")
