"""`belay realms` and `belay doctor` with directories outside."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.context import Server
from tests.directories.conftest import authority, once, service, slapd
from tests.directories.fakes import LoginService
from tests.directories.slapd import BASE, SERVICE, SERVICE_PASSWORD, Slapd
from tests.making import Cast

__all__ = ["authority", "service", "slapd"]


class Belay:
    """The command in this process: a process each would take most of the time."""

    def __init__(self, server: Server) -> None:
        self.env = {
            "BELAY_INSTANCE": str(server.settings.instance),
            "BELAY_DATABASE_URL": server.settings.database_url,
            "BELAY_INSECURE_TEST": "1",
            "BELAY_HASH_MEMORY_KIB": "8",
            "BELAY_HASH_TIME": "1",
        }

    def __call__(self, *words: str, stdin: str = "", code: int = 0) -> Result:
        done = CliRunner().invoke(main, words, input=stdin, env=self.env)
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def belay(server: Server, cast: Cast) -> Belay:
    return Belay(server)


@once
def test_a_realm_in_a_directory_is_made_checked_and_seen_by_the_doctor(
    belay: Belay, slapd: Slapd, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text(slapd.ca)
    (tmp_path / "options.json").write_text(json.dumps({"ldap": {"attribute_map": {"nickname": "sn"}}}))
    place = (
        "--ldap-url",
        slapd.tls_url,
        "--ldap-base",
        BASE,
        "--ldap-bind-dn",
        SERVICE,
        "--ldap-ca",
        str(tmp_path / "ca.pem"),
    )
    more = ("--options", str(tmp_path / "options.json"), "--secret-stdin", "--json")
    made = json.loads(belay("realms", "create", "corp", *place, *more, stdin=SERVICE_PASSWORD).stdout)
    assert made["kind"] == "ldap" and SERVICE_PASSWORD not in json.dumps(made)
    assert slapd.tls_url in belay("realms", "check", "corp").stdout
    assert f"ok   directory of corp: {slapd.tls_url}" in belay("doctor").stdout

    untrusted = place[:-2]
    belay("realms", "create", "worse", *untrusted, "--secret-stdin", stdin=SERVICE_PASSWORD)
    assert "certificate_not_trusted" in belay("realms", "check", "worse", code=4).stderr
    assert "BAD  directory of worse: cannot be asked" in belay("doctor", code=4).stdout
    belay("realms", "update", "worse", "--ldap-ca", str(tmp_path / "ca.pem"), code=1)  # another server, maybe
    belay("realms", "update", "worse", *place[-2:], "--secret-stdin", stdin=SERVICE_PASSWORD)
    assert slapd.tls_url in belay("realms", "check", "worse").stdout
    assert "bind_password" in belay("realms", "create", "none", *place, code=1).stderr
    assert (
        "directory"
        in belay("users", "create", "a@corp.example", "--realm", "corp", "--generate", code=1).stderr
    )


@once
def test_a_realm_behind_a_login_service_is_made_in_one_line(belay: Belay, service: LoginService) -> None:
    words = ("--http-url", service.url, "--import-mode", "--secret-stdin")
    belay("realms", "create", "legacy", *words, stdin="signing-secret\n")
    assert belay("realms", "check", "legacy").stdout.startswith("legacy: http://127.0.0.1")
    service.close()
    assert "cannot be asked" in belay("realms", "check", "legacy", code=4).stderr
