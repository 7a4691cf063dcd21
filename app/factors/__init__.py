"""Kinds of authenticator, one file each. A new kind is its file and a line here."""

from app.factors import oob_code, recovery_code, totp
from app.factors.factor import Factor

FACTORS: dict[str, Factor] = {
    factor.kind: factor
    for factor in (
        totp.FACTOR,
        oob_code.SMS,
        oob_code.VOICE,
        oob_code.EMAIL,
        recovery_code.FACTOR,
    )
}
