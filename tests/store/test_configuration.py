"""Configuration is kept in memory, and a change of it holds for the very next request of every process."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, delete, select, update

from app.accounts.policies import mode_only
from app.context import Context, Server, open_server
from app.store import apis, base, clients, configuration, realms, tenant
from app.store.tenant import tenant as tenant_table
from tests.making import API, Cast, make_client, now
from tests.wire import FULL, Wire


@pytest.fixture
def other(server: Server, cast: Cast) -> Iterator[Server]:
    """Another process on the same database."""
    opened = open_server(server.settings)
    yield opened
    opened.db.dispose()


def version(server: Server) -> str | None:
    with server.db.read() as conn:
        found: str | None = conn.execute(select(tenant_table.c.version)).scalar_one()
    return found


CHANGES: dict[str, tuple[Callable[[Connection, Cast], object], int]] = {
    "the client is disabled": (lambda c, cast: clients.update_client(c, cast.app.id, is_enabled=False), 401),
    "the client may not use the grant": (
        lambda c, cast: clients.update_client(c, cast.app.id, grant_types=[]),
        403,
    ),
    "its secret is another": (
        lambda c, cast: clients.update_client(c, cast.app.id, secret_digests=["0" * 64]),
        401,
    ),
    "the client is gone": (lambda c, cast: clients.remove_client(c, cast.app.id), 401),
    "the realm is closed": (lambda c, cast: realms.update_realm(c, cast.staff.id, is_enabled=False), 400),
    "the realm is not for the client": (lambda c, cast: realms.set_clients_of(c, cast.staff.id, []), 400),
    "the realm demands a factor": (
        lambda c, cast: realms.update_realm(c, cast.staff.id, mfa_policy=mode_only("always")),
        403,
    ),
    "another realm is the default": (
        lambda c, cast: tenant.update_tenant(c, default_directory=cast.guests.name),
        403,
    ),
    "the API is gone": (
        lambda c, cast: c.execute(delete(apis.apis).where(apis.apis.c.identifier == API)),
        403,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_elsewhere_holds_for_the_next_request(
    wire: Wire, cast: Cast, other: Server, change: str
) -> None:
    wire.ok(wire.password("bob@example.com", **FULL))
    alter, status = CHANGES[change]
    with other.db.write() as conn:
        alter(conn, cast)
    assert wire.password("bob@example.com", **FULL).status_code == status


def test_what_was_missing_is_found_once_it_is_there(wire: Wire, cast: Cast, other: Server) -> None:
    late = {"client_id": "late", "client_secret": "late-secret"}
    assert wire.password("bob@example.com", **late).status_code == 401
    make_client(other, "late", secret="late-secret", realm_names=(cast.staff.name,))
    wire.ok(wire.password("bob@example.com", **late))


@pytest.mark.parametrize(
    "name", sorted(t.name for t in base.metadata.tables.values() if t.info.get("is_configuration"))
)
def test_every_table_of_configuration_renews_the_version(server: Server, cast: Cast, name: str) -> None:
    table, before = base.metadata.tables[name], version(server)
    column = next(iter(table.c))
    with server.db.write() as conn:
        conn.execute(update(table).where(column == column).values({column: column}))
    assert version(server) not in (None, before)


def test_people_and_logins_do_not_renew_it(wire: Wire, cast: Cast) -> None:
    before = version(wire.server)
    wire.login(cast.alice_totp, **FULL)
    assert version(wire.server) == before


def test_a_change_that_was_rolled_back_changes_nothing(server: Server, cast: Cast) -> None:
    before = version(server)
    with pytest.raises(ZeroDivisionError), server.db.write() as conn:
        clients.update_client(conn, cast.app.id, is_enabled=False)
        raise ZeroDivisionError
    with server.db.write():
        pass
    assert version(server) == before


def test_asking_for_ever_other_names_does_not_fill_the_memory(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "MANY", 10)
    ctx = Context(server, now(), ip="192.0.2.1")
    with server.db.read() as conn:
        for number in range(100):
            ctx.look_up(conn, realms.get_place, f"nowhere-{number}", cast.app.id)
        assert ctx.look_up(conn, realms.get_place, cast.staff.name, cast.app.id).realm == cast.staff
    assert ctx.facts.configuration is not None
    assert len(ctx.facts.configuration._found) <= 10
