"""What the log hears when a directory goes away, and when it is back."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from app.directories import bulkhead, connectivity
from app.directories.bulkhead import FAILURES
from tests.directories.conftest import make_directory_realm
from tests.directories.fakes import ActiveDirectory, LoginService, Member, listening
from tests.directories.slapd import PASSWORD
from tests.making import Cast
from tests.wire import PASSWORD_REALM, Wire, refused


class Switch:
    """A directory that can be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.options: dict[str, Any] = {}


@pytest.fixture(params=["http", "ad"])
def corp(request: pytest.FixtureRequest, wire: Wire, cast: Cast, service: LoginService) -> Iterator[Switch]:
    switch, directory = Switch(), ActiveDirectory(Member("alice", PASSWORD))

    def serve(sock: socket.socket) -> None:
        if not switch.is_away:
            directory.serve(sock)

    judge = service.reply

    def reply(asked: Any) -> tuple[int, bytes]:
        if switch.is_away:
            raise ConnectionError
        return judge(asked)

    service.reply = reply
    with listening(serve) as listener:
        options: dict[str, Any] = {"ldap": directory.options(listener.port)}
        if request.param == "http":
            options = {"http": {"url": f"{service.url}?key=of-the-service", "secret": "s" * 20}}
        make_directory_realm(wire.server, "corp", request.param, options, "app")
        yield switch


def login(wire: Wire) -> Any:
    return wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm="corp")


def told(wire: Wire) -> list[str]:
    return [event.type for event in wire.events() if event.type in ("con", "coff")]


def test_a_directory_that_goes_away_and_comes_back_is_told_once(
    wire: Wire, corp: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulkhead, "REST_SECONDS", 0.0)
    wire.ok(login(wire))
    corp.is_away = True
    for number in range(FAILURES + 2):
        refused(login(wire), 503, "temporarily_unavailable")
        assert told(wire) == (["coff"] if number >= FAILURES - 1 else []), number
    corp.is_away = False
    for _ in range(2):
        wire.ok(login(wire))
    assert told(wire) == ["coff", "con"]
    for event in (event for event in wire.events() if event.type in ("con", "coff")):
        assert (event.realm, event.user_id, event.user_name) == ("corp", None, None)
        assert "127.0.0.1" in str(event.details["directory"]) and "of-the-service" not in str(event)


def test_one_that_comes_and_goes_is_told_once_a_minute(
    wire: Wire, corp: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulkhead, "REST_SECONDS", 0.0)
    monkeypatch.setattr(connectivity, "ONCE_IN_SECONDS", 3600.0)
    for _ in range(2):
        corp.is_away = True
        for _ in range(FAILURES):
            refused(login(wire), 503, "temporarily_unavailable")
        corp.is_away = False
        wire.ok(login(wire))
    assert told(wire) == ["coff", "con"]


def test_a_single_silence_is_no_news(wire: Wire, corp: Switch) -> None:
    corp.is_away = True
    refused(login(wire), 503, "temporarily_unavailable")
    corp.is_away = False
    wire.ok(login(wire))
    assert told(wire) == []
