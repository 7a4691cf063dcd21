"""What a directory says of somebody, made fit to be kept here.

A login does not fail because of an odd attribute: what cannot be an identifier here is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.directories.directory import Identity
from app.identifiers import is_phone_number, normal_key

LONGEST = {"name": 300, "given_name": 150, "family_name": 150, "nickname": 300, "picture": 2000}
_SUBJECT = re.compile(r"[^\s/|]{1,128}")


def user_id(prefix: str, realm_name: str, subject: str) -> str | None:
    """Ours, of what a directory identifies somebody by; None where that cannot be a part of it."""
    if not _SUBJECT.fullmatch(subject) or not subject.isprintable():
        return None
    return f"{prefix}|{realm_name}|{subject}"


def subject_of(user_id: str) -> str:
    return user_id.split("|", 2)[2]


def identity(id: str, given: Mapping[str, Any], **more: Any) -> Identity:
    """`given` has the names of Auth0's profile; whatever is no text, or empty, is left out."""
    texts = {name: value.strip() for name, value in given.items() if isinstance(value, str) and value.strip()}
    email, username, phone = (texts.get(name) for name in ("email", "username", "phone_number"))
    if email is not None and not (0 < email.find("@") < len(email) - 1 and normal_key(email)):
        email = None
    if username is not None and ("@" in username or is_phone_number(username) or not normal_key(username)):
        username = None
    if phone is not None and not is_phone_number(phone):
        phone = None
    shown: dict[str, Any] = {
        name: "".join(filter(str.isprintable, texts[name]))[:most]
        for name, most in LONGEST.items()
        if name in texts
    }
    if not shown.get("picture", "https://").startswith(("https://", "http://")):
        del shown["picture"]
    shown.setdefault("name", email or username or "")
    shown.setdefault("nickname", username or (email or "").partition("@")[0])
    return Identity(
        id,
        email=email.lower() if email else None,
        email_verified=email is not None and given.get("email_verified") is True,
        username=username,
        phone_number=phone,
        phone_verified=phone is not None and given.get("phone_verified") is True,
        **{name: value for name, value in shown.items() if value},
        **more,
    )
