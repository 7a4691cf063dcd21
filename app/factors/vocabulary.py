"""One thing, four names: ours, the guardian's, the authentication methods', and the import's.

A factor that this server does not have yet keeps its name, so that settings of it can be shown and written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app import documents
from app.channels import CHANNELS
from app.context import Context


@dataclass(frozen=True)
class Names:
    kind: str
    """Ours; empty for one that this server does not have."""
    guardian: str
    method: str
    enrollment: str
    """`auth_method` of a guardian enrolment."""
    imported: str = ""
    enrollment_type: str = ""
    """`type` of a guardian enrolment, where it is another word."""
    is_on_by_default: bool = False


# In the order in which Auth0 lists them.
NAMES = (
    Names("sms", "sms", "phone", "sms", "phone"),
    Names("push", "push-notification", "push", "guardian", enrollment_type="pn"),
    Names("totp", "otp", "totp", "authenticator", "totp", is_on_by_default=True),
    Names("email", "email", "email", "email", "email"),
    Names("", "duo", "", "duo"),
    Names("webauthn-roaming", "webauthn-roaming", "webauthn-roaming", "webauthn-roaming"),
    Names("webauthn-platform", "webauthn-platform", "webauthn-platform", "webauthn-platform"),
    Names("recovery_code", "recovery-code", "recovery-code", "recovery-code", is_on_by_default=True),
)
# A telephone has two kinds, and one name everywhere else.
VOICE = Names("voice", "sms", "phone", "sms", "phone")
BY_KIND = {names.kind: names for names in (*NAMES, VOICE) if names.kind}
# A channel that somebody adds is switched with SMS, which it resembles.
BY_KIND |= {
    name: replace(BY_KIND["sms"], kind=name)
    for name in CHANNELS
    if name not in BY_KIND and CHANNELS[name].reaches
}
BY_GUARDIAN = {names.guardian: names for names in NAMES}

DOCUMENT = "guardian/factors"
MESSAGE_TYPES = "guardian/factors/phone/message-types"

# What a policy calls them; a phone is one factor, by whatever way a code reaches it.
_POLICY_NAMES = {"sms": "phone"}


def policy_name(word: str) -> str:
    """The name in a policy of a kind of authenticator. A word that nobody knows stays what it is, and counts for
    nothing.
    """
    name = BY_KIND[word].guardian if word in BY_KIND else word
    return _POLICY_NAMES.get(name, name)


def switches(written: object) -> dict[str, bool]:
    """Which guardian factors are on: what an administrator wrote, else what a fresh server has."""
    found = written if isinstance(written, Mapping) else {}
    return {names.guardian: bool(found.get(names.guardian, names.is_on_by_default)) for names in NAMES}


def enabled_kinds(ctx: Context, conn: Connection) -> frozenset[str]:
    """Kinds of authenticator that people may enrol. Those that they have keep working."""
    on = switches(documents.content_of(ctx, conn, DOCUMENT))
    kinds = {kind for kind, names in BY_KIND.items() if on[names.guardian]}
    types = documents.content_of(ctx, conn, MESSAGE_TYPES).get("message_types") or ["sms"]
    return frozenset(kinds - {kind for kind in ("sms", "voice") if kind not in types})
