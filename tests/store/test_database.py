"""How long a database that says nothing is waited for."""

import socket
import time

import pytest

from app.errors import TemporarilyUnavailable
from app.store.database import Database
from app.store.silence import PAUSE_SECONDS
from tests.evidence import within


def seconds_to_refuse(db: Database) -> float:
    began = time.monotonic()
    with pytest.raises(TemporarilyUnavailable), db.read():
        pass
    return time.monotonic() - began


def test_a_server_that_let_nobody_in_is_not_waited_for_again_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        db = Database(f"postgresql://belay@127.0.0.1:{silent.getsockname()[1]}/belay")
        assert 1.5 < seconds_to_refuse(db) < within(4)
        assert seconds_to_refuse(db) < 1.5, "not waited for"
        time.sleep(PAUSE_SECONDS)
        assert seconds_to_refuse(db) > 1.5, "asked again"
        db.dispose()


def test_a_server_that_refuses_is_asked_each_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    db = Database(f"postgresql://belay@127.0.0.1:{port}/belay")
    assert seconds_to_refuse(db) < within(1) and seconds_to_refuse(db) < within(1)
    db.dispose()
