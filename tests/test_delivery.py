"""Log streams deliver every event at least once, in order, signed, and hold up nobody."""

import hashlib
import hmac
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app import accounts, http_out
from app.accounts import log_streams as rules
from app.context import Context, Server
from app.delivery import records, sending, settled, worker
from app.delivery.worker import LEASED_FOR, SUSPENDED_AFTER, Worker
from app.delivery.xxhash import xxh64
from app.store import log_streams
from app.store.events import Event, add_event
from app.store.log_streams import LogStream
from tests.conftest import NOON
from tests.databases import KINDS, Templates
from tests.evidence import report, within
from tests.live import serving
from tests.making import Cast
from tests.wire import Wire

KEY = "lss_test"


@dataclass
class Batch:
    body: bytes
    headers: dict[str, str]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Sink:
    """An HTTP server on this machine. `reply` says what it answers: a status, or None for never."""

    reply: Callable[[Batch], int | None] = lambda _: 204
    batches: list[Batch] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        sink, lock = self, threading.Lock()

        class Ask(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                batch = Batch(body, dict(self.headers))
                with lock:
                    sink.at_once += 1
                    sink.most_at_once = max(sink.most_at_once, sink.at_once)
                status = sink.reply(batch)
                with lock:
                    sink.at_once -= 1
                    sink.batches.append(batch)
                if status is None:
                    sink.released.wait(20)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Ask)
        self.httpd.daemon_threads = True
        self.httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}/in"

    @property
    def got(self) -> list[str]:
        """What was said in the events that came, in their order."""
        return [found["data"]["details"]["reason"] for batch in self.batches for found in batch.records]

    def close(self) -> None:
        self.released.set()
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture
def sinks() -> Iterator[Callable[..., Sink]]:
    made: list[Sink] = []

    def make(reply: Callable[[Batch], int | None] = lambda _: 204) -> Sink:
        made.append(Sink(reply))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def server(server: Server) -> Server:
    """One that may send to this machine."""
    networks = (ip_network("127.0.0.0/8"),)
    return replace(server, settings=server.settings.model_copy(update={"outgoing_networks": networks}))


@dataclass
class Time:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def moment() -> Time:
    return Time()


def make_stream(server: Server, sink: Sink, **changed: Any) -> str:
    form = changed.pop("form", "JSONLINES")
    shown = {"httpEndpoint": sink.url, "httpContentFormat": form, "httpContentType": "application/json"}
    stream = LogStream(rules.new_log_stream_id(), "s", "http", "active", NOON, 0, sink=shown)
    ctx = Context(server, NOON, ip="")
    secrets = {rules.SIGNING_SECRET: KEY, "httpAuthorization": "Bearer sink-password"}
    with server.db.write() as conn:
        made = accounts.create_log_stream(conn, ctx, replace(stream, **changed), secrets, None)
    return made.id


def event(said: str, **changed: Any) -> Event:
    known: dict[str, Any] = {"at": NOON, "type": "fp", "reason": said, "ip": "192.0.2.1", "request_id": "r"}
    return Event(**(known | changed))


def add(server: Server, *said: object, **changed: Any) -> None:
    with server.db.write() as conn:
        for text in said:
            add_event(conn, event(str(text), **changed))


def find(server: Server, stream_id: str) -> LogStream:
    with server.db.read() as conn:
        found = log_streams.find_log_stream(conn, stream_id)
    assert found is not None
    return found


def deliver(found: Worker) -> int:
    """What a turn of the worker does, one stream after the other."""
    return sum(found.deliver(stream) for stream in found.due())


NUMBERS = [str(number) for number in range(250)]
CREATED = "log_stream_created"


def test_everything_arrives_in_order_and_signed(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    sink = sinks()
    stream_id = make_stream(server, sink)
    add(server, *NUMBERS)
    assert deliver(Worker(server, moment)) == 251
    assert sink.got == [CREATED, *NUMBERS] and len(sink.batches) == 3
    ids = [found["log_id"] for batch in sink.batches for found in batch.records]
    assert ids == sorted(set(ids))
    for batch in sink.batches:
        parts = dict(part.split("=") for part in batch.headers["Belay-Signature"].split(","))
        signed = parts["t"].encode() + b"." + batch.body
        assert parts["v1"] == hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
        assert int(parts["t"]) == NOON.timestamp()
        assert batch.headers["Authorization"] == "Bearer sink-password"
    assert deliver(Worker(server, moment)) == 0 and find(server, stream_id).lease is None


@pytest.mark.parametrize(("form", "open"), [("JSONARRAY", list), ("JSONOBJECT", lambda found: found["logs"])])
def test_other_forms_of_a_batch(
    server: Server, sinks: Callable[..., Sink], moment: Time, form: str, open: Any
) -> None:
    sink = sinks()
    make_stream(server, sink, form=form)
    deliver(Worker(server, moment))
    (record,) = open(json.loads(sink.batches[0].body))
    assert record["log_id"] == record["data"]["log_id"] and record["data"]["type"] == "sapi"


def test_what_a_sink_does_not_take_is_sent_again_with_growing_waits(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    answers = [500, 429, 302, 400, 204]
    sink = sinks(lambda _: answers.pop(0))
    stream_id = make_stream(server, sink)
    waits = []
    for status in (500, 429, 302, 400):
        found = Worker(server, moment)  # a restart forgets nothing
        assert deliver(found) == 0 and found.due() == []
        stream = find(server, stream_id)
        assert stream.problem == f"status_{status}" and stream.retry_at is not None
        waits.append(stream.retry_at - moment.now)
        moment.now = stream.retry_at
    assert waits == sorted(waits) and waits[-1] > 4 * waits[0]
    assert deliver(Worker(server, moment)) == 1
    stream = find(server, stream_id)
    assert (stream.failures, stream.problem, stream.failing_since, stream.retry_at) == (0, None, None, None)
    assert len({batch.body for batch in sink.batches}) == 1


def test_a_batch_whose_answer_is_lost_comes_again_with_the_same_ids(
    server: Server, sinks: Callable[..., Sink], moment: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = http_out.post.__kwdefaults__
    monkeypatch.setitem(defaults, "total_seconds", 0.5)
    sink = sinks()
    sink.reply = lambda _: None if len(sink.batches) == 1 else 204
    stream_id = make_stream(server, sink)
    add(server, *NUMBERS)
    assert deliver(Worker(server, moment)) == 100
    assert find(server, stream_id).problem == "timed_out"
    moment.now += timedelta(minutes=1)
    assert deliver(Worker(server, moment)) == 151
    assert sink.batches[1].records == sink.batches[2].records
    del sink.batches[1]
    assert sink.got == [CREATED, *NUMBERS]


def test_a_process_that_dies_holding_a_stream_is_followed_by_another(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    stream_id = make_stream(server, sinks())
    with server.db.write() as conn:
        assert log_streams.take_lease(conn, stream_id, "dead", NOON, NOON + LEASED_FOR)
    assert deliver(Worker(server, moment)) == 0
    moment.now += LEASED_FOR
    assert deliver(Worker(server, moment)) == 1
    with server.db.write() as conn:  # the dead one wakes up
        assert not log_streams.advance_cursor(conn, stream_id, "dead", 10**6, moment.now)
        assert not log_streams.put_off(conn, stream_id, "dead", "late", now=NOON, retry_at=NOON)


def test_two_workers_never_deliver_a_stream_at_the_same_time(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    def slowly(_: Batch) -> int:
        time.sleep(0.1)
        return 204

    sink = sinks(slowly)
    make_stream(server, sink)
    add(server, *NUMBERS)
    barrier, found = threading.Barrier(4), [Worker(server, moment) for _ in range(4)]

    def run(one: Worker) -> None:
        due = one.due()
        barrier.wait()
        for stream in due:
            one.deliver(stream)

    threads = [threading.Thread(target=run, args=(one,)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.got == [CREATED, *NUMBERS] and sink.most_at_once == 1


def test_a_sink_that_fails_for_long_is_suspended_and_goes_on_where_it_was(
    server: Server, sinks: Callable[..., Sink], moment: Time, wire: Wire
) -> None:
    status = [503]
    sink = sinks(lambda _: status[0])
    stream_id = make_stream(server, sink)
    while find(server, stream_id).status == "active" and moment.now < NOON + SUSPENDED_AFTER * 2:
        deliver(Worker(server, moment))
        moment.now += timedelta(hours=1)
    assert find(server, stream_id).status == "suspended" and moment.now >= NOON + SUSPENDED_AFTER
    last = wire.events()[-1]
    assert (last.type, last.reason) == ("fn", "log_stream_suspended")
    assert last.details["log_stream"] == {"id": stream_id, "name": "s", "problem": "status_503"}
    assert Worker(server, moment).due() == []
    status[0], sink.batches = 204, []
    with server.db.write() as conn:
        ctx = Context(server, moment.now, ip="")
        accounts.update_log_stream(conn, ctx, find(server, stream_id), status="active")
    deliver(Worker(server, moment))
    assert sink.got == [CREATED, "log_stream_suspended", "log_stream_updated"]


def test_a_batch_that_cannot_be_made_or_taken_blocks_no_other_stream(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    healthy = sinks()
    broken = make_stream(server, sinks(), pii={"no": "method"})
    refusing = make_stream(server, sinks(lambda _: 400))
    make_stream(server, healthy)
    deliver(Worker(server, moment))
    assert find(server, broken).problem == "batch_unsendable"
    assert find(server, refusing).problem == "status_400"
    assert healthy.got == [CREATED]


def test_a_stream_that_is_paused_or_gone_gets_nothing(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    sink = sinks()
    stream_id = make_stream(server, sink, status="paused")
    assert deliver(Worker(server, moment)) == 0
    stale = find(server, stream_id)
    with server.db.write() as conn:
        log_streams.remove_log_stream(conn, stream_id)
    assert Worker(server, moment).deliver(stale) == 0 and sink.batches == []


def test_pausing_takes_effect_after_the_batch_that_is_on_its_way(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    def pause(_: Batch) -> int:
        with server.db.write() as conn:
            log_streams.update_log_stream(conn, stream_id, status="paused")
        return 204

    sink = sinks(pause)
    stream_id = make_stream(server, sink)
    add(server, *NUMBERS)
    assert deliver(Worker(server, moment)) == 100 and len(sink.batches) == 1


def test_only_the_categories_that_were_asked_for(
    server: Server, sinks: Callable[..., Sink], moment: Time
) -> None:
    sink = sinks()
    stream_id = make_stream(server, sink, filters=("auth.login.fail", "user.notification"))
    for code in ("fp", "s", "gd_unenroll", "mfar", "sapi", "sepft", "fu", "limit_wc"):
        add(server, code, type=code)
    deliver(Worker(server, moment))
    assert sink.got == ["fp", "gd_unenroll", "fu"]
    assert find(server, stream_id).cursor == len(Wire(server).events())


ALICE = {
    "given_name": "Alice",
    "family_name": "Liddell",
    "name": "Alice Liddell",
    "email": "alice@example.com",
}


@pytest.mark.parametrize("method", ["mask", "hash"])
def test_data_of_persons_is_masked_or_hashed(
    server: Server, sinks: Callable[..., Sink], moment: Time, method: str
) -> None:
    every = ["first_name", "last_name", "username", "email", "phone", "address"]
    pii = {"log_fields": every, "method": method, "algorithm": "xxhash"}
    sink, plain = sinks(), sinks()
    make_stream(server, sink, pii=pii, filters=("auth.login.fail",))
    make_stream(server, plain, filters=("auth.login.fail",))
    change = {"after": ALICE | {"phone_number": "+491701234567"}, "text": "mail to alice@example.com failed"}
    add(server, "x", user_id="auth0|1", user_name="alice.exmaple", details={"change": change})
    deliver(Worker(server, moment))
    text = sink.batches[0].body.decode()
    for secret in ("Alice", "Liddell", "alice@example", "alice.exmaple", "+49170"):
        assert secret in plain.batches[0].body.decode() and secret not in text
    data = sink.batches[0].records[0]["data"]
    hidden = xxh64(b"alice@example.com") if method == "hash" else records.MASK
    assert data["details"]["change"]["after"]["email"] == hidden
    assert data["details"]["change"]["text"] == f"mail to {hidden} failed"
    assert (data["user_id"], data["ip"]) == ("auth0|1", "192.0.2.1")


def test_the_digest_is_the_published_one() -> None:
    known = {
        b"": "ef46db3751d8e999",
        b"a": "d24ec4f1a98c6e5b",
        b"abc": "44bc2cf5ad770999",
        b"Nobody inspects the spammish repetition": "fbcea83c8a378bf1",
    }
    assert {text: xxh64(text) for text in known} == known


def test_other_sinks_get_their_own_shape() -> None:
    stream = LogStream("lst_x", "s", "splunk", "active", NOON, 0)
    body, headers = sending.request_of(stream, {"splunkToken": "t"}, [{"log_id": "1"}, {"log_id": "2"}], NOON)
    assert [json.loads(line)["event"]["log_id"] for line in body.splitlines()] == ["1", "2"]
    assert headers["Authorization"] == "Splunk t"
    stream = replace(stream, type="datadog", sink={"datadogRegion": "us3"})
    body, headers = sending.request_of(stream, {"datadogApiKey": "k"}, [{"log_id": "1"}], NOON)
    assert headers["DD-API-KEY"] == "k" and json.loads(body)[0]["message"] == {"log_id": "1"}
    assert rules.address_of(stream) == "https://http-intake.logs.us3.datadoghq.com/api/v2/logs"


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.parametrize("commits", [True, False])
def test_an_event_that_commits_late_is_not_passed_by(
    server: Server, sinks: Callable[..., Sink], moment: Time, commits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are in the order of inserts, not of commits; and one that was rolled back is not waited for in vain."""
    monkeypatch.setattr(settled, "PATIENCE_SECONDS", 0.0)
    sink = sinks()
    make_stream(server, sink)
    found = Worker(server, moment)
    slow: Connection = server.db.engine.connect()
    ends = slow.begin()
    add_event(slow, event("slow"))
    add(server, "quick")
    for _ in range(3):
        deliver(found)
    assert sink.got == [CREATED]
    ends.commit() if commits else ends.rollback()
    slow.close()
    for _ in range(3):
        deliver(found)
    assert sink.got == ([CREATED, "slow", "quick"] if commits else [CREATED, "quick"])


def test_a_slow_sink_slows_no_login(
    server: Server, sinks: Callable[..., Sink], cast: Cast, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "EVERY_SECONDS", 0.01)
    hanging, healthy = sinks(lambda _: None), sinks()
    make_stream(server, hanging)
    make_stream(server, healthy)

    def seconds() -> float:
        started = time.monotonic()
        for _ in range(5):
            wire.ok(wire.password("bob@example.com"))
        return time.monotonic() - started

    alone = seconds()
    found = Worker(server)
    running = threading.Thread(target=found.run, daemon=True)
    running.start()
    deadline = time.monotonic() + 20
    while not (hanging.batches and healthy.batches) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert hanging.batches and healthy.batches
    beside = seconds()
    found.stopped.set()
    running.join()
    report("logins while a sink hangs", tried="5 and 5", held=f"{alone:.2f} s before, {beside:.2f} s beside")
    assert beside < alone + within(4)  # five logins that waited for the sink would take 25 seconds


@pytest.mark.races
@pytest.mark.parametrize("kind", KINDS)
def test_processes_share_a_stream_and_survive_each_other(
    templates: Templates,
    tmp_path: Path,
    kind: str,
    sinks: Callable[..., Sink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = sinks()
    networks = {"BELAY_OUTGOING_NETWORKS": "127.0.0.0/8"}
    with serving(templates, kind, tmp_path, workers=2, **networks) as live:
        opened = (ip_network("127.0.0.0/8"),)
        settings = live.server.settings.model_copy(update={"outgoing_networks": opened})
        make_stream(replace(live.server, settings=settings), sink)
        add(live.server, *NUMBERS)
        deadline = time.monotonic() + 60
        while not sink.batches and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(live.workers()[0], signal.SIGKILL)
        add(live.server, "last")
        deadline = time.monotonic() + 150
        while "last" not in sink.got and time.monotonic() < deadline:
            time.sleep(0.05)
    got = list(dict.fromkeys(sink.got))
    assert got == [CREATED, *NUMBERS, "last"] and sink.most_at_once == 1
    report(
        "log stream over 2 processes, one killed",
        tried=f"{len(got)} events",
        held=f"{len(sink.got)} came, 0 lost",
    )
