"""A rule that tries to break out or to exhaust the server is the trouble of those logins alone that run into it."""

import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app.store import rules
from app.store.rules import Rule
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import FULL, report, size
from tests.live import Live, raw_request, serving
from tests.making import MALLORY_SECRET, PASSWORD
from tests.races.load import login, percentile
from tests.rules.escapes import ASKING, EXHAUSTING, FORGING, REACHING

pytestmark = [pytest.mark.races, pytest.mark.timeout(1200)]

ATTEMPTS = [*EXHAUSTING, *REACHING, *FORGING, *ASKING]
FLOOR_SECONDS = size(0.1, 0.03)  # below, a ratio measures the machine
HARMLESS = "user.note = 'seen';"


def put_rule(live: Live, attempt: str) -> None:
    """Every login passes it; those of one client run into the attempt."""
    script = f"""function (user, context, callback) {{
        if (context.clientID === 'mallory') {{ {attempt} ; }}
        callback(null, user, context);
    }}"""
    with live.server.db.write() as conn:
        if rules.find_rule(conn, "rul_x") is None:
            rules.add_rule(conn, Rule("rul_x", "attempt", script, 1, True))
        else:
            rules.update_rule(conn, "rul_x", script=script)


def mallory(live: Live) -> int:
    body = {"grant_type": "password", "username": "mallory@example.com", "password": PASSWORD}
    body |= {"client_id": "mallory", "client_secret": MALLORY_SECRET}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return live.send(raw_request("POST", "/oauth/token", live.host, urlencode(body).encode(), form)).status


def measured(live: Live, attempts: list[str]) -> tuple[float, Counter[int], int]:
    """The p95 of others' logins while one attempt after the other is made, what those were answered, and theirs."""
    ended, statuses = threading.Event(), Counter[int]()

    def attack() -> None:
        for attempt in attempts:
            put_rule(live, attempt)
            statuses[mallory(live)] += 1
        ended.set()

    attacking = threading.Thread(target=attack)
    attacking.start()
    seconds = []
    while not ended.is_set():
        answer = login(live, "bob@example.com")
        assert answer.status == 200, answer.text
        seconds.append(answer.seconds)
        time.sleep(0.02)
    attacking.join()
    return percentile(seconds, 0.95), statuses, len(seconds)


@pytest.mark.parametrize("kind", KINDS if FULL else KINDS[:1])
def test_attempts_to_break_out_slow_no_other_login(templates: Templates, tmp_path: Path, kind: str) -> None:
    chosen = ATTEMPTS[:: max(1, len(ATTEMPTS) // size(20, len(ATTEMPTS)))]
    with ExitStack() as stack:
        live = stack.enter_context(serving(templates, kind, tmp_path, workers=2, BELAY_RULES_SECONDS="1.0"))
        cast = making.make_cast(live.server)
        making.loosen_limits(live.server)
        making.make_user(live.server, cast.staff, "mallory@example.com")
        before, fine, _ = measured(live, [HARMLESS] * size(40, 200))
        during, ends, count = measured(live, chosen)
    assert set(fine) == {200} and set(ends) <= {200, 401, 403, 503}, (fine, ends)
    ratio = during / max(before, FLOOR_SECONDS)
    report(
        "T32 attempts to break out of a rule",
        tried=f"{len(chosen)} attempts beside {count} logins of others on {kind}",
        held=f"others' p95 {during * 1000:.0f} ms, {before * 1000:.0f} ms beside a rule that does nothing",
    )
    assert ratio <= size(5.0, 1.5), (before, during)
