"""The schema moves up and down as a whole, and is what the code's tables say, on both databases."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from app import accounts, upkeep
from app.context import Server, open_server
from app.guards.second_factor import person_key
from app.identifiers import skeleton
from app.store import buckets, schema
from app.store.apis import find_api
from app.store.base import metadata
from app.store.database import Database
from tests import databases, making
from tests.databases import Templates
from tests.making import now


@pytest.fixture
def empty(database: str, templates: Templates, tmp_path: Path) -> Iterator[Server]:
    """A server on a database without any table."""
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        name = f"e_{uuid4().hex}"
        templates.cluster.execute(f"CREATE DATABASE {name}")
        url = templates.cluster.url(name)
    server = open_server(databases.test_settings(tmp_path, url))
    yield server
    server.db.dispose()
    if database == "postgresql":
        templates.cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def tables(db: Database) -> set[str]:
    with db.read() as conn:
        return set(inspect(conn).get_table_names()) - {"sqlite_sequence"}


def revisions() -> list[str]:
    """Oldest first."""
    script = ScriptDirectory(str(schema.MIGRATIONS))
    return [revision.revision for revision in script.walk_revisions()][::-1]


def differences(db: Database) -> list[object]:
    with db.read() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))


def test_up_gives_exactly_the_tables_of_the_code(empty: Server) -> None:
    schema.upgrade(empty.db)
    assert tables(empty.db) == {*metadata.tables, "alembic_version"}
    assert differences(empty.db) == []


def test_up_down_and_up_again(empty: Server) -> None:
    schema.upgrade(empty.db)
    schema.downgrade(empty.db, "base")
    assert tables(empty.db) == {"alembic_version"}
    schema.upgrade(empty.db)
    assert differences(empty.db) == []
    accounts.install(empty, now())
    making.make_cast(empty)


def test_each_step_can_be_taken_back(empty: Server) -> None:
    before = {"alembic_version"}
    for revision in revisions():
        schema.upgrade(empty.db, revision)
        after = tables(empty.db)
        schema.downgrade(empty.db, "-1")
        assert tables(empty.db) == before
        schema.upgrade(empty.db, revision)
        before = after
    with empty.db.read() as conn:
        assert schema.is_current(conn)


def test_there_is_one_line_of_revisions() -> None:
    script = ScriptDirectory(str(schema.MIGRATIONS))
    assert len(script.get_heads()) == 1 and len(script.get_bases()) == 1
    assert schema.head() == script.get_current_head()
    assert revisions() == sorted(revisions())


def test_an_upgrade_of_a_current_schema_changes_nothing(server: Server) -> None:
    with server.db.read() as conn:
        before = conn.execute(text("SELECT count(*) FROM signing_keys")).scalar_one()
    schema.upgrade(server.db)
    accounts.install(server, now() + timedelta(days=1))
    with server.db.read() as conn:
        assert conn.execute(text("SELECT count(*) FROM signing_keys")).scalar_one() == before
    assert differences(server.db) == []


def test_a_step_that_fails_leaves_the_schema_as_it_was(
    empty: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration of this test's own, in a copy of the folder."""
    copy = tmp_path / "migrations"
    (copy / "versions").mkdir(parents=True)
    for file in (*schema.MIGRATIONS.glob("*.py"), *schema.MIGRATIONS.glob("versions/*.py")):
        (copy / file.relative_to(schema.MIGRATIONS)).write_text(file.read_text())
    newest = revisions()[-1]
    (copy / "versions" / "9999_fails.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = '9999', {newest!r}\n"
        "def upgrade():\n"
        "    op.create_table('half', sa.Column('id', sa.Integer, primary_key=True))\n"
        "    raise RuntimeError('in the middle')\n"
    )
    schema.upgrade(empty.db)
    monkeypatch.setattr(schema, "MIGRATIONS", copy)
    with pytest.raises(RuntimeError, match="in the middle"):
        schema.upgrade(empty.db)
    assert "half" not in tables(empty.db)
    with empty.db.read() as conn:
        assert schema.current(conn) == newest


BEFORE_GUESSES_MOVED = "0019"
KEPT = ("users", "identifiers", "authenticators", "realms", "realm_names", "realm_clients", "clients", "apis")


def counted(server: Server) -> dict[str, int]:
    with server.db.read() as conn:
        return {name: conn.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in KEPT}


def test_nothing_is_lost_on_the_way_down_and_up(empty: Server) -> None:
    """SQLite changes a table by copying it; what hangs on the old one must not go with it."""
    schema.upgrade(empty.db)
    accounts.install(empty, now())
    making.make_cast(empty)
    before = counted(empty)
    assert before["users"] == 3
    for revision in reversed(revisions()[:-1]):
        schema.downgrade(empty.db, revision)
        assert counted(empty) == before, f"down to {revision}"
    for revision in revisions()[1:]:
        schema.upgrade(empty.db, revision)
        assert counted(empty) == before, f"up to {revision}"


def test_those_who_are_there_get_their_skeletons(empty: Server) -> None:
    """More of them than one turn of the migration takes, and two who look alike, who stay."""
    schema.upgrade(empty.db)
    accounts.install(empty, now())
    cast = making.make_cast(empty)
    schema.downgrade(empty.db, "0003")
    there = {"realm": cast.staff.id, "user": cast.bob.id}
    rows = [there | {"key": key} for key in ("\u0430lice", *(f"bob{number}" for number in range(2500)))]
    with empty.db.write() as conn:
        conn.execute(
            text("INSERT INTO identifiers (realm_id, key, user_id) VALUES (:realm, :key, :user)"), rows
        )
    schema.upgrade(empty.db)
    with empty.db.read() as conn:
        found = conn.execute(text("SELECT key, skeleton FROM identifiers")).all()
    assert len(found) > 2500 and all(row.skeleton == skeleton(row.key) for row in found)
    assert {row.key for row in found if row.skeleton == "alice"} == {"alice", "\u0430lice"}


def test_what_an_api_said_about_subjects_holds_now(empty: Server) -> None:
    schema.upgrade(empty.db)
    accounts.install(empty, now())
    making.make_cast(empty)
    schema.downgrade(empty.db, "0007")
    written = {"subject_type_authorization": {"user": {"policy": "deny_all"}, "client": "odd"}, "kept": 1}
    with empty.db.write() as conn:
        conn.execute(
            text("UPDATE apis SET settings = :settings WHERE identifier = :api"),
            {"settings": json.dumps(written), "api": making.API},
        )
    schema.upgrade(empty.db)
    with empty.db.read() as conn:
        api = find_api(conn, making.API)
    assert api is not None and api.settings == {"kept": 1}
    assert (api.user_policy, api.client_policy) == ("deny_all", "require_client_grant")


def test_guesses_that_were_counted_stay_counted(empty: Server) -> None:
    schema.upgrade(empty.db)
    accounts.install(empty, now())
    alice = making.make_cast(empty).alice.id
    schema.downgrade(empty.db, BEFORE_GUESSES_MOVED)
    with empty.db.write() as conn:
        conn.execute(
            text("INSERT INTO factor_guesses (user_id, level, updated_seconds) VALUES (:user, 10, :at)"),
            {"user": alice, "at": now().timestamp()},
        )
    for _ in range(2):
        schema.upgrade(empty.db)
        upkeep.prune_all(empty, now() + timedelta(minutes=59))
        with empty.db.write() as conn:
            assert buckets.spend(conn, person_key(alice), size=10, refill_seconds=360, now=now()) is not None
        schema.downgrade(empty.db, BEFORE_GUESSES_MOVED)
        with empty.db.read() as conn:
            assert conn.execute(text("SELECT level FROM factor_guesses")).scalars().all() == [10.0]
