"""Every refusal a client can receive, as a list of exceptions.

A class is named after its wire code (`invalid_grant` is `InvalidGrant`). `description` is public and stays the
same for every cause that a stranger must not tell apart; `reason` is private, one short snake_case word for the
event log. How a refusal looks on the wire is the business of `web/answers.py`.
"""

import re
from datetime import datetime


class Refusal(Exception):
    """A "no" that is an outcome of the protocol, not an accident.

    `event` overrides the log code of the grant that was asked; `extras` are further public members of the answer,
    `details` are private like the reason: which limit it was, with its counts.
    """

    status = 400
    description = ""

    def __init__(
        self,
        description: str | None = None,
        *,
        reason: str,
        event: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        extras: dict[str, object] | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        self.description = printable(self.description if description is None else description)
        self.reason = reason
        self.event = event
        self.status = self.status if status is None else status
        self.headers = headers or {}
        self.extras = extras or {}
        self.details = details or {}
        """What the event tells an administrator beside the reason."""
        self.recorded = False
        super().__init__(f"{self.error}: {reason}")

    @property
    def error(self) -> str:
        return wire_code(type(self))


def wire_code(kind: type[Refusal]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def printable(text: str) -> str:
    """Printable ASCII, at most 300 characters: what RFC 6749 5.2 and a log line can carry."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:300]


class InvalidRequest(Refusal):
    pass


class InvalidScope(Refusal):
    description = "Scope must be an array or a string"


class UnsupportedGrantType(Refusal):
    description = "Grant type not supported"


class InvalidClient(Refusal):
    status = 401
    description = "Client authentication failed"


class AccessDenied(Refusal):
    status = 403


class Unauthorized(Refusal):
    """Auth0's word for an account that may not sign in, said only after the right password."""

    status = 401


class InteractionRequired(Refusal):
    """OpenID Connect's word for what needs a browser."""

    status = 403


class UnauthorizedClient(Refusal):
    status = 403

    def __init__(self, grant_type: str, *, reason: str) -> None:
        super().__init__(
            f"Grant type '{grant_type}' not allowed for the client.",
            reason=reason,
            extras={"error_uri": "https://auth0.com/docs/clients/client-grant-types"},
        )


class InvalidGrant(Refusal):
    status = 403


class ExpiredToken(Refusal):
    status = 403


class AuthorizationPending(Refusal):
    """Nobody has decided yet (RFC 8628 3.5): no outcome, so it leaves no event."""

    description = "Authorization pending: please repeat the request in a few seconds."


class SlowDown(Refusal):
    description = "You are polling faster than the specified interval of 5 seconds."


class MfaRequired(Refusal):
    status = 403
    description = "Multifactor authentication required"


class UnsupportedChallengeType(Refusal):
    status = 401


class PasswordLeaked(Refusal):
    """The right password, and everybody else's too."""

    status = 401
    description = (
        "This login attempt has been blocked because the password you're using was previously disclosed through a data "
        "breach (not in this application). Please check your email for more information."
    )


class TooManyAttempts(Refusal):
    status = 429


def limit_headers(now: datetime, *, limit: int, retry_after_seconds: int) -> dict[str, str]:
    """What SDKs read from a 429: whole numbers only, the reset in epoch seconds."""
    return {
        "Retry-After": str(retry_after_seconds),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(now.timestamp()) + retry_after_seconds),
    }


class InvalidToken(Refusal):
    status = 401


class InsufficientScope(Refusal):
    status = 403


class NotFound(Refusal):
    status = 404
    description = "There is nothing at this address."


class NotPossible(Refusal):
    """An administrator asked for something that cannot be; the text says why. `reason` is public here."""

    def __init__(self, description: str, *, reason: str = "invalid_body") -> None:
        super().__init__(description, reason=reason)


class Forbidden(Refusal):
    """The bearer of a management token may not do this. `reason` is public here."""

    status = 403


class PayloadTooLarge(Refusal):
    status = 413


class TooManyRequests(Refusal):
    status = 429
    description = "Global limit has been reached"


class Missing(NotPossible):
    status = 404


class Conflict(NotPossible):
    status = 409


class PreconditionFailed(NotPossible):
    """What was to be changed is not any more what the caller saw of it."""

    status = 412


class MethodNotAllowed(Refusal):
    status = 405
    description = "This address does not take that method."


class TemporarilyUnavailable(Refusal):
    """Something that the answer depends on is down or overloaded; never an "allow", never a 500."""

    status = 503
    description = "The server cannot answer at the moment. Please try again shortly."

    def __init__(self, description: str | None = None, *, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(description, reason=reason, headers={"Retry-After": str(retry_after_seconds)})


class ServerError(Refusal):
    status = 500
    description = "The server made a mistake. Its log has the details under the request id."
