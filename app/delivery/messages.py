"""Sends what the outbox holds: each channel in threads of its own, so that a dead gateway holds up only itself."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app import audit
from app.channels import CHANNELS, outbox
from app.channels.channel import Channel, DeliveryFailed
from app.context import Context, Server
from app.crypto import SealBroken
from app.errors import Refusal
from app.store import outbox as rows
from app.store.outbox import Queued

log = logging.getLogger("belay.messages")

AT_A_TIME = 4  # messages that one process sends over one channel
EVERY_SECONDS = (
    1.0  # a look at an index that is empty as a rule; this process's own messages do not wait for it
)
TRIES = 5
FIRST_WAIT = timedelta(seconds=2)


def start(server: Server) -> list[threading.Thread]:
    """A thread that watches, and a pool that sends, for every channel."""
    postman = Postman(server)
    thread = threading.Thread(target=postman.run, name="messages", daemon=True)
    thread.start()
    return [thread]


def _now() -> datetime:
    return datetime.now(UTC)


class Postman:
    """One of a process."""

    def __init__(self, server: Server, now: Callable[[], datetime] = _now) -> None:
        self._server, self._now = server, now
        self._busy = dict.fromkeys(CHANNELS, 0)
        self._counting = threading.Lock()
        self._pools = {
            name: ThreadPoolExecutor(AT_A_TIME, thread_name_prefix=f"send {name}") for name in CHANNELS
        }

    def run(self) -> None:
        waiting = self._server.messages_waiting
        while True:
            waiting.wait(EVERY_SECONDS)
            waiting.clear()
            for channel in CHANNELS.values():
                try:
                    self._collect(channel)
                except Refusal as refusal:
                    log.warning("messages were put off: %s", refusal.reason)
                except Exception:  # one that cannot be read must not end the delivery of all others
                    log.exception("messages were put off")

    def _collect(self, channel: Channel) -> None:
        room = AT_A_TIME - self._busy[channel.name]
        if room <= 0:
            return
        for queued in self.claim(channel, room):
            with self._counting:
                self._busy[channel.name] += 1
            self._pools[channel.name].submit(self._send_and_count, channel, queued)

    def _send_and_count(self, channel: Channel, queued: Queued) -> None:
        try:
            self.send(channel, queued)
        except (
            Refusal
        ) as refusal:  # the outcome could not be written: it stays claimed, and is not sent again
            log.warning("the delivery of %s could not be noted: %s", queued.id, refusal.reason)
        except Exception:
            log.exception("message %s", queued.id)
        finally:
            with self._counting:
                self._busy[channel.name] -= 1
            self._server.messages_waiting.set()  # there is room for another

    def claim(self, channel: Channel, most: int) -> list[Queued]:
        now = self._now()
        with self._server.db.read() as conn:
            if not rows.has_due(conn, channel.name, now):
                return []
        with self._server.db.write() as conn:
            return rows.claim_messages(conn, channel.name, now, most)

    def send(self, channel: Channel, queued: Queued) -> None:
        """Send one that was claimed, and note what became of it."""
        ctx = Context(self._server, self._now(), ip="", request_id=queued.id)
        ctx.facts.user_id, ctx.facts.realm, ctx.facts.factor = queued.user_id, queued.realm, channel.name
        try:
            if queued.expires_at <= ctx.now:
                raise DeliveryFailed("expired", may_repeat=False)
            channel.deliver(ctx, outbox.opened(ctx, queued))
        except SealBroken:
            self._failed(ctx, channel, queued, DeliveryFailed("secret_unreadable", may_repeat=False))
        except DeliveryFailed as failure:
            self._failed(ctx, channel, queued, failure)
        except Refusal as refusal:  # nothing has gone out yet: the gateway's settings could not be read
            self._failed(ctx, channel, queued, DeliveryFailed(refusal.reason, may_repeat=True))
        else:
            with self._server.db.write() as conn:
                rows.settle_message(conn, queued.id, "sent")
                audit.record(conn, ctx, channel.success_event, "", _details(queued))

    def _failed(self, ctx: Context, channel: Channel, queued: Queued, failure: DeliveryFailed) -> None:
        ctx = replace(ctx, now=self._now())
        again = ctx.now + FIRST_WAIT * 2 ** (queued.tries - 1)
        may_repeat = failure.may_repeat and queued.tries < TRIES and again < queued.expires_at
        log.warning("message %s over %s: %s", queued.id, channel.name, failure)
        with self._server.db.write() as conn:
            if may_repeat:
                rows.put_off_message(conn, queued.id, again, str(failure))
            else:
                rows.settle_message(conn, queued.id, "failed", str(failure))
                audit.record(conn, ctx, channel.failure_event, str(failure), _details(queued))


def _details(queued: Queued) -> dict[str, object]:
    return {"message_id": queued.id, "tries": queued.tries}
