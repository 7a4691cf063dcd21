"""How long a directory's "no" takes tells nobody who is in it."""

import random
from itertools import combinations
from pathlib import Path

import pytest
import trustme

from app.store import realms
from tests import evidence, making
from tests.databases import KINDS, Templates
from tests.directories import slapd as slapds
from tests.directories.conftest import make_directory_realm
from tests.directories.slapd import Certificate
from tests.evidence import report, size
from tests.live import serving
from tests.races.load import password_request
from tests.races.test_timing import auc
from tests.wire import PASSWORD_REALM

pytestmark = pytest.mark.races

TRIES = size(80, 2000)
MARGIN = 0.05 if evidence.FULL else 0.4  # of so few a class chance alone makes 0.05, and a busy machine more


@pytest.mark.parametrize("kind", KINDS if evidence.FULL else KINDS[:1])
@pytest.mark.timeout(1800)
def test_the_time_of_a_directorys_answer_tells_no_names(
    templates: Templates, tmp_path: Path, kind: str, authority: trustme.CA
) -> None:
    """Somebody who has logged in here, somebody who has not yet, and nobody; each with a wrong password."""
    certificate = Certificate.of(authority.issue_cert("127.0.0.1", "localhost"))
    (tmp_path / "slapd").mkdir()
    with (
        slapds.running(tmp_path / "slapd", certificate, authority) as slapd,
        serving(templates, kind, tmp_path, workers=1) as live,
    ):
        slapd.fill()
        making.make_cast(live.server)
        options = {"ldap": slapd.options()}
        realm = make_directory_realm(live.server, "corp", "ldap", options, "app", mode="never")
        with live.server.db.write() as conn:
            realms.update_realm(conn, realm.id, has_brute_force_protection=False)

        def tried(name: str, password: str) -> bytes:
            return password_request(live, name, password, grant_type=PASSWORD_REALM, realm="corp")

        arrived = live.send(tried("alice", slapds.PASSWORD))
        assert arrived.status == 200, arrived.text
        names = {"known": "alice", "never seen": "bob", "unknown": "nobody"}
        requests = {state: tried(name, "wrong") for state, name in names.items()}
        for request in list(requests.values()) * 5:
            live.send(request)
        seconds: dict[str, list[float]] = {state: [] for state in requests}
        order = [state for state in requests for _ in range(TRIES)]
        random.shuffle(order)
        answers = set()
        for state in order:
            answer = live.send(requests[state])
            answers.add((answer.status, answer.json["error"], answer.json["error_description"]))
            seconds[state].append(answer.seconds)
    assert answers == {(403, "invalid_grant", "Wrong email or password.")}
    found = {f"{a}/{b}": auc(seconds[a], seconds[b]) for a, b in combinations(names, 2)}
    assert all(abs(value - 0.5) <= MARGIN for value in found.values()), found
    told = ", ".join(f"{pair} {value:.3f}" for pair, value in found.items())
    report(f"T4 time of a directory's answer ({kind})", tried=f"{TRIES} a class, slapd", held=f"AUC {told}")
    print(told)
