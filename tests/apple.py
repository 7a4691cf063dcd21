"""A look-alike of Apple's push service: HTTP/2 over TLS on this machine, and nothing but HTTP/2."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import trustme

from tests.gateways import Received


@dataclass
class Apple:
    port: int
    received: list[Received] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    """The common names of the clients that showed one."""
    refusals: list[tuple[int, str]] = field(default_factory=list)
    """Status and reason for the next messages."""
    connections: int = 0
    ended: int = 0
    farewell: str = ""
    """What comes once the next message is answered: `goaway`, or `end` without a word."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def speak(self, tls: ssl.SSLSocket) -> None:
        assert tls.selected_alpn_protocol() == "h2"
        self.connections += 1
        found = tls.getpeercert() or {}
        if found:
            self.certificates.append(dict(pair[0] for pair in found["subject"])["commonName"])  # type: ignore[misc]
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        tls.sendall(conn.data_to_send())
        headers: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        while data := tls.recv(65536):
            before = len(self.received)
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers[event.stream_id] = {k.decode(): v.decode() for k, v in event.headers}
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(conn, event.stream_id, headers[event.stream_id], bodies[event.stream_id])
            farewell = self.farewell if len(self.received) > before else ""
            tls.sendall(conn.data_to_send())
            if farewell:
                self._leave(conn, tls, farewell)

    def _leave(self, conn: h2.connection.H2Connection, tls: ssl.SSLSocket, farewell: str) -> None:
        if farewell == "goaway":
            conn.close_connection()
            tls.sendall(conn.data_to_send())
        # To close with something unread would take the answer away as well.
        tls.shutdown(socket.SHUT_WR)
        self.farewell = ""
        self.ended += 1
        while tls.recv(65536):
            pass

    def _answer(
        self, conn: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes
    ) -> None:
        self.received.append(Received(headers[":path"], headers, body))
        status, reason = self.refusals.pop(0) if self.refusals else (200, "")
        conn.send_headers(stream, [(":status", str(status)), ("apns-id", "x")])
        conn.send_data(stream, json.dumps({"reason": reason}).encode() if reason else b"", end_stream=True)


@contextmanager
def apple(authority: trustme.CA) -> Iterator[Apple]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Apple(listener.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):  # the end of the test closes it
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=talk, args=(sock,), daemon=True).start()

        def talk(sock: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
                found.speak(tls)

        threading.Thread(target=serve, daemon=True).start()
        yield found
