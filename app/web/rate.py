"""So many requests in a second of one worker: of one client to the management API, of one address to all others.

A cheap guard of the worker itself, so it needs no memory that others share, and leaves no event: nothing was looked at.
"""

import threading
from datetime import datetime

from flask import Flask, request

from app.addresses import network_of
from app.errors import TooManyRequests
from app.web.lifecycle import context


class Window:
    """Counts within the current second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._counts: dict[str, int] = {}

    def count(self, key: str, limit: int, at: datetime) -> dict[str, str]:
        """Count a request; the headers of its answer. Raises TooManyRequests."""
        now = int(at.timestamp())
        with self._lock:
            if now != self._second:
                self._second = now
                self._counts.clear()
            self._counts[key] = used = self._counts.get(key, 0) + 1
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - used)),
            "X-RateLimit-Reset": str(now + 1),
        }
        if used > limit:
            raise TooManyRequests(reason="too_many_requests", headers=headers | {"Retry-After": "1"})
        return headers


of_clients, _of_addresses = Window(), Window()


GUARDED = ("oauth", "mfa", "passkey", "dbconnections", "guardian", "ticket", "enrollment_page")
"""Blueprints; the management API counts by its callers, and what is left costs little."""


def install(app: Flask) -> None:
    app.before_request(_check_address)


def _check_address() -> None:
    """Before anything of the request is looked at. Raises TooManyRequests.

    Only its refusals carry the numbers: how much others behind one address ask for is nobody else's business.
    """
    if request.blueprint in GUARDED:
        ctx = context()
        _of_addresses.count(network_of(ctx.ip), ctx.settings.auth_requests_per_second, ctx.now)
