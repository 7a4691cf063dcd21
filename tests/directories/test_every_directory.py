"""What holds for every directory in the list."""

import pytest

from app.context import Context
from app.directories import DIRECTORIES
from tests.making import PASSWORD, Cast

every_directory = pytest.mark.parametrize("kind", DIRECTORIES)


@every_directory
def test_it_knows_its_people_and_their_passwords(ctx: Context, cast: Cast, kind: str) -> None:
    directory = DIRECTORIES[kind]
    with ctx.db.read() as conn:
        bob = directory.look_up(conn, cast.staff, "BOB@example.com")
        assert directory.look_up(conn, cast.guests, "bob@example.com") is None
        assert directory.look_up(conn, cast.staff, "\x00") is None
    assert bob is not None and bob.id == cast.bob.id
    assert directory.authenticate(ctx, bob, PASSWORD).is_right
    assert not directory.authenticate(ctx, bob, "wrong").is_right


@every_directory
@pytest.mark.parametrize("password", ["", "\x00", "x" * 300, "nobody"])
def test_nobody_is_never_right(ctx: Context, cast: Cast, kind: str, password: str) -> None:
    assert not DIRECTORIES[kind].authenticate(ctx, None, password).is_right
