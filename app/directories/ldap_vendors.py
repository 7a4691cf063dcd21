"""What differs between products that speak LDAP: how people are found there, and what a refused bind says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# What a bind says when the password is wrong, the entry has none, or the account may not (RFC 4511 4.1.9).
BIND_REASONS = {
    19: "account_locked",
    32: "wrong_password",
    34: "wrong_password",
    48: "wrong_password",
    49: "wrong_password",
    50: "wrong_password",
    53: "wrong_password",
}
# Active Directory's own words behind a 49. Some come only after the right password; a lock hides whether it was.
SUB_CODE_REASONS = {
    "52e": "wrong_password",
    "525": "wrong_password",
    "530": "logon_not_now",
    "531": "logon_not_here",
    "532": "password_expired",
    "533": "account_disabled",
    "701": "account_expired",
    "773": "password_change_required",
    "775": "account_locked",
}
SUB_CODE = re.compile(r"AcceptSecurityContext error, data ([0-9a-fA-F]{1,8})\b")


@dataclass(frozen=True)
class Vendor:
    """What differs between products unless the options say otherwise."""

    prefix: str
    user_filter: str
    attributes: Mapping[str, str]
    group_filter: str
    has_sub_codes: bool


OPENLDAP = Vendor(
    "ldap",
    "(|(uid={username})(mail={username}))",
    {
        "subject": "entryUUID",
        "email": "mail",
        "username": "uid",
        "name": "cn",
        "given_name": "givenName",
        "family_name": "sn",
    },
    "(|(member={dn})(uniqueMember={dn}))",
    has_sub_codes=False,
)
ACTIVE_DIRECTORY = Vendor(
    "ad",
    "(&(objectCategory=person)(objectClass=user)"
    "(|(sAMAccountName={username})(userPrincipalName={username})(mail={username})))",
    {
        "subject": "objectGUID",
        "email": "mail",
        "username": "sAMAccountName",
        "name": "displayName",
        "given_name": "givenName",
        "family_name": "sn",
    },
    "(member={dn})",
    has_sub_codes=True,
)
