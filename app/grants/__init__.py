"""Grants of the token endpoint, one file each. A new grant is its file and a line here.

What all grants share (client authentication, required parameters, the one event) is done in `dispatch.py` before
they are called, so that no grant can forget it.
"""

from app.grants import (
    client_credentials,
    mfa_oob,
    mfa_otp,
    mfa_recovery_code,
    mfa_webauthn,
    passkey,
    password,
    password_realm,
    refresh_token,
)
from app.grants.grant import Grant

GRANTS: dict[str, Grant] = {
    grant.grant_type: grant
    for grant in (
        password.GRANT,
        password_realm.GRANT,
        mfa_otp.GRANT,
        mfa_oob.GRANT,
        mfa_recovery_code.GRANT,
        mfa_webauthn.GRANT,
        passkey.GRANT,
        refresh_token.GRANT,
        client_credentials.GRANT,
    )
}
