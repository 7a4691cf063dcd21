"""`/jobs`: imports and exports that outlive their request."""

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app.accounts import jobs
from app.accounts.jobs import work_off
from app.context import Server
from app.store import jobs as rows
from app.store import realms, users
from tests import making
from tests.conftest import NOON
from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.records import TOTP, bcrypt_hash, people, record
from tests.wire import Wire, bearer, code_of

SECRET_HASH = bcrypt_hash()


def send(admin: Admin, content: bytes | None, **parts: str) -> TestResponse:
    """Put together by hand: the test client would spool it to a file."""
    body = b"".join(_part(f'name="{name}"', value.encode()) for name, value in parts.items())
    if content is not None:
        body += _part('name="users"; filename="users.json"', content)
    headers = bearer(admin.token) | {"Content-Type": "multipart/form-data; boundary=limit"}
    return admin.wire.client.post("/api/v2/jobs/users-imports", data=body + b"--limit--\r\n", headers=headers)


def _part(disposition: str, content: bytes) -> bytes:
    return f"--limit\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def send_people(admin: Admin, cast: Cast, *records: Any, **parts: str) -> dict[str, Any]:
    answer = send(admin, json.dumps(records).encode(), connection_id=cast.staff.id, **parts)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    return dict(answer.json)


def test_an_import_is_taken_worked_off_and_summed_up(admin: Admin, cast: Cast, wire: Wire) -> None:
    dora = record("dora@example.com", password_hash=SECRET_HASH, mfa_factors=[{"totp": {"secret": TOTP}}])
    job = send_people(
        admin, cast, dora, record("bob@example.com", password_hash=SECRET_HASH), external_id="x1"
    )
    assert job.items() >= {"status": "pending", "type": "users_import", "external_id": "x1"}.items()
    assert job["connection_id"] == cast.staff.id and job["id"].startswith("job_") and len(job["id"]) == 20
    assert admin.get(f"/jobs/{job['id']}")["percentage_done"] == 0
    assert work_off(wire.server) and not work_off(wire.server)
    done = admin.get(f"/jobs/{job['id']}")
    assert (done["status"], done["percentage_done"]) == ("completed", 100)
    assert done["summary"] == {"failed": 1, "updated": 0, "inserted": 1, "total": 2}
    (failed,) = admin.get(f"/jobs/{job['id']}/errors")
    assert failed["user"] == {"email": "bob@example.com", "password_hash": "*****"}
    assert [error["code"] for error in failed["errors"]] == ["CONFLICT_EMAIL"]
    wire.ok(wire.otp(wire.mfa_token("dora@example.com"), code_of(TOTP)))
    told = [(e.type, e.client_id, e.realm) for e in wire.events() if e.type in ("sapi", "sui", "fui")]
    assert told[-3:] == [("sapi", "admin", "staff"), ("fui", "admin", "staff"), ("sui", "admin", "staff")]


def test_without_errors_there_is_nothing_to_list(admin: Admin, cast: Cast, wire: Wire) -> None:
    job = send_people(admin, cast, record("dora@example.com"))
    work_off(wire.server)
    assert admin.ask("GET", f"/jobs/{job['id']}/errors").status_code == 204


def test_upsert_is_asked_for_as_text(admin: Admin, cast: Cast, wire: Wire) -> None:
    job = send_people(admin, cast, record("bob@example.com", nickname="b"), upsert="true")
    work_off(wire.server)
    assert admin.get(f"/jobs/{job['id']}")["summary"]["updated"] == 1


@pytest.mark.parametrize(
    ("content", "connection", "status", "message"),
    [
        (None, "staff", 400, "Must provide 'users' file as multipart part."),
        (b"  ", "staff", 400, "Users file must not be empty."),
        (b"[]", None, 400, "Must provide 'connection_id' as multipart part."),
        (b"[]", "con_0000000000000000", 400, "The connection does not exist."),
        (b"[]", "disabled", 400, "Connection must be enabled."),
        (b"x" * 512_001, "staff", 413, "Payload content length greater than maximum allowed: 512000"),
        (b"x" * 700_000, "staff", 413, "Payload content length greater than maximum allowed: 512000"),
    ],
)
def test_what_cannot_be_imported_is_refused(
    admin: Admin, cast: Cast, content: bytes | None, connection: str | None, status: int, message: str
) -> None:
    parts = {} if connection is None else {"connection_id": connection}
    if connection in ("staff", "disabled"):
        parts = {"connection_id": cast.staff.id}
    if connection == "disabled":
        with admin.wire.server.db.write() as conn:
            realms.update_realm(conn, cast.staff.id, is_enabled=False)
    answer = send(admin, content, **parts)
    assert answer.json is not None
    assert (answer.status_code, answer.json["message"]) == (status, message)


def test_a_body_that_is_no_multipart_is_refused(admin: Admin, cast: Cast) -> None:
    refused(admin.ask("POST", "/jobs/users-imports", {"users": []}), 400, "invalid_body")
    headers = bearer(admin.token) | {"Content-Type": "multipart/form-data; boundary=x"}
    answer = admin.wire.client.post("/api/v2/jobs/users-imports", data=b"--x\r\nnonsense", headers=headers)
    refused(answer, 400, "invalid_body")
    strange = send(admin, b"[]", connection_id=cast.staff.id, plan="1")
    refused(strange, 400, "invalid_body")


def test_the_largest_file_is_taken(admin: Admin, cast: Cast, wire: Wire) -> None:
    content = json.dumps(list(people(1500))).encode()
    job = send(admin, content + b" " * (512_000 - len(content)), connection_id=cast.staff.id).json
    assert job is not None
    work_off(wire.server)
    assert admin.get(f"/jobs/{job['id']}")["summary"]["inserted"] == 1500


def test_a_third_import_waits_its_turn(admin: Admin, cast: Cast, wire: Wire) -> None:
    send_people(admin, cast, record("a@example.com"))
    send_people(admin, cast, record("b@example.com"))
    answer = send(admin, b"[]", connection_id=cast.staff.id)
    text = "There are 2 active import users jobs, please wait until some of them are finished and try again"
    refused(answer, 429, "too_many_imports", text)
    assert "X-RateLimit-Limit" in answer.headers
    work_off(wire.server)
    send_people(admin, cast, record("c@example.com"))


def test_a_file_that_is_not_json_fails_as_a_whole(admin: Admin, cast: Cast, wire: Wire) -> None:
    job = send(admin, b'[{"email":"dora@example.com"}, {]', connection_id=cast.staff.id).json
    assert job is not None
    work_off(wire.server)
    failed = admin.get(f"/jobs/{job['id']}")
    assert failed["status"] == "failed" and "valid JSON" in failed["status_details"]
    assert admin.get(f"/jobs/{job['id']}/errors") == failed
    assert len(admin.get("/users")) == 3


def test_an_uploaded_file_is_sealed_and_goes_with_the_end(admin: Admin, cast: Cast, server: Server) -> None:
    job = send_people(admin, cast, record("dora@example.com", password_hash=SECRET_HASH))
    with server.db.read() as conn:
        sealed = rows.find_content(conn, job["id"])
    assert sealed is not None and SECRET_HASH not in sealed
    work_off(server)
    with server.db.read() as conn:
        assert rows.find_content(conn, job["id"]) is None


def test_a_job_whose_process_died_is_taken_again_and_only_one_takes_it(
    admin: Admin, cast: Cast, server: Server, clock: FrozenDateTimeFactory
) -> None:
    job = send_people(admin, cast, record("dora@example.com"))
    with server.db.write() as conn:
        assert rows.claim(conn, job["id"], "dead", datetime.now().astimezone())
        assert not rows.claim(conn, job["id"], "second", datetime.now().astimezone())
    assert not work_off(server)
    clock.tick(rows.LEASE + timedelta(seconds=1))
    with server.db.write() as conn:
        assert rows.claim(conn, job["id"], "third", datetime.now().astimezone())
        assert not rows.finish(conn, job["id"], "dead", "failed"), "who has lost it changes nothing"
    clock.tick(rows.LEASE + timedelta(seconds=1))
    assert work_off(server)
    with server.db.read() as conn:
        found = rows.find_job(conn, job["id"])
    assert found is not None and (found.status, found.inserted) == ("completed", 1)


def test_a_job_dies_after_two_hours_and_is_gone_after_a_day(
    admin: Admin, cast: Cast, server: Server, clock: FrozenDateTimeFactory
) -> None:
    job = send_people(admin, cast, record("dora@example.com"))
    token = admin.token
    clock.tick(timedelta(hours=2, seconds=1))
    work_off(server)
    failed = admin.get(f"/jobs/{job['id']}")
    assert (failed["status"], failed["status_details"]) == ("failed", rows.OVERDUE)
    clock.tick(timedelta(hours=22))
    assert token == admin.token
    with server.db.read() as conn:
        assert rows.find_content(conn, job["id"]) is None
    answer = admin.ask("GET", f"/jobs/{job['id']}")
    assert answer.status_code in (401, 404)


# --- exports -------------------------------------------------------------------------------------------------------


def export(admin: Admin, **body: Any) -> dict[str, Any]:
    job = admin.post("/jobs/users-exports", body, 200)
    assert job["status"] == "pending"
    work_off(admin.wire.server)
    done: dict[str, Any] = admin.get(f"/jobs/{job['id']}")
    assert done["status"] == "completed", done
    return done


def fetch(wire: Wire, location: str) -> TestResponse:
    address = urlsplit(location)
    return wire.client.get(f"{address.path}?{address.query}")


def file_of(wire: Wire, job: dict[str, Any]) -> str:
    answer = fetch(wire, job["location"])
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/gzip"
    return gzip.decompress(answer.data).decode()


def test_an_export_has_the_chosen_members_under_the_chosen_names(
    admin: Admin, cast: Cast, wire: Wire
) -> None:
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.bob.id, user_metadata={"plan": {"name": "gold"}})
    fields = [
        {"name": "email"},
        {"name": "user_metadata.plan.name", "export_as": "plan"},
        {"name": "identities[0].connection", "export_as": "realm"},
    ]
    job = export(admin, connection_id=cast.staff.id, fields=fields)
    found = [json.loads(line) for line in file_of(wire, job).splitlines()]
    assert sorted(found, key=str) == [
        {"email": "alice@example.com", "realm": "staff"},
        {"email": "bob@example.com", "plan": "gold", "realm": "staff"},
    ]
    everybody = file_of(wire, export(admin)).splitlines()
    assert len(everybody) == 3
    assert len(file_of(wire, export(admin, limit=2)).splitlines()) == 2


def test_no_export_has_a_hash_or_a_factor(admin: Admin, cast: Cast, wire: Wire) -> None:
    for kind in ("json", "csv"):
        content = file_of(wire, export(admin, format=kind))
        assert "argon2" not in content and "password_hash" not in content and cast.alice_totp not in content
    for name in ("password_hash", "mfa_factors", "password", "user_metadata.", "a[", "realm_id"):
        refused(admin.ask("POST", "/jobs/users-exports", {"fields": [{"name": name}]}), 400, "invalid_body")


def test_an_export_tells_how_far_people_have_come_with_a_second_factor(
    admin: Admin, cast: Cast, wire: Wire, clock: FrozenDateTimeFactory
) -> None:
    grace = {"type": "days", "days": 5, "starts": "user_created"}
    making.set_policy(wire.server, cast.staff, {"mode": "always", "enrollment": {"grace": grace}})
    making.enroll_phone(wire.server, cast.alice)
    wire.login(cast.alice_totp)
    pending = making.make_user(wire.server, cast.guests, "pia@example.com")
    wire.ok(wire.associate(wire.mfa_token("pia@example.com", realm="guests")))
    names = ["state", "factors", "enrolled_at", "last_used_at", "grace_ends_at"]
    fields = [{"name": "email"}, *({"name": f"mfa.{name}", "export_as": name} for name in names)]

    lines = file_of(wire, export(admin, connection_id=cast.staff.id, fields=fields)).splitlines()
    found = {line["email"]: line for line in map(json.loads, lines)}
    alice, bob = found["alice@example.com"], found["bob@example.com"]
    assert alice["state"] == "enrolled" and sorted(alice["factors"]) == ["otp", "phone", "recovery-code"]
    assert alice["last_used_at"].startswith("2026-11-23T12:00:00") and "enrolled_at" in alice
    assert "grace_ends_at" not in alice
    ends_at = cast.bob.created_at + timedelta(days=5)
    assert bob["state"] == ("in_grace" if ends_at > NOON else "none") and bob["factors"] == []
    assert bob["grace_ends_at"].startswith(f"{ends_at:%Y-%m-%dT%H:%M:%S}")
    whole = [
        json.loads(line)
        for line in file_of(wire, export(admin, fields=[{"name": "user_id"}, {"name": "mfa"}])).splitlines()
    ]
    assert next(line for line in whole if line["user_id"] == pending.id)["mfa"]["state"] == "pending"
    content = file_of(
        wire, export(admin, format="csv", fields=[{"name": "mfa.factors[0]"}, {"name": "mfa.state"}])
    )
    assert content.splitlines()[0] == '"mfa.factors[0]","mfa.state"' and "enrolled" in content
    for name in ("mfa.secret", "mfa.", "mfa.state."):
        refused(admin.ask("POST", "/jobs/users-exports", {"fields": [{"name": name}]}), 400, "invalid_body")


def test_no_cell_of_a_csv_is_a_formula(admin: Admin, cast: Cast, wire: Wire) -> None:
    evil = "=cmd|' /C calc'!A0\",\"x"
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.bob.id, name=evil, nickname="@SUM(1)", given_name="a\r\n=1+1")
    fields = [{"name": n} for n in ("email", "name", "nickname", "given_name", "logins_count", "created_at")]
    content = file_of(wire, export(admin, connection_id=cast.staff.id, format="csv", fields=fields))
    head, *lines = csv.reader(StringIO(content, newline=""))
    assert head == [field["name"] for field in fields]
    bob = next(line for line in lines if line[0] == "'bob@example.com")
    assert bob[1:5] == [f"'{evil}", "'@SUM(1)", "'a\r\n=1+1", "0"] and bob[5].endswith("Z")


def test_an_address_of_a_file_lives_a_minute_and_is_for_that_file(
    admin: Admin, cast: Cast, wire: Wire, clock: FrozenDateTimeFactory
) -> None:
    one, two = export(admin, limit=1), export(admin, limit=2)
    again = admin.get(f"/jobs/{one['id']}")
    assert again["location"] != one["location"]
    swapped = one["location"].replace(one["id"], two["id"])
    for wrong in (swapped, one["location"].split("?")[0], one["location"][:-2], one["location"] + "A"):
        assert fetch(wire, wrong).status_code == 403
    assert fetch(wire, one["location"].replace(".json.gz", ".csv.gz")).status_code == 404
    clock.tick(timedelta(seconds=59))
    assert fetch(wire, one["location"]).status_code == 200
    clock.tick(timedelta(seconds=2))
    assert fetch(wire, one["location"]).status_code == 403
    assert fetch(wire, admin.get(f"/jobs/{one['id']}")["location"]).status_code == 200


def test_an_export_that_was_cut_off_begins_anew(admin: Admin, cast: Cast, server: Server, wire: Wire) -> None:
    job = admin.post("/jobs/users-exports", {}, 200)
    with server.db.write() as conn:
        rows.add_part(conn, job["id"], gzip.compress(b"left over"))
    work_off(server)
    assert "left over" not in file_of(wire, admin.get(f"/jobs/{job['id']}"))


# --- the others ----------------------------------------------------------------------------------------------------


def test_a_verification_mail_carries_a_link(admin: Admin, cast: Cast, server: Server, wire: Wire) -> None:
    job = admin.post("/jobs/verification-email", {"user_id": cast.bob.id})
    work_off(server)
    assert admin.get(f"/jobs/{job['id']}")["status"] == "completed"
    (mail,) = wire.messages()
    assert mail.destination == "bob@example.com"
    (link,) = [word for word in mail.text.split() if "/ticket/verification?ticket=" in word]
    assert wire.get("/" + link.removeprefix(server.settings.issuer)).status_code == 200


def test_a_verification_mail_fails_while_there_is_no_mail(admin: Admin, cast: Cast, server: Server) -> None:
    server = replace(server, settings=server.settings.model_copy(update={"smtp_url": ""}))
    job = admin.post("/jobs/verification-email", {"user_id": cast.bob.id})
    assert job.items() >= {"status": "pending", "type": "verification_email"}.items()
    work_off(server)
    failed = admin.get(f"/jobs/{job['id']}")
    assert (failed["status"], failed["status_details"]) == ("failed", jobs.NO_MAIL)
    refused(admin.ask("POST", "/jobs/verification-email", {"user_id": "auth0|x"}), 404, "inexistent_user")


def test_an_accident_fails_the_job_and_nothing_else(
    admin: Admin, cast: Cast, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("with a secret in its text")

    monkeypatch.setitem(jobs._WORK, "users_import", broken)
    job = send_people(admin, cast, record("dora@example.com"))
    work_off(server)
    assert admin.get(f"/jobs/{job['id']}")["status_details"] == jobs.ACCIDENT


def test_a_job_needs_its_scope(with_scopes: Callable[..., Admin], cast: Cast) -> None:
    reader = with_scopes("read:users")
    refused(send(reader, b"[]", connection_id=cast.staff.id), 403, "insufficient_scope")
    refused(reader.ask("POST", "/jobs/verification-email", {"user_id": "x"}), 403, "insufficient_scope")
    refused(reader.ask("GET", "/jobs/job_0000000000000000"), 404, "inexistent_job")
