"""What one login costs, counted: statements, commits, signatures, hashes. None of it depends on the machine."""

from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from app.passwords import Passwords
from app.tokens import signing
from tests.making import Cast
from tests.wire import FULL, Wire, code_of

WRITES = ("INSERT", "UPDATE", "DELETE")


class Tally:
    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.is_open = 0

    def take(self) -> dict[str, int]:
        found, self.count = dict(self.count), Counter()
        return found


@pytest.fixture
def tally(wire: Wire, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tally]:
    """Counts at the edges of the libraries; nothing is replaced."""
    tally, engine = Tally(), wire.server.db.engine

    @event.listens_for(engine, "before_cursor_execute")
    def on_statement(conn, cursor, statement, parameters, context, many):  # type: ignore[no-untyped-def]
        if not statement.startswith("BEGIN"):
            tally.count["write" if statement.startswith(WRITES) else "read"] += 1

    @event.listens_for(engine, "commit")
    def on_commit(conn) -> None:  # type: ignore[no-untyped-def]
        tally.count["commit"] += 1

    @event.listens_for(engine, "checkout")
    def on_checkout(*_: object) -> None:
        tally.is_open += 1

    @event.listens_for(engine, "checkin")
    def on_checkin(*_: object) -> None:
        tally.is_open -= 1

    sign, verify = signing.sign, Passwords.verify

    def counted_sign(*args, **kwargs):  # type: ignore[no-untyped-def]
        tally.count["signature"] += 1
        assert tally.is_open == 0, "a connection is held while signing"
        return sign(*args, **kwargs)

    def counted_verify(*args, **kwargs):  # type: ignore[no-untyped-def]
        tally.count["hash"] += 1
        assert tally.is_open == 0, "a connection is held while hashing"
        return verify(*args, **kwargs)

    monkeypatch.setattr(signing, "sign", counted_sign)
    monkeypatch.setattr(Passwords, "verify", counted_verify)
    # Once before: configuration is read on first use and then kept.
    wire.ok(wire.refresh(wire.ok(wire.password("bob@example.com", **FULL))["refresh_token"]))
    tally.take()
    yield tally
    tally.take()


def test_a_password_login(wire: Wire, tally: Tally) -> None:
    wire.ok(wire.password("bob@example.com", **FULL))
    spent = tally.take()
    assert (spent["hash"], spent["signature"], spent["commit"]) == (1, 2, 2)
    # Five of the writes are the guards': failures, logins a minute and the address are counted in the first
    # transaction, and all but the second are settled in the last.
    assert (spent["read"], spent["write"]) == (3, 9)


def test_both_steps_of_a_login(wire: Wire, tally: Tally, cast: Cast) -> None:
    token = wire.mfa_token(**FULL)
    first = tally.take()
    assert (first["hash"], first.get("signature", 0), first["commit"]) == (1, 0, 2)
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
    second = tally.take()
    assert (second.get("hash", 0), second["signature"], second["commit"]) == (0, 2, 2)
    assert (second["read"], second["write"]) == (4, 10)


def test_a_refresh(wire: Wire, tally: Tally) -> None:
    token = wire.ok(wire.password("bob@example.com", **FULL))["refresh_token"]
    tally.take()
    wire.ok(wire.refresh(token))
    spent = tally.take()
    assert (spent.get("hash", 0), spent["signature"], spent["commit"]) == (0, 2, 1)
    assert (spent["read"], spent["write"]) == (3, 2)


def test_client_credentials(wire: Wire, tally: Tally) -> None:
    refused = wire.token(grant_type="client_credentials", audience="https://api.example.com")
    assert refused.status_code == 403
    spent = tally.take()
    assert spent["commit"] == 1 and spent["write"] == 1 and "signature" not in spent


@pytest.mark.parametrize("name", ["bob@example.com", "nobody@example.com", "a b"])
def test_a_wrong_password_costs_the_same_for_everybody(wire: Wire, tally: Tally, name: str) -> None:
    wire.password(name, "wrong")
    assert tally.take() == {"read": 2, "write": 6, "commit": 2, "hash": 1}
