"""Messages on their way: sent once, tried again while that is safe, and never after their time."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.channels import CHANNELS, outbox
from app.channels.channel import Message
from app.context import Context, Server
from app.delivery.messages import TRIES, Postman
from app.store import outbox as rows
from app.store import users
from app.store.events import list_events
from app.store.outbox import LOST_AFTER, messages
from tests.conftest import NOON
from tests.gateways import Gateway, http_gateway
from tests.making import Cast

SMS = CHANNELS["sms"]
LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with http_gateway() as found:
        yield found


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def postman(ctx: Context, gateway: Gateway) -> Postman:
    settings = ctx.settings.model_copy(update={"sms_url": f"webhook+http://{gateway.host}/"})
    return Postman(replace(ctx.server, settings=settings), Clock())


def put(ctx: Context, number: int = 1, expires_at: datetime = LATER) -> None:
    message = Message(f"msg_{number}", "+491701234567", f"text {number}", code="123456")
    with ctx.db.write() as conn:
        outbox.put(conn, ctx, "sms", message, expires_at=expires_at)


def work(postman: Postman, at: datetime | None = None) -> int:
    """One round; how many were tried."""
    if at is not None:
        postman._now.now = at  # type: ignore[attr-defined]
    claimed = postman.claim(SMS, 10)
    for queued in claimed:
        postman.send(SMS, queued)
    return len(claimed)


def states(server: Server) -> list[tuple[str, str | None, bool]]:
    """State, problem and whether the text is still kept."""
    m = messages.c
    with server.db.read() as conn:
        found = conn.execute(select(m.state, m.problem, m.sealed_content).order_by(m.id))
        return [(row.state, row.problem, row.sealed_content is not None) for row in found]


def test_it_is_sent_once_and_then_forgotten(ctx: Context, postman: Postman, gateway: Gateway) -> None:
    put(ctx)
    assert [work(postman), work(postman)] == [1, 0]
    assert [received.json["message_id"] for received in gateway.received] == ["msg_1"]
    assert states(ctx.server) == [("sent", None, False)]
    with ctx.db.read() as conn:
        (event,) = list_events(conn, limit=10)
    assert (event.type, event.factor, event.details) == (
        "gd_send_sms",
        "sms",
        {"message_id": "msg_1", "tries": 1},
    )


def test_nothing_of_a_message_lies_open_in_the_database(ctx: Context) -> None:
    put(ctx)
    with ctx.db.read() as conn:
        (row,) = conn.execute(select(messages))
    assert "123456" not in str(row) and "491701234567" not in str(row)


def test_what_the_gateway_refused_for_now_is_tried_again_with_growing_pauses(
    ctx: Context, postman: Postman, gateway: Gateway
) -> None:
    put(ctx)
    gateway.answers = [503, 429]
    assert work(postman) == 1
    assert states(ctx.server) == [("waiting", "status_503", True)]
    assert work(postman, NOON + timedelta(seconds=1)) == 0
    assert work(postman, NOON + timedelta(seconds=2)) == 1
    assert work(postman, NOON + timedelta(seconds=5)) == 0
    assert work(postman, NOON + timedelta(seconds=6)) == 1
    assert states(ctx.server) == [("sent", None, False)] and len(gateway.received) == 3


def test_it_is_not_tried_for_ever(ctx: Context, postman: Postman, gateway: Gateway) -> None:
    put(ctx)
    gateway.answers = [503] * 10
    tried = sum(work(postman, NOON + timedelta(seconds=30 * n)) for n in range(9))
    assert tried == TRIES
    assert states(ctx.server) == [("failed", "status_503", False)]
    with ctx.db.read() as conn:
        (event,) = list_events(conn, limit=10)
    assert (event.type, event.reason) == ("gd_send_sms_failure", "status_503")


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_what_the_gateway_refused_for_good_is_not_tried_again(
    ctx: Context, postman: Postman, gateway: Gateway, status: int
) -> None:
    put(ctx)
    gateway.answers = [status]
    assert [work(postman), work(postman, NOON + timedelta(minutes=1))] == [1, 0]
    assert states(ctx.server) == [("failed", f"status_{status}", False)]


def test_nothing_is_sent_after_its_time(ctx: Context, postman: Postman, gateway: Gateway) -> None:
    put(ctx, 1)
    put(ctx, 2)
    (claimed,) = postman.claim(SMS, 1)  # just before, by a worker that then slept
    assert work(postman, LATER) == 0
    postman.send(SMS, claimed)
    with ctx.db.write() as conn:
        assert rows.drop_hopeless(conn, LATER) == 1
    assert states(ctx.server) == [("failed", "expired", False)] * 2
    assert gateway.received == []


def test_a_message_whose_worker_died_is_not_sent_again(
    ctx: Context, postman: Postman, gateway: Gateway
) -> None:
    """It may be on a telephone already."""
    put(ctx)
    postman.claim(SMS, 10)
    long_after = NOON + LOST_AFTER + timedelta(seconds=1)
    assert work(postman, long_after) == 0
    with ctx.db.write() as conn:
        assert rows.drop_hopeless(conn, long_after) == 1
    assert work(postman, long_after) == 0
    assert states(ctx.server) == [("lost", None, False)]
    assert gateway.received == []


def test_one_that_cannot_be_opened_keeps_no_other_waiting(
    ctx: Context, postman: Postman, gateway: Gateway
) -> None:
    put(ctx, 1)
    put(ctx, 2)
    with ctx.db.write() as conn:
        conn.execute(update(messages).where(messages.c.id == "msg_1").values(sealed_content="k.AAAA"))
    assert work(postman) == 2
    assert states(ctx.server) == [("failed", "secret_unreadable", False), ("sent", None, False)]


def test_a_gateway_that_is_not_configured_is_told_in_the_event(ctx: Context, postman: Postman) -> None:
    put(ctx)
    settings = ctx.settings.model_copy(update={"sms_url": ""})
    postman._server = replace(ctx.server, settings=settings)
    assert work(postman) == 1
    assert states(ctx.server) == [("failed", "no_gateway", False)]


def test_a_deleted_person_gets_nothing_more(ctx: Context, cast: Cast, postman: Postman) -> None:
    message = Message("msg_1", "+491701234567", "text")
    with ctx.db.write() as conn:
        outbox.put(conn, ctx, "sms", message, expires_at=LATER, user_id=cast.bob.id)
    with ctx.db.write() as conn:
        users.remove_user(conn, cast.bob.id)
    assert work(postman) == 0


def test_a_slow_gateway_holds_up_only_itself(ctx: Context, gateway: Gateway) -> None:
    """Its threads wait; the mail that is due at the same time is gone at once."""
    settings = ctx.settings.model_copy(
        update={"sms_url": f"webhook+http://{gateway.host}/", "smtp_url": "terminal:"}
    )
    server = replace(ctx.server, settings=settings)
    gateway.answers = [lambda handler: time.sleep(2)] * 8
    now = datetime.now(NOON.tzinfo)
    ctx = replace(ctx, server=server, now=now)
    for number in range(8):
        put(ctx, number, now + timedelta(minutes=5))
    with ctx.db.write() as conn:
        outbox.put(
            conn,
            ctx,
            "email",
            Message("msg_9", "a@example.com", "text"),
            expires_at=now + timedelta(minutes=5),
        )
    postman = Postman(server)
    for channel in CHANNELS.values():
        postman._collect(channel)
    deadline = time.monotonic() + 1.5
    while states(ctx.server)[-1][0] != "sent":
        assert time.monotonic() < deadline, "the mail waits for the SMS gateway"
        time.sleep(0.02)
    assert [state for state, _, _ in states(ctx.server)[:8]].count("sending") == 4
    for pool in postman._pools.values():
        pool.shutdown(wait=True, cancel_futures=True)
