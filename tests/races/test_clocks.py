"""Whole servers whose time of day is wrong (5.7, T44): two that differ by 90 seconds, and jumps under way."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyotp
import pytest

from app.factors.recovery_code import new_code
from tests import making
from tests.databases import KINDS, Templates, missing
from tests.evidence import report, size
from tests.live import Answer, Live, serving
from tests.making import Cast
from tests.races.load import mfa_token, refresh, token_request, until
from tests.wire import MFA_OTP, MFA_RECOVERY

pytestmark = pytest.mark.races

SKEW_SECONDS = 90
DAY = 86400
PERIOD_SECONDS = 30
JUMPS = (-365 * DAY, -DAY, -3600, -90, -31, -30, -1, 1, 30, 31, 90, 3600, DAY, 31 * DAY)


@dataclass
class Wrong:
    """A server with a clock of its own, which can be set while it runs."""

    live: Live
    file: Path
    ahead: int = 0

    def set(self, ahead_seconds: int) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{ahead_seconds:+d}")
        fresh.replace(self.file)
        self.ahead = ahead_seconds

    def code(self, secret: str, steps: int = 0) -> str:
        """What a phone shows whose time is this server's, or so many steps later."""
        return pyotp.TOTP(secret).at(int(time.time()) + self.ahead + PERIOD_SECONDS * steps)

    def prove(self, token: str, code: str) -> Answer:
        return self.live.send(token_request(self.live, grant_type=MFA_OTP, mfa_token=token, otp=code))

    def recover(self, token: str, code: str) -> Answer:
        return self.live.send(
            token_request(self.live, grant_type=MFA_RECOVERY, mfa_token=token, recovery_code=code)
        )


@contextmanager
def wrong_server(
    templates: Templates, kind: str, folder: Path, *, beside: Live | None = None
) -> Iterator[Wrong]:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        missing("faketime")
    folder.mkdir()
    file = folder / "clock"
    file.write_text("+0")
    # While libfaketime leaves the monotonic clock alone, as it must where the time jumps, its sleep fails.
    (folder / "sitecustomize.py").write_text(
        "import select, time\ntime.sleep = lambda seconds: select.select((), (), (), seconds)\n"
    )
    env = {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    url = None
    if beside is not None:  # another machine on the same database: same issuer, same keys
        theirs = beside.server.settings
        (folder / "instance").mkdir()
        shutil.copy(theirs.keyring_path, folder / "instance")
        url, env["BELAY_PUBLIC_URL"] = theirs.database_url, theirs.public_url
    with serving(templates, kind, folder, workers=1, url=url, **env) as live:
        yield Wrong(live, file)


@dataclass
class Somebody:
    """With an authenticator app, a recovery code, and more than one server to choose from."""

    name: str
    secret: str
    recovery: str

    @staticmethod
    def made(live: Live, cast: Cast, name: str) -> "Somebody":
        user = making.make_user(live.server, cast.staff, name)
        secret = making.enroll_totp(live.server, user)
        return Somebody(name, secret, making.give_recovery_code(live.server, user, new_code()))

    def token(self, at: Wrong) -> str:
        return mfa_token(at.live, self.name, scope="openid offline_access")

    def proves_with_a_code(self, first: Wrong, second: Wrong) -> list[Answer]:
        """The password at one server, the code at the other, and both again at both."""
        token, code = self.token(second), first.code(self.secret)
        accepted = first.prove(token, code)
        assert accepted.status == 200, accepted.text
        again = [server.prove(self.token(server), code) for server in (first, second)]
        again += [server.prove(token, server.code(self.secret, steps=1)) for server in (first, second)]
        held = second.ahead
        second.set(first.ahead)  # then by its clock the code is right as well
        again.append(second.prove(self.token(second), code))
        second.set(held)
        assert {answer.status for answer in again} == {403}, [answer.text for answer in again]
        return [accepted, *again]

    def recovers(self, first: Wrong, second: Wrong) -> list[Answer]:
        """One mfa_token and one recovery code at both servers at once."""
        token = self.token(first)
        return once(
            partial(first.recover, token, self.recovery), partial(second.recover, token, self.recovery)
        )

    def refreshes(self, first: Wrong, second: Wrong, tokens: dict[str, str]) -> list[Answer]:
        """What one server issued serves at the other; a refresh token once, and then none of its family."""
        looks = [server.live.get("/userinfo", tokens["access_token"]) for server in (first, second)]
        assert {answer.status for answer in looks} == {200}, [answer.text for answer in looks]
        parent = tokens["refresh_token"]
        answers = once(partial(refresh, first.live, parent), partial(refresh, second.live, parent))
        after = [refresh(server.live, answers[0].json["refresh_token"]) for server in (first, second)]
        assert {answer.status for answer in after} == {403}, [answer.text for answer in after]
        return [*looks, *answers, *after]


def once(*calls: Callable[[], Answer]) -> list[Answer]:
    """Do both at one moment; the one that won comes first."""
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = [done.result() for done in [pool.submit(call) for call in calls]]
    answers.sort(key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 403], [answer.text for answer in answers]
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_two_servers_whose_clocks_differ_accept_nothing_twice(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    people = size(6, 100)
    answers: list[Answer] = []
    with (
        wrong_server(templates, kind, tmp_path / "here") as here,
        wrong_server(templates, kind, tmp_path / "there", beside=here.live) as there,
    ):
        cast = making.make_cast(here.live.server)
        there.set(SKEW_SECONDS)
        for number in range(people):
            somebody = Somebody.made(here.live, cast, f"skew{number}@example.com")
            first, second = (here, there) if number % 2 else (there, here)
            answers += somebody.proves_with_a_code(first, second)
            recovered = somebody.recovers(first, second)
            answers += recovered + somebody.refreshes(first, second, recovered[0].json)
    report(
        f"5.7 two servers, {SKEW_SECONDS} s apart ({kind})",
        tried=f"{people} people, {len(answers)} answers",
        held="0 codes, mfa_tokens, recovery codes or refresh tokens accepted twice; 0 5xx",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_clock_of_a_running_server_jumps(templates: Templates, tmp_path: Path, kind: str) -> None:
    """As in tests/stories/test_clock_jumps.py, but with everything that has a clock inside the process."""
    with wrong_server(templates, kind, tmp_path / "one") as one:
        cast = making.make_cast(one.live.server)
        for jump in JUMPS:
            somebody = Somebody.made(one.live, cast, f"jump{jump}@example.com")
            token = somebody.token(one)
            until(lambda: 2 < time.time() % PERIOD_SECONDS < 20, 15, "the middle of a period")
            code = one.code(somebody.secret)
            one.set(jump)
            # The phone's time is right: 31 seconds from the middle of a period lead into the next, 90 do not.
            is_near, is_open = abs(jump) < 2 * PERIOD_SECONDS, jump < 600
            answer = one.prove(token, code)
            said = 200 if is_near and is_open else 403
            assert answer.status == said, (jump, answer.text)
            assert one.live.get("/readyz").status == one.live.get("/.well-known/jwks.json").status == 200
            one.set(0)
            if said == 200:
                assert one.prove(somebody.token(one), code).status == 403, jump
            assert one.recover(token, somebody.recovery).status == (403 if said == 200 else 200), jump
            if said == 403:
                assert one.recover(somebody.token(one), somebody.recovery).status == 403, jump
    report(
        f"5.7 the clock of a running server jumps ({kind})",
        tried=f"{len(JUMPS)} jumps",
        held="each answer as expected, 0 accepted twice, 0 5xx",
    )
