"""What an import takes, what it rejects, and how it goes on after an interruption."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from app import upkeep
from app.accounts import importing, jobs
from app.accounts.import_schema import masked
from app.accounts.import_stream import CHUNK, Records, Unreadable
from app.accounts.importing import Batch, Import, JobLost
from app.context import Context, Server
from app.errors import NotPossible, TemporarilyUnavailable
from app.store import authenticators, events, imports, users
from app.store import jobs as job_rows
from app.store.jobs import Job
from app.store.realms import Realm
from app.store.users import User, identifiers
from tests import making
from tests.evidence import report
from tests.making import PASSWORD, Cast
from tests.records import TOTP, argon2_hash, bcrypt_hash, md5_hash, people, record
from tests.wire import Wire, code_of, refused

# --- reading -------------------------------------------------------------------------------------------------------

DOCUMENTS: list[Any] = [{"email": f"\u00e9{n}@x.org", "m": {"a": [1, None, "]},{\n"]}} for n in range(9)] + [
    12345,
    True,
]


class Drip:
    """A stream that gives only some bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self.stream, self.size = BytesIO(content), size

    def read(self, size: int, /) -> bytes:
        return self.stream.read(min(size, self.size))


@pytest.mark.parametrize("size_", [1, 2, 7, CHUNK])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_whatever_its_chunks(size_: int, indent: int | None) -> None:
    content = b"\xef\xbb\xbf" + json.dumps(DOCUMENTS, ensure_ascii=False, indent=indent).encode()
    assert [read.value for read in Records(Drip(content, size_))] == DOCUMENTS


@pytest.mark.parametrize("size_", [1, 2, 7, CHUNK])
def test_lines_are_read_whatever_their_chunks(size_: int) -> None:
    lines = [json.dumps(document, ensure_ascii=False).encode() for document in DOCUMENTS]
    assert [read.value for read in Records(Drip(b"\r\n\n".join(lines), size_))] == DOCUMENTS


@pytest.mark.parametrize("content", [b"[1,2", b"[1 2]", b"[1,]", b"[1] 2", b"[{]", b"[" * 5000, b"["])
def test_what_stops_being_an_array_ends_reading(content: bytes) -> None:
    with pytest.raises(Unreadable):
        list(Records(BytesIO(content)))


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b" [ ] \n"])
def test_an_empty_file_has_no_records(content: bytes) -> None:
    assert list(Records(BytesIO(content))) == []


def test_a_bad_line_costs_only_itself() -> None:
    bad = [
        b'{"a":1,"a":2}',
        b'{"a":"\xff"}',
        b"nope",
        b'{"a":NaN}',
        b'{"a":1' + b"0" * 9999 + b"}",
        b'{"a":"\\u0000"}',
    ]
    bad += [b'{"a":"' + b"y" * 3_000_000 + b'"}', b'{"a":' + b"[" * 50 + b"]" * 50 + b"}", b'{"a":1e999}']
    for line in bad:
        found = list(Records(BytesIO(line + b'\n{"fine":1}\n')))
        assert found[0].problem and (found[1].value, found[1].problem) == ({"fine": 1}, None), line[:40]


# --- taking --------------------------------------------------------------------------------------------------------


def begin(server: Server, realm: Realm, *, upsert: bool = False, is_dry: bool = False) -> Import:
    ctx, runner = Context(server, making.now(), ip=""), jobs.new_runner()
    with server.db.write() as conn:
        job = jobs.begin_own_import(conn, ctx, realm, "file", {"upsert": upsert}, runner)
    return Import(ctx, realm, job, runner, is_dry)


def as_file(records: Iterable[Any]) -> Records:
    return Records(BytesIO(json.dumps(list(records)).encode()))


def take(server: Server, realm: Realm, *records: Any, **options: Any) -> tuple[Job, list[dict[str, Any]]]:
    done = list(importing.take(begin(server, realm, **options), as_file(records)))
    return done[-1].job, [rejected for batch in done for rejected in batch.rejected]


def codes(rejected: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(error["code"], error.get("path", "")) for found in rejected for error in found["errors"]]


def find(server: Server, realm: Realm, email: str) -> User:
    with server.db.read() as conn:
        user = users.find_user_by_key(conn, realm.id, email)
    assert user is not None
    return user


@pytest.mark.parametrize(
    "members",
    [
        {"custom_password_hash": argon2_hash()},
        {"custom_password_hash": md5_hash()},
        {"password_hash": bcrypt_hash()},
    ],
    ids=["argon2", "md5", "bcrypt"],
)
def test_an_imported_person_logs_in(server: Server, cast: Cast, wire: Wire, members: dict[str, Any]) -> None:
    job, rejected = take(server, cast.staff, record("Dora@Example.com", username="dora", **members))
    assert (job.inserted, rejected) == (1, [])
    refused(wire.password("dora@example.com", "wrong"), 403, "invalid_grant")
    wire.ok(wire.password("dora", PASSWORD))
    wire.ok(wire.password("DORA@example.com", PASSWORD))
    dora = find(server, cast.staff, "dora@example.com")
    assert (dora.name, dora.nickname) == ("dora@example.com", "dora")
    assert str(dora.password_hash).startswith("$argon2id$")


def test_an_imported_authenticator_app_is_asked_for_and_its_code_passes(
    server: Server, cast: Cast, wire: Wire
) -> None:
    factors = [{"totp": {"secret": TOTP}}]
    take(server, cast.staff, record("dora@example.com", custom_password_hash=md5_hash(), mfa_factors=factors))
    token = wire.mfa_token("dora@example.com")
    refused(wire.otp(token, "000000"), 403, "invalid_grant")
    wire.ok(wire.otp(token, code_of(TOTP)))


REJECTED: list[tuple[Any, str, str]] = [
    ("text", "INVALID_TYPE", ""),
    ({}, "OBJECT_REQUIRED", "email"),
    (record("nobody"), "FORMAT", "email"),
    (record("a b@example.com"), "FORMAT", "email"),
    (record("x" * 330 + "@example.com"), "MAX_LENGTH", "email"),
    (record("x@example.com", name=None), "INVALID_TYPE", "name"),
    (record("x@example.com", blocked="yes"), "INVALID_TYPE", "blocked"),
    (record("x@example.com", plan=1), "NOT_PASSED", "plan"),
    (record("x@example.com", username=""), "MIN_LENGTH", "username"),
    (record("x@example.com", user_id="a b"), "PATTERN", "user_id"),
    (record("x@example.com", phone_number="123"), "FORMAT", "phone_number"),
    (record("x@example.com", user_metadata=[]), "INVALID_TYPE", "user_metadata"),
    (record("x@example.com", user_metadata={"a": "x" * 20_000}), "MAX_LENGTH", "user_metadata"),
    (record("x@example.com", app_metadata={"user_id": 1}), "NOT_PASSED", "app_metadata"),
    (record("x@example.com", user_metadata={"a": "\0"}), "FORMAT", ""),
    (record("x@example.com", user_metadata={"a": "\ud800"}), "FORMAT", ""),
    (record("x@example.com", password_hash="$1$abc"), "PATTERN", "password_hash"),
    (record("x@example.com", custom_password_hash={"algorithm": "rot13"}), "FORMAT", "custom_password_hash"),
    (
        record("x@example.com", password_hash=bcrypt_hash(), custom_password_hash=md5_hash()),
        "NOT_PASSED",
        "password_hash",
    ),
    (record("x@example.com", mfa_factors=[]), "ARRAY_LENGTH_SHORT", "mfa_factors"),
    (
        record("x@example.com", mfa_factors=[{"totp": {"secret": TOTP}}] * 11),
        "ARRAY_LENGTH_LONG",
        "mfa_factors",
    ),
    (record("x@example.com", mfa_factors=[{}]), "ANY_OF_MISSING", "mfa_factors[0]"),
    (
        record("x@example.com", mfa_factors=[{"totp": {"secret": "1"}}]),
        "PATTERN",
        "mfa_factors[0].totp.secret",
    ),
    (
        record("x@example.com", mfa_factors=[{"totp": {"secret": "A"}}]),
        "MFA_FACTORS_FAILED",
        "mfa_factors[0].totp.secret",
    ),
    (
        record("x@example.com", mfa_factors=[{"totp": {"secret": TOTP}}, {"phone": {"value": "+4915"}}]),
        "MFA_FACTORS_FAILED",
        "mfa_factors[1].phone.value",
    ),
    (
        record("x@example.com", mfa_factors=[{"totp": {"secret": TOTP, "digits": 7}}]),
        "ENUM_MISMATCH",
        "mfa_factors[0].totp.digits",
    ),
    (record("bob@example.com"), "CONFLICT_EMAIL", "email"),
    (record("alice"), "FORMAT", "email"),
    (record("x@example.com", username="Alice"), "CONFLICT_USERNAME", "username"),
    (record("x@example.com", phone_number="+491701234567"), "CONFLICT", "phone_number"),
]


def test_a_rejected_record_says_why_and_leaves_the_others_alone(server: Server, cast: Cast) -> None:
    """All of them in one batch."""
    fine = [record(f"fine{number}@example.com") for number in range(len(REJECTED))]
    job, rejected = take(
        server, cast.staff, *(r for pair in zip(REJECTED, fine, strict=True) for r in (pair[0][0], pair[1]))
    )
    assert codes(rejected) == [(code, path) for _, code, path in REJECTED]
    assert (job.inserted, job.failed, job.position) == (len(fine), len(REJECTED), 2 * len(fine))
    for person in fine:
        find(server, cast.staff, person["email"])


def test_no_rejected_record_shows_a_hash_or_a_secret() -> None:
    secret, custom = "s3cr3t-s3cr3t-s3cr3t", md5_hash() | {"salt": {"value": "s3cr3t-s3cr3t-s3cr3t"}}
    custom["hash"] |= {"value": secret, "key": {"value": secret, "encoding": "hex"}}
    given = record(
        "x@example.com",
        password_hash=secret,
        custom_password_hash=custom,
        mfa_factors=[{"totp": {"secret": secret}}],
    )
    given |= {"password": secret, "hashes": [secret], "nickname": {"password": secret}}
    shown = masked(given)
    assert secret not in json.dumps(shown)
    assert shown["email"] == "x@example.com" and shown["custom_password_hash"]["algorithm"] == "md5"
    assert masked(secret) == {}


def test_identifiers_are_unique_in_the_file_too(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one batch and across batches, with and without upsert: nobody is made and then changed."""
    records = [
        record("dora@example.com", username="dora", user_id="d1"),
        record("DORA@example.com"),
        record("e@example.com", username="dora@example.com"),
        record("f@example.com", username="Dora"),
        record("g@example.com", user_id="d1"),
    ]
    expected = [("DUPLICATED_USER", name) for name in ("email", "username", "username", "user_id")]
    for upsert, batch in ((False, 200), (True, 200), (False, 1), (True, 1)):
        monkeypatch.setattr(importing, "BATCH", batch)
        monkeypatch.setattr(importing, "UPSERT_BATCH", batch)
        realm = making.make_realm(server, f"realm-{upsert}-{batch}")
        given = [
            r | ({"user_id": f"{r['user_id']}-{upsert}-{batch}"} if "user_id" in r else {}) for r in records
        ]
        for is_dry in (True, False):
            job, rejected = take(server, realm, *given, upsert=upsert, is_dry=is_dry)
            assert (codes(rejected), job.inserted, job.updated) == (expected, 1, 0)


def test_another_realm_is_another_world(server: Server, cast: Cast) -> None:
    job, rejected = take(server, cast.guests, record("bob@example.com", username="alice"))
    assert (job.inserted, rejected) == (1, [])
    job, rejected = take(
        server, cast.staff, record("n@example.com", user_id=cast.carol.id.removeprefix("auth0|"))
    )
    assert codes(rejected) == [("CONFLICT", "user_id")]


def test_a_dry_run_writes_nothing(server: Server, cast: Cast) -> None:
    running = begin(server, cast.staff, is_dry=True)
    before = counted(server)
    done = list(importing.take(running, as_file([record("n@example.com"), record("bob@example.com"), {}])))
    assert (done[-1].job.inserted, done[-1].job.failed) == (1, 2)
    assert counted(server) == before


def counted(server: Server) -> dict[str, int]:
    tables = (users.users, identifiers, authenticators.authenticators, events.events, job_rows.job_parts)
    with server.db.read() as conn:
        return {t.name: conn.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}


# --- upsert --------------------------------------------------------------------------------------------------------


def test_upsert_finds_by_address_alone_and_replaces_metadata_whole(
    server: Server, cast: Cast, wire: Wire
) -> None:
    with server.db.write() as conn:
        users.update_user(conn, cast.bob.id, user_metadata={"old": 1}, app_metadata={"kept": 1}, name="Bob")
    changed = record(
        "BOB@example.com", user_metadata={"new": 1}, nickname="b", username="bobby", user_id="other"
    )
    job, rejected = take(server, cast.staff, changed, record("n@example.com", username="alice"), upsert=True)
    assert (job.updated, codes(rejected)) == (1, [("CONFLICT_USERNAME", "username")])
    bob = making.reload_user(server, cast.bob)
    assert (bob.user_metadata, bob.app_metadata, bob.nickname, bob.name) == (
        {"new": 1},
        {"kept": 1},
        "b",
        "Bob",
    )
    assert bob.username is None
    wire.ok(wire.password("bob@example.com"))


def test_a_foreign_hash_is_replaced_until_the_first_login(server: Server, cast: Cast, wire: Wire) -> None:
    for password in ("the first password", "the second password"):
        take(
            server,
            cast.staff,
            record("dora@example.com", custom_password_hash=md5_hash(password)),
            upsert=True,
        )
    refused(wire.password("dora@example.com", "the first password"), 403, "invalid_grant")
    wire.ok(wire.password("dora@example.com", "the second password"))
    job, _ = take(
        server, cast.staff, record("dora@example.com", custom_password_hash=md5_hash("third")), upsert=True
    )
    assert job.updated == 1
    wire.ok(wire.password("dora@example.com", "the second password"))
    take(
        server,
        cast.staff,
        record("bob@example.com", custom_password_hash=md5_hash("taken over")),
        upsert=True,
    )
    refused(wire.password("bob@example.com", "taken over"), 403, "invalid_grant")


def test_upsert_adds_a_factor_once(server: Server, cast: Cast, wire: Wire) -> None:
    for _ in range(2):
        factors = [{"totp": {"secret": TOTP}}]
        take(server, cast.staff, record("bob@example.com", mfa_factors=factors), upsert=True)
    with server.db.read() as conn:
        assert len(authenticators.list_authenticators(conn, cast.bob.id)) == 1
    wire.ok(wire.otp(wire.mfa_token("bob@example.com"), code_of(TOTP)))


def test_a_block_by_upsert_ends_refresh_tokens_for_good(server: Server, cast: Cast, wire: Wire) -> None:
    tokens = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    take(server, cast.staff, record("bob@example.com", blocked=True), upsert=True)
    assert making.reload_user(server, cast.bob).is_blocked
    take(server, cast.staff, record("bob@example.com", blocked=False), upsert=True)
    assert wire.refresh(tokens["refresh_token"]).status_code == 403
    wire.ok(wire.password("bob@example.com"))


# --- going on ------------------------------------------------------------------------------------------------------


def test_each_record_leaves_its_event(server: Server, cast: Cast, wire: Wire) -> None:
    take(
        server, cast.staff, record("dora@example.com", password_hash=bcrypt_hash()), record("bob@example.com")
    )
    take(server, cast.staff, record("dora@example.com", name="D."), upsert=True)
    told = [(e.type, e.reason, e.user_name) for e in wire.events() if e.type in ("sui", "fui")]
    assert told == [
        ("fui", "conflict_email", "bob@example.com"),
        ("sui", "inserted", "dora@example.com"),
        ("sui", "updated", "dora@example.com"),
    ]
    assert {e.realm for e in wire.events() if e.type == "sapi"} == {"staff"}


def test_another_process_goes_on_behind_the_last_batch(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 5)
    first = begin(server, cast.staff)
    records = [*people(17), record("bob@example.com")]
    batches = importing.take(first, as_file(records))
    assert next(batches).job.position == 5
    runner = jobs.new_runner()
    with server.db.write() as conn:
        assert job_rows.take_over(conn, first.job.id, runner, making.now())
        job = job_rows.find_job(conn, first.job.id)
    assert job is not None and job.position == 5
    before = counted(server)
    with pytest.raises(JobLost):
        next(batches)
    assert counted(server) == before, "who has lost the job writes nothing"
    second = replace(first, job=job, runner=runner)
    done: list[Batch] = list(importing.take(second, as_file(records)))
    assert (done[-1].job.position, done[-1].job.inserted, done[-1].job.failed) == (18, 17, 1)
    with pytest.raises(NotPossible) as refusal:
        list(importing.take(second, as_file([record("x@example.com"), *records])))
    assert "not the records" in refusal.value.description


def test_somebody_who_signs_up_in_between_costs_one_record(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the write, every time."""
    monkeypatch.setattr(imports, "find_holders", lambda *_, **__: {})
    job, rejected = take(
        server, cast.staff, record("n@example.com"), record("bob@example.com"), record("m@example.com")
    )
    assert (job.inserted, codes(rejected)) == (2, [("CONFLICT", "")])


def test_a_commit_whose_answer_was_lost_counts_once(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Batch] = []
    real = importing._try

    def forgetful(*arguments: Any) -> Batch:
        done = real(*arguments)
        if not lost:
            lost.append(done)
            raise TemporarilyUnavailable(reason="database_unavailable")
        return done

    monkeypatch.setattr(importing, "_try", forgetful)
    job, rejected = take(server, cast.staff, *people(3))
    assert (job.inserted, rejected) == (3, [])


def test_an_import_holds_the_lock_shortly(server: Server, cast: Cast) -> None:
    """Counted in statements: the lock lasts as long as some for a whole batch, whatever its size."""
    counts: list[int] = []

    @event.listens_for(server.db.engine, "before_cursor_execute")
    def on_statement(conn, cursor, statement, parameters, context, many):  # type: ignore[no-untyped-def]
        counts.append(1)

    running = begin(server, cast.staff)
    counts.clear()
    list(importing.take(running, as_file(people(importing.BATCH))))
    assert len(counts) <= 12
    report(
        "import: statements of a batch", tried=f"{importing.BATCH} records", held=f"{len(counts)} statements"
    )


def test_a_job_goes_with_its_parts_after_a_day(server: Server, cast: Cast) -> None:
    job, _ = take(server, cast.staff, {}, {})
    later = job.kept_until + timedelta(seconds=1)
    upkeep.prune_all(server, job.kept_until - timedelta(seconds=1))
    with server.db.read() as conn:
        assert job_rows.has_parts(conn, job.id)
    upkeep.prune_all(server, later)
    with server.db.read() as conn:
        assert job_rows.find_job(conn, job.id) is None
        assert conn.execute(text("SELECT count(*) FROM job_parts")).scalar_one() == 0
