"""Messages on the terminal where the server runs: for development, and for the tour of `make run`."""

import sys

from app.channels.channel import Message


def deliver(channel: str, message: Message) -> None:
    lines = [f"  {line}" for line in (message.subject, message.text) if line]
    sys.stderr.write(f"\n--- {channel} to {message.destination}\n" + "\n".join(lines) + "\n\n")
    sys.stderr.flush()
