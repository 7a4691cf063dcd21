"""A running server for a module of tests, on each database, and the cast that lives on it."""

from collections.abc import Iterator

import pytest

from tests import making
from tests.databases import KINDS, Templates
from tests.live import Live, serving
from tests.making import Cast


@pytest.fixture(scope="module", params=KINDS)
def live(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    with serving(templates, request.param, tmp_path_factory.mktemp("live"), workers=4) as found:
        yield found


@pytest.fixture(scope="module")
def cast(live: Live) -> Cast:
    return making.make_cast(live.server)
