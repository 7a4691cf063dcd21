"""Kinds of authenticator, one file each. A new kind is its file and a line here.

Every channel that reaches a telephone or an address is a kind, too: codes go over it.
"""

from app.factors import contact, oob_code, push, recovery_code, totp, webauthn
from app.factors.factor import Factor

FACTORS: dict[str, Factor] = {
    factor.kind: factor
    for factor in (
        totp.FACTOR,
        *oob_code.FACTORS_OVER_CHANNELS,
        push.FACTOR,
        webauthn.ROAMING,
        webauthn.PLATFORM,
        recovery_code.FACTOR,
    )
}
# What a challenge may be about: factors, and contacts, which are none.
ANSWERABLE = FACTORS | {factor.kind: factor for factor in contact.FACTORS_OF_CONTACTS}
