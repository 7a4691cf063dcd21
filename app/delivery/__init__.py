"""What leaves the server by itself: messages to people, and log streams.

Messages are rows of the outbox, sent at most once (`messages`). For log streams the events are the outbox, and a
stream's cursor says how far its sink has them (`worker`, `records`, `sending`): a batch whose answer was lost is sent
again with the same log ids. Both run in threads of every serving process, or of `belay worker`, and hold no
transaction while they send.
"""

from app.context import Server
from app.delivery import messages, worker


def start(server: Server) -> None:
    worker.start(server)
    messages.start(server)


__all__ = ["start"]
