"""Who delivers when: a stream is taken by a lease, served by a thread of its own, and given back."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.accounts.log_streams import secrets_of_log_stream, suspend_log_stream
from app.context import Context, Server
from app.crypto import random_token
from app.delivery import records, sending
from app.delivery.sending import NotTaken
from app.delivery.settled import Settled
from app.errors import Refusal
from app.store import log_streams
from app.store.log_streams import LogStream

log = logging.getLogger("belay.delivery")

BATCH = 100  # events looked at together; a batch is far below a megabyte
EVERY_SECONDS = 1.0
LEASED_FOR = timedelta(seconds=60)  # far beyond the few seconds that a batch may take to send
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=5)  # a sink that is back is not kept waiting for long
SUSPENDED_AFTER = timedelta(hours=24)  # whoever looks after the sink had a day; its events are kept


def start(server: Server) -> None:
    threading.Thread(target=Worker(server).run, name="delivery", daemon=True).start()


def _now() -> datetime:
    return datetime.now(UTC)


class Worker:
    """One of a process. A slow sink keeps only the thread of its own stream waiting."""

    def __init__(self, server: Server, now: Callable[[], datetime] = _now) -> None:
        self._server, self._now = server, now
        self._settled = Settled()
        self._busy: set[str] = set()
        self.stopped = threading.Event()

    def run(self) -> None:
        # Spread over the processes, so that they do not all ask at once.
        while not self.stopped.wait(EVERY_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311 - not a secret
            try:
                for stream in self.due():
                    if stream.id not in self._busy:
                        self._busy.add(stream.id)
                        threading.Thread(
                            target=self._serve, args=(stream,), name=f"delivery {stream.id}", daemon=True
                        ).start()
            except Refusal as refusal:
                log.warning("log streams were put off: %s", refusal.reason)
            except Exception:  # a stream that cannot be read must not end the delivery of all others
                log.exception("log streams were put off")

    def due(self) -> list[LogStream]:
        with self._server.db.read() as conn:
            return log_streams.list_due(conn, self._now())

    def _serve(self, stream: LogStream) -> None:
        try:
            self.deliver(stream)
        except Refusal as refusal:
            log.warning("log stream %s was put off: %s", stream.id, refusal.reason)
        except Exception:
            log.exception("log stream %s was put off", stream.id)
        finally:
            self._busy.discard(stream.id)

    def deliver(self, stream: LogStream) -> int:
        """Send what there is for a stream, batch after batch; returns the events sent. 0 also when another does."""
        now, lease, sent = self._now(), random_token(), 0
        with self._server.db.write() as conn:
            if not log_streams.take_lease(conn, stream.id, lease, now, now + LEASED_FOR):
                return 0
        try:
            while (count := self._deliver_batch(stream.id, lease)) is not None:
                sent += count
        except NotTaken as problem:
            self._put_off(stream.id, lease, str(problem))
        except Refusal as refusal:
            self._put_off(stream.id, lease, refusal.reason)
        except Exception:
            log.exception("a batch of log stream %s cannot be made", stream.id)
            self._put_off(stream.id, lease, "batch_unsendable")
        else:
            with self._server.db.write() as conn:
                log_streams.release_lease(conn, stream.id, lease)
        return sent

    def _deliver_batch(self, stream_id: str, lease: str) -> int | None:
        """Events sent; None when there is nothing more to do. Raises NotTaken, Refusal."""
        now = self._now()
        ctx = Context(self._server, now, ip="")
        with self._server.db.read() as conn:
            stream = log_streams.find_log_stream(conn, stream_id)
            if stream is None or stream.status != "active" or stream.lease != lease:
                return None
            found = self._settled.list_settled(conn, stream.cursor, BATCH)
            if not found:
                return None
            wanted = [
                records.record(ctx, conn, stream, event)
                for event in found
                if records.is_wanted(stream, event)
            ]
        if stream.leased_until is None or stream.leased_until - now < LEASED_FOR / 2:
            return None  # this took too long; whoever takes it next has a whole lease
        if wanted:  # no connection and no lock is held from here on
            sending.send(self._server.settings, stream, secrets_of_log_stream(ctx, stream), wanted, now)
        with self._server.db.write() as conn:
            until = self._now() + LEASED_FOR
            kept = log_streams.advance_cursor(conn, stream_id, lease, found[-1].id or 0, until)
        return len(wanted) if kept else None

    def _put_off(self, stream_id: str, lease: str, problem: str) -> None:
        now = self._now()
        with self._server.db.write() as conn:
            stream = log_streams.find_log_stream(conn, stream_id)
            if stream is None or stream.lease != lease:
                return
            retry_at = now + wait_for(stream.failures)
            log_streams.put_off(conn, stream_id, lease, problem, now=now, retry_at=retry_at)
            since = stream.failing_since
            if since is not None and now - since >= SUSPENDED_AFTER:
                failed = log_streams.find_log_stream(conn, stream_id) or stream
                suspend_log_stream(conn, Context(self._server, now, ip=""), failed, since)
        log.warning("log stream %s: %s", stream_id, problem)


def wait_for(failures: int) -> timedelta:
    """Longer with every failure, and never the same for all streams of a sink that is down."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(failures, 20), LONGEST_WAIT)
    return longest * random.uniform(0.75, 1)  # noqa: S311 - not a secret
