"""Directories outside: a real slapd, an Active Directory by script, a login service, and realms that ask them."""

from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from app import accounts
from app.context import Context, Server
from app.store import realms
from app.store.realms import Realm
from tests import making
from tests.directories import slapd as slapds
from tests.directories.fakes import ActiveDirectory, LoginService, Member, listening
from tests.directories.slapd import PASSWORD, Certificate, Slapd

# For what does not depend on the database.
once = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Slapd]:
    """Tests that change entries put them back."""
    certificate = Certificate.of(authority.issue_cert("127.0.0.1", "localhost"))
    with slapds.running(tmp_path_factory.mktemp("slapd"), certificate, authority) as found:
        found.fill()
        yield found


@pytest.fixture
def active_directory() -> Iterator[tuple[ActiveDirectory, dict[str, object]]]:
    """The directory and the options that reach it."""
    found = ActiveDirectory(Member("alice", PASSWORD), Member("bob", PASSWORD))
    with listening(found.serve) as listener:
        yield found, found.options(listener.port)


@pytest.fixture
def service() -> Iterator[LoginService]:
    people = {
        name: (PASSWORD, {"user_id": f"c-{name}", "email": f"{name}@corp.example", "username": name})
        for name in ("alice", "bob")
    }
    found = LoginService({**people, **{f"{name}@corp.example": entry for name, entry in people.items()}})
    yield found
    found.close()


def make_directory_realm(
    server: Server, name: str, kind: str, options: dict[str, Any], *client_ids: str, mode: str | None = None
) -> Realm:
    ctx = Context(server, making.now(), ip="")
    with server.db.write() as conn:
        realm = accounts.create_realm(
            conn, ctx, accounts.new_realm(name, ctx.now, kind=kind, options=options), clients=client_ids
        )
        if mode is not None:
            accounts.set_mfa_mode(conn, ctx, realm, mode)
        found = realms.find_realm(conn, realm.id)
    assert found is not None
    return found
