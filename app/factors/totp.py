"""One-time passwords from an authenticator app (RFC 6238): six digits, 30 seconds, one step of tolerance.

What was enrolled elsewhere may have eight digits, 60 seconds, another hash, or a secret too short for today.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import pyotp
from sqlalchemy import Connection

from app.context import Context
from app.crypto import owner_of, random_id
from app.factors.factor import Answer, Enrolling, Enrollment, Factor, Proof
from app.store.authenticators import Authenticator, advance_counter

DIGITS = 6
PERIOD_SECONDS = 30
HASHES = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
MIN_SECRET_BITS = 112  # RFC 4226 4, R6; what comes from elsewhere may have less
SEEN_FOR_SECONDS = 600  # how far off a clock is still recognised, and refused
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
    totp = _Clockwork.of(ctx, authenticator)
    code = answer.members.get("otp", "").replace(
        " ", ""
    )  # people copy "123 456"; every other spelling is wrong
    if not re.fullmatch(rf"[0-9]{{{totp.digits}}}", code):
        return "malformed_code"
    now_step = int(ctx.now.timestamp()) // totp.period
    step = totp.step_of(code, now_step, WINDOW)
    if step is None:
        elsewhen = totp.step_of(code, now_step, SEEN_FOR_SECONDS // totp.period)
        if elsewhen is None:
            return "wrong_code"
        # The right device with a wrong clock: refused like any other, and told to whoever can help.
        ctx.facts.details["clock_off"] = {"authenticator": authenticator.id, "steps": elsewhen - now_step}
        return "clock_off"
    # A step that was used, or one before it, is dead: a code seen over a shoulder must not be worth anything.
    if step <= authenticator.counter:
        return "code_replayed"
    if totp.is_short:
        ctx.facts.details["short_secret"] = authenticator.id  # below 112 bits: its owner should enrol anew
    return Proof(authenticator, partial(_consume, authenticator, step))


@dataclass(frozen=True)
class _Clockwork:
    """What an app computes its codes from."""

    secret: str = field(repr=False)
    digits: int
    period: int
    algorithm: str

    @staticmethod
    def of(ctx: Context, authenticator: Authenticator) -> "_Clockwork":
        sealed = authenticator.sealed_secret or ""
        secret = ctx.server.keyring.open(sealed, owner_of("authenticators", authenticator.id)).decode()
        details = authenticator.details
        digits, period = (
            int(str(details.get("digits", DIGITS))),
            int(str(details.get("period", PERIOD_SECONDS))),
        )
        return _Clockwork(secret, digits, period, str(details.get("algorithm", "SHA1")))

    @property
    def is_short(self) -> bool:
        """pyotp refuses to use such a secret; people who were moved here still have it in their app."""
        return len(self.secret) * 5 < MIN_SECRET_BITS

    def step_of(self, code: str, now_step: int, window: int) -> int | None:
        """The time step, at most `window` away, in which this is the code. All of them are compared."""
        found = [
            step
            for step in range(now_step - window, now_step + window + 1)
            if step >= 0 and hmac.compare_digest(self.at(step), code)
        ]
        return found[-1] if found else None

    def at(self, step: int) -> str:
        """The code of a time step."""
        hash_of = HASHES[self.algorithm]
        if not self.is_short:
            return pyotp.HOTP(self.secret, digits=self.digits, digest=hash_of).at(step)
        key = base64.b32decode(self.secret + "=" * (-len(self.secret) % 8))
        mac = hmac.digest(key, step.to_bytes(8, "big"), hash_of)  # RFC 4226 5.3
        offset = mac[-1] & 15
        number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
        return f"{number % 10**self.digits:0{self.digits}}"


def _consume(authenticator: Authenticator, step: int, conn: Connection, now: datetime) -> bool:
    return advance_counter(conn, authenticator, step, now)


FACTOR = Factor("totp", "otp", "totp", True, enroll, verify, "Invalid otp_code.", "gd_otp_rate_limit_exceed")
