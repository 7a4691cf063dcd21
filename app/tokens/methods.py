"""What somebody proved in a login, as claims: `amr`, `acr`, `auth_time` (RFC 8176, RFC 9068 2.2.1).

A method is a name and the epoch second of its success: `("pwd", 1700000000)`.
"""

from app.channels.channel import CONTACTS

Method = tuple[str, int]
Methods = tuple[Method, ...]

PASSWORD = "pwd"  # noqa: S105 - the name of a method
# A passkey opens a login as a password does; whether its owner was verified decides what else it may be taken for.
PASSKEY, VERIFIED_PASSKEY = "passkey", "verified_passkey"
FIRST_FACTORS = (PASSWORD, PASSKEY, VERIFIED_PASSKEY)
ACR_MFA = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"

# How a factor was proven: a key in hardware or in software, with a gesture that only its owner can make.
TRAITS = ("hwk", "swk", "user")
# A code that reached a verified telephone or address: it opens enrolment, and is no factor.
NO_FACTORS = (*TRAITS, *CONTACTS)
# RFC 8176 has no word for a recovery code or a mail: they show as `mfa` alone. Where a phone keeps its key is unknown.
_AMR = {PASSWORD: PASSWORD, "totp": "otp", "sms": "sms", "voice": "tel", "push": "swk"}
_AMR |= {name: name for name in TRAITS}


def has_second_factor(methods: Methods) -> bool:
    return any(name not in FIRST_FACTORS and name not in NO_FACTORS for name, _ in methods)


def has_contact(methods: Methods) -> bool:
    return any(name in CONTACTS for name, _ in methods)


def claims(methods: Methods) -> dict[str, object]:
    """The truth about a login; unchanged by a refresh, which proves nothing."""
    if not methods:
        return {}
    amr = list(dict.fromkeys(_AMR[name] for name, _ in methods if name in _AMR))
    found: dict[str, object] = {"auth_time": max(at for _, at in methods)}
    if has_second_factor(methods):
        return found | {"amr": [*amr, "mfa"], "acr": ACR_MFA}
    return found | {"amr": amr}
