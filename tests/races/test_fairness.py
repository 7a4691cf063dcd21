"""A flood of logins from one client, or from one address, and the others' logins beside it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app.settings import DEFAULT_HASH_MEMORY_KIB
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import FULL, report, size
from tests.live import Live, raw_request, serving
from tests.making import APP_SECRET, MALLORY_SECRET, PASSWORD
from tests.races.load import percentile

pytestmark = [pytest.mark.races, pytest.mark.timeout(600)]

SECONDS = size(4, 20)
FLOODING = 64


@pytest.fixture(scope="module", params=KINDS if FULL else KINDS[:1])
def live(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """One worker, and hashes of production cost, so that there is a queue at all."""
    folder: Path = tmp_path_factory.mktemp("fair")
    costly = {
        "BELAY_HASH_MEMORY_KIB": str(DEFAULT_HASH_MEMORY_KIB * 4),
        "BELAY_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    with serving(templates, request.param, folder, workers=1, **costly) as found:
        cast = making.make_cast(found.server)
        making.loosen_limits(found.server)
        for number in range(FLOODING):
            making.make_user(found.server, cast.staff, f"flood-{number}@example.com")
        yield found


def login(live: Live, client: str, secret: str, name: str, address: str) -> tuple[int, float]:
    body = {"grant_type": "password", "username": name, "password": PASSWORD}
    body |= {"client_id": client, "client_secret": secret}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address}
    answer = live.send(raw_request("POST", "/oauth/token", live.host, urlencode(body).encode(), headers))
    return answer.status, answer.seconds


FLOODS: dict[str, Callable[[int], tuple[str, str, str]]] = {
    "of one client from everywhere": lambda number: ("mallory", MALLORY_SECRET, f"192.0.2.{number}"),
    "of one address at the same client": lambda number: ("app", APP_SECRET, "192.0.2.1"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_the_others_hardly_wait(live: Live, flood: str) -> None:
    until = time.monotonic() + SECONDS
    theirs: list[float] = []

    def sender(number: int) -> None:
        client, secret, address = FLOODS[flood](number)
        while time.monotonic() < until:
            status, seconds = login(live, client, secret, f"flood-{number}@example.com", address)
            assert status in (200, 503)
            theirs.append(seconds)

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(FLOODING)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 4)
    mine = []
    while time.monotonic() < until - SECONDS / 4:
        status, seconds = login(live, "app", APP_SECRET, "bob@example.com", "198.51.100.1")
        assert status == 200
        mine.append(seconds)
    for thread in threads:
        thread.join()
    median, flooding = percentile(mine, 0.5), percentile(theirs, 0.5)
    report(
        f"T41 a flood {flood}",
        tried=f"{FLOODING} connections for {SECONDS} s, {len(mine)} logins of somebody else beside them",
        held=f"median {median * 1000:.0f} ms beside the flood's own {flooding * 1000:.0f} ms",
    )
    assert median < flooding / size(2, 3), (median, flooding)
