"""Requests of one client to the management API: so many in a second of one worker, told in every answer.

A cheap guard of the worker itself, so it needs no memory that others share.
"""

import threading

from app.context import Context
from app.errors import TooManyRequests

_lock = threading.Lock()
_window = 0
_counts: dict[str, int] = {}


def count(ctx: Context, client_id: str) -> dict[str, str]:
    """Count a request; the headers of its answer. Raises TooManyRequests."""
    global _window
    limit, now = ctx.settings.api_requests_per_second, int(ctx.now.timestamp())
    with _lock:
        if now != _window:
            _window = now
            _counts.clear()
        _counts[client_id] = used = _counts.get(client_id, 0) + 1
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - used)),
        "X-RateLimit-Reset": str(now + 1),
    }
    if used > limit:
        raise TooManyRequests(reason="too_many_requests", headers=headers | {"Retry-After": "1"})
    return headers
