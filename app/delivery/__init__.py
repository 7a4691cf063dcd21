"""Delivery of log streams: the events are the outbox, a stream's cursor says how far its sink has them.

`worker` decides who delivers when, `records` what of an event a stream gets, `sending` how a batch looks on the wire.
It runs in threads of its own in every serving process, holds no transaction while it sends, and delivers at least
once: a batch whose answer was lost is sent again with the same log ids.
"""

from app.delivery.worker import start

__all__ = ["start"]
