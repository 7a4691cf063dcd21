"""A commit whose answer is lost: nobody knows whether it happened, and still nothing counts twice (5.3, T46)."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests import making
from tests.databases import Templates
from tests.evidence import report, size
from tests.live import Live, serving
from tests.making import APP_SECRET, PASSWORD
from tests.wire import MFA_OTP, code_of

pytestmark = pytest.mark.races

ROUNDS = size(8, 200)
APP = {"client_id": "app", "client_secret": APP_SECRET}


class Proxy:
    """Stands between the server and PostgreSQL; while `is_dropping`, the answer to a COMMIT never arrives."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.is_dropping = False
        self.dropped = 0
        self.socks: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self.socks += [client, server]
            threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
            threading.Thread(target=self._downstream, args=(server, client), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                if self.is_dropping and b"COMMIT" in data:
                    self.dropped += 1
                    client.shutdown(socket.SHUT_RDWR)  # the statement still reaches the server
                server.sendall(data)
        except OSError:
            pass
        finally:
            _close(server)

    def _downstream(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        finally:
            _close(client)


def _close(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def through_proxy(templates: Templates, folder_url: str) -> Iterator[tuple[Proxy, str]]:
    parts = urlsplit(folder_url)
    proxy = Proxy(parts.port or 5432)
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}"))
    finally:
        _close(proxy.listener)
        for sock in [proxy.listener, *proxy.socks]:
            sock.close()


def test_a_lost_commit_is_a_503_and_the_code_counts_at_most_once(
    templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lost")
    direct = templates.copy("postgresql", folder / "instance")
    with (
        through_proxy(templates, direct) as (proxy, url),
        serving(templates, "postgresql", folder, workers=2, url=url) as live,
    ):
        cast = making.make_cast(live.server)
        for number in range(ROUNDS):
            user = making.make_user(live.server, cast.staff, f"lost{number}@example.com")
            secret = making.enroll_totp(live.server, user)
            token, code = mfa_token(live, f"lost{number}@example.com"), code_of(secret)
            proof = {"grant_type": MFA_OTP, "mfa_token": token, "otp": code} | APP
            proxy.is_dropping = True
            lost = live.post("/oauth/token", **proof)
            proxy.is_dropping = False
            assert (lost.status, lost.json["error"]) == (503, "temporarily_unavailable")
            assert lost.headers["retry-after"]
            answers = [live.post("/oauth/token", **proof).status for _ in range(3)]
            assert answers.count(200) <= 1 and set(answers) <= {200, 403, 429}
    assert proxy.dropped >= ROUNDS
    report("5.3 lost commits", tried=f"{ROUNDS} one-time passwords", held="503, then at most one success")


def mfa_token(live: Live, username: str) -> str:
    members = {"grant_type": "password", "username": username, "password": PASSWORD} | APP
    return str(live.post("/oauth/token", **members).json["mfa_token"])
