"""Fixtures: a server on each database, its application, and the cast that lives on it."""

import logging
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import freezegun
import pytest
import structlog
import trustme
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from app.context import Context, Server, open_server
from tests import databases
from tests.databases import Templates
from tests.making import Cast
from tests.wire import Wire

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


# Freezing looks at every attribute of every module; auth0-python's come into being by being looked at, and would
# then be built around the frozen classes.
# pytest would measure a frozen set-up.
freezegun.configure(extend_ignore_list=["auth0", "_pytest.timing", "_pytest.runner"])

# cryptography keeps the `datetime` that it meets when it first signs a certificate, for ever, a frozen one too.
trustme.CA()

# The access log would bury what a failing test has to say.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    def clusters() -> Generator[databases.Cluster, None, None]:
        with databases.new_cluster() as cluster:
            yield cluster

    generator = clusters()
    found = Templates(tmp_path_factory.mktemp("templates"), generator)
    yield found
    found.close()
    generator.close()


@pytest.fixture(params=databases.KINDS)
def database(request: pytest.FixtureRequest) -> str:
    """Every test of behaviour runs on both."""
    return str(request.param)


@pytest.fixture
def server(
    request: pytest.FixtureRequest, database: str, templates: Templates, tmp_path: Path
) -> Iterator[Server]:
    instance, has_cast = tmp_path / "instance", "cast" in request.fixturenames
    with templates.borrowed(database, instance, has_cast=has_cast) as url:
        opened = open_server(databases.test_settings(instance, url))
        yield opened
        opened.db.dispose()


@pytest.fixture
def wire(server: Server) -> Wire:
    """An HTTP client of the application."""
    return Wire(server)


@pytest.fixture
def ctx(server: Server) -> Context:
    return Context(server, NOON, ip="192.0.2.1", request_id="test")


@pytest.fixture
def clock() -> Iterator[FrozenDateTimeFactory]:
    """Time stands still at noon until the test moves it."""
    with freeze_time(NOON) as frozen:
        assert isinstance(frozen, FrozenDateTimeFactory)
        yield frozen


@pytest.fixture(autouse=True)
def clock_first(request: pytest.FixtureRequest) -> None:
    """Where the clock stands still it does so before anything is made: nobody is born after noon."""
    if "clock" in request.fixturenames:
        request.getfixturevalue("clock")


@pytest.fixture
def cast(server: Server, database: str, templates: Templates) -> Cast:
    """Alice (enrolled), Bob (not), Carol (Alice's address in another realm), and Mallory's client."""
    return templates.cast(database)
