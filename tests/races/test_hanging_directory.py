"""A directory that hangs is its own realm's trouble."""

import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import making
from tests.databases import KINDS, Templates
from tests.directories.conftest import make_directory_realm
from tests.directories.fakes import ActiveDirectory, Listener, Member, listening, silence
from tests.evidence import FULL, report, size
from tests.live import Answer, Live, serving
from tests.races.load import login, password_request, percentile
from tests.wire import PASSWORD_REALM

pytestmark = [pytest.mark.races, pytest.mark.timeout(600)]

SECONDS = size(2, 20)
A_SECOND = (
    40  # logins in the realm whose directory hangs; without a bulkhead they hold every thread within a second
)
FLOOR_SECONDS = size(0.3, 0.03)  # below, a ratio measures the machine


def measured(live: Live, realm: str, directory: Listener) -> tuple[float, Counter[int]]:
    """The p95 of plain logins while others log in to that realm, and what those were answered."""
    until, statuses = time.monotonic() + SECONDS, Counter[int]()
    threads = []

    def ask() -> None:
        request = password_request(live, "alice", grant_type=PASSWORD_REALM, realm=realm)
        statuses[live.send(request).status] += 1

    def flood() -> None:
        while time.monotonic() < until:
            thread = threading.Thread(target=ask)
            thread.start()
            threads.append(thread)
            time.sleep(1 / A_SECOND)

    flooding = threading.Thread(target=flood)
    flooding.start()
    time.sleep(SECONDS / 4)
    seconds = [_plain(live).seconds]
    while time.monotonic() < until:
        seconds.append(_plain(live).seconds)
        time.sleep(0.01)
    flooding.join()
    directory.close()  # nobody has to wait for the end
    for thread in threads:
        thread.join()
    return percentile(seconds, 0.95), statuses


def _plain(live: Live) -> Answer:
    answer = login(live, "bob@example.com")
    assert answer.status == 200, answer.text
    return answer


@pytest.mark.parametrize("kind", KINDS if FULL else KINDS[:1])
def test_a_directory_that_hangs_slows_no_other_realm(templates: Templates, tmp_path: Path, kind: str) -> None:
    well = ActiveDirectory(Member("alice", making.PASSWORD))
    with ExitStack() as stack:
        healthy, hanging = (stack.enter_context(listening(serve)) for serve in (well.serve, silence))
        live = stack.enter_context(serving(templates, kind, tmp_path, workers=1, BELAY_THREADS="64"))
        making.make_cast(live.server)
        for name, port in (("well", healthy.port), ("hangs", hanging.port)):
            options = well.options(port, timeout_ms=10_000)
            make_directory_realm(live.server, name, "ad", {"ldap": options}, "app")
        before, fine = measured(live, "well", healthy)
        during, hung = measured(live, "hangs", hanging)
    assert set(fine) <= {200, 503} and fine[200]
    assert set(hung) == {503}, hung
    ratio = during / before
    report(
        f"directory that hangs ({kind})",
        tried=f"{A_SECOND} logins/s for {SECONDS} s in its realm, 1 worker of 64 threads, timeout 10 s",
        held=f"p95 of another realm {before * 1000:.0f} to {during * 1000:.0f} ms, {ratio:.2f} times",
    )
    assert during <= max(size(4.0, 1.5) * before, FLOOR_SECONDS), (before, during)
