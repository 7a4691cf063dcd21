"""The shape of a channel: one way to reach a person. It knows how something is sent, never why.

Where it is sent through is configuration: what an administrator wrote, else what the environment says (`gateways.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from app.context import Context


@dataclass(frozen=True)
class Message:
    """What a person shall get."""

    id: str
    destination: str = field(repr=False)
    """A phone number in E.164, an e-mail address, or what a channel of its own understands."""
    text: str = field(repr=False)
    subject: str = ""
    html: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    """For gateways that write the text themselves."""
    language: str = "en"
    sender: str | None = None
    """Who it says it is from, where a template names somebody."""
    payload: Mapping[str, object] = field(default_factory=dict, repr=False)


# What a login calls the proof that a code over that channel reached the person's verified contact.
CONTACTS = {"contact-sms": "sms", "contact-email": "email"}


class DeliveryFailed(Exception):
    """It was not taken. The text is one short snake_case word and never holds a destination or a credential.

    `may_repeat` says that it has not gone out for certain, and that a later try may succeed.
    """

    def __init__(self, problem: str, *, may_repeat: bool) -> None:
        super().__init__(problem)
        self.may_repeat = may_repeat


@dataclass(frozen=True)
class Channel:
    name: str
    deliver: Callable[[Context, Message], None]
    """Raises DeliveryFailed. Called outside of every transaction."""
    is_ready: Callable[[Context, Connection], bool]
    """Whether there is something to send through."""
    success_event: str
    failure_event: str
    reaches: str = ""
    """`phone_number` or `email`: where codes go over it. Each such channel is a factor (`factors/oob_code.py`)."""
