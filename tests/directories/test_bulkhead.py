"""Few places for each directory, and rest for a server that failed."""

from contextlib import ExitStack

import pytest
from freezegun import freeze_time

from app.directories import bulkhead
from app.directories.bulkhead import FAILURES, MOST_AT_ONCE, REST_SECONDS, Bulkhead, Full


def test_a_realm_has_few_places_and_all_together_half_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulkhead, "WAIT_SECONDS", 0.01)
    found, threads = Bulkhead(), 6 * MOST_AT_ONCE
    each = threads // 8
    with ExitStack() as stack:
        for realm in ("a", "b", "c", "d"):
            for _ in range(each):
                stack.enter_context(found.place(realm, threads))
            with pytest.raises(Full), found.place(realm, threads):
                pass
        with pytest.raises(Full), found.place("e", threads):
            pass
    with found.place("e", threads), found.place("a", threads):
        pass


def test_a_server_that_failed_rests_and_one_tries_it_then() -> None:
    found = Bulkhead()
    with freeze_time("2026-11-23 12:00") as clock:
        for _ in range(FAILURES):
            assert found.may_ask("one")
            found.failed("one")
        assert not found.may_ask("one") and found.may_ask("other")
        clock.tick(REST_SECONDS + 0.1)
        assert [found.may_ask("one") for _ in range(3)] == [True, False, False]
        found.failed("one")
        clock.tick(REST_SECONDS + 0.1)
        assert found.may_ask("one")
        found.answered("one")
        assert all(found.may_ask("one") for _ in range(3))
