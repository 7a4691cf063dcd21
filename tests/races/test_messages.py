"""Workers that die in the middle of sending (T49): no message reaches the gateway twice, nothing waits for it."""

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import select

from app.store import outbox
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import report, size, within
from tests.gateways import http_gateway
from tests.live import Live, serving
from tests.races.load import APP, login, mfa_token, until

pytestmark = pytest.mark.races

PEOPLE = size(24, 300)


def logs_in(live: Live) -> bool:
    with suppress(OSError):
        return login(live, "bob@example.com").status == 200
    return False


def slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.2)  # how long a gateway takes: a worker may die meanwhile
    handler.send_response(200)
    handler.end_headers()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_sending(templates: Templates, tmp_path: Path, kind: str) -> None:
    with (
        http_gateway() as gateway,
        serving(
            templates, kind, tmp_path, workers=3, BELAY_SMS_URL=f"webhook+http://{gateway.host}/"
        ) as live,
    ):
        gateway.answers += [slowly] * PEOPLE
        cast = making.make_cast(live.server)
        killed = 0
        for number in range(PEOPLE):
            user = making.make_user(live.server, cast.staff, f"p{number}@example.com")
            making.enroll_phone(live.server, user, destination=f"+49170{number % 90 + 10}{number:05}")
            token = mfa_token(live, f"p{number}@example.com")
            answer = live.post_json("/mfa/challenge", APP | {"mfa_token": token})
            assert answer.status in (200, 429), answer.text  # thirty messages an address
            assert answer.seconds < within(2), "the answer does not wait for the gateway"
            if number % 6 == 5:
                for worker in live.workers():
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
                until(lambda: logs_in(live), 20, "a login")

        def is_settled() -> bool:
            is_waiting = outbox.messages.c.state == "waiting"
            with live.server.db.read() as conn:
                return conn.execute(select(outbox.messages.c.id).where(is_waiting)).first() is None

        until(is_settled, 30, "every message has been tried")
        time.sleep(0.5)
    seen = Counter(received.json["message_id"] for received in gateway.received)
    assert seen and set(seen.values()) == {1}, "a message came twice"
    report(
        f"T49 killed while sending ({kind})",
        tried=f"{len(seen)} messages, {killed} workers killed",
        held="no message twice; every answer within 2 s",
    )
