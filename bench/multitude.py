"""A million people, logins and refresh tokens for the lists alone: a thousand of each, multiplied by the database.

Growth writes everybody as the product would, with passwords and secrets, and takes minutes; an administrator's page
needs rows only.
"""

from collections.abc import Iterator

from sqlalchemy import Engine, Table, create_engine, text

from app.context import Server
from app.store.events import events
from app.store.refresh_families import refresh_families
from app.store.users import identifiers, users
from bench.crowd import add_families, add_people
from bench.figures import Figures
from bench.lists import add_admin, add_events, far_behind, time_lists
from bench.seeding import API, lay
from bench.servers import fresh, opened, serve

FIRST = 1_000
ROWS = 1_000_000
# What must differ in each copy; all else is the same.
ANOTHER: dict[Table, dict[str, str]] = {
    users: {"id": "id || n", "email": "n || email"},
    identifiers: {"key": "n || key", "skeleton": "n || skeleton", "user_id": "user_id || n"},
    events: {"user_id": "user_id || n"},
    refresh_families: {"handle_digest": "handle_digest || n", "user_id": "user_id || n"},
}


def count(db: str, found: Figures) -> Iterator[str]:
    """Fill in the figures; yields what is done."""
    with fresh(db) as settings:
        with opened(settings) as server:
            ground = lay(server)
            emails = (f"person{number}@example.com" for number in range(FIRST))
            ids = add_people(server, ground.realm, emails, ground.now)
            add_events(server, ids, ground.now)
            list(add_families(server, ground.realm, ground.client, API, ids, ground.now))
            multiply(server)
            secret, far = add_admin(server, ground.now), far_behind(server)
        yield "a million rows of each seeded"
        belay = serve(settings)
        try:
            figures = time_lists(belay.port, settings.issuer, secret, ids[FIRST // 2], far)
        finally:
            belay.stop()
        found.growth[f"1e{len(str(ROWS)) - 1}"] = figures
    yield "lists measured"


def multiply(server: Server) -> None:
    """On a connection of its own: the product's gives up on a statement that takes long."""
    engine = create_engine(server.settings.database_url, isolation_level="AUTOCOMMIT")
    try:
        for table, another in ANOTHER.items():
            _multiply(engine, table, another)
        with engine.connect() as conn:
            conn.execute(text("ANALYZE" if server.db.is_sqlite else "VACUUM ANALYZE"))
    finally:
        engine.dispose()


def _multiply(engine: Engine, table: Table, another: dict[str, str]) -> None:
    names = [column.name for column in table.columns if not (table is events and column.name == "id")]
    selected = ", ".join(another.get(name, name) for name in names)
    series = f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {ROWS // FIRST - 1})"
    with engine.connect() as conn:
        conn.execute(
            text(
                f"{series} INSERT INTO {table.name} ({', '.join(names)}) "
                f"SELECT {selected} FROM copies CROSS JOIN (SELECT * FROM {table.name} LIMIT {FIRST}) AS first"
            )
        )
