"""The recovery code: 24 characters, shown once, exchanged for its successor when it is used."""

import hmac
import string
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from app.context import Context
from app.crypto import digest, random_id
from app.factors.factor import Answer, Enrolling, Enrollment, Factor, Proof
from app.store.authenticators import Authenticator, consume_code

LENGTH = 24  # of 36 signs: 124 bits, so that a plain digest is enough to keep
ALPHABET = string.ascii_uppercase + string.digits


def new_code() -> str:
    return random_id(LENGTH, ALPHABET)


def plain(text: str) -> str:
    """It is read from paper: spaces, hyphens and small letters are forgiven."""
    return text.replace(" ", "").replace("-", "").upper()


def enroll(ctx: Context, enrolling: Enrolling) -> Enrollment:
    code = new_code()
    authenticator = Authenticator(
        id=f"{FACTOR.id_prefix}|dev_{random_id()}",
        user_id=enrolling.user.id,
        kind=FACTOR.kind,
        created_at=ctx.now,
        code_digest=digest(code),
        transaction_id=enrolling.transaction_id,
    )
    return Enrollment(authenticator, {"recovery_codes": [code]})


def verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    code = plain(answer.members.get("recovery_code", ""))
    if not hmac.compare_digest(digest(code), authenticator.code_digest or ""):
        return "wrong_code"
    successor = new_code()
    return Proof(authenticator, partial(_consume, authenticator, digest(successor)), successor)


def _consume(authenticator: Authenticator, new_digest: str, conn: Connection, now: datetime) -> bool:
    return consume_code(conn, authenticator, new_digest, now)


FACTOR = Factor(
    "recovery_code",
    "recovery-code",
    "recovery-code",
    False,
    enroll,
    verify,
    "MFA Authorization rejected.",
    "gd_recovery_rate_limit_exceed",
)
