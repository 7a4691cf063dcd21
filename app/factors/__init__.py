"""Kinds of authenticator, one file each. A new kind is its file and a line here."""

from app.factors import recovery_code, totp
from app.factors.factor import Factor

FACTORS: dict[str, Factor] = {
    factor.kind: factor
    for factor in (
        totp.FACTOR,
        recovery_code.FACTOR,
    )
}
