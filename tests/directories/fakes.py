"""The outside world where no real server can be had: an Active Directory by script, a login service, and silence."""

import json
import socket
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSED = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data {}, v3839\0"


# --- a server of lines of bytes --------------------------------------------------------------------------------------


class Listener:
    """Accepts, and gives each connection to a function on a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve, self.accepted = serve, 0
        self._sockets: list[socket.socket] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self.socket.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(found)
            threading.Thread(target=self._run, args=(found,), daemon=True).start()

    def _run(self, found: socket.socket) -> None:
        with found, suppress(OSError):
            self._serve(found)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for found in self._sockets:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            found.close()


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Listener]:
    listener = Listener(serve)
    try:
        yield listener
    finally:
        listener.close()


def silence(sock: socket.socket) -> None:
    """Takes everything and says nothing."""
    while sock.recv(65536):
        pass


def drip(sock: socket.socket) -> None:
    """An answer that never ends, a byte at a time."""
    sock.sendall(b"\x30\x84\x00\x00\xff\xff")
    while True:
        sock.sendall(b"\x02")
        time.sleep(0.05)


def nonsense(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)


# --- Active Directory ------------------------------------------------------------------------------------------------


def ber(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        yield tag, data[start : start + length]
        data = data[start + length :]


def _compared(filter: bytes) -> Iterator[tuple[str, bytes]]:
    """Every equality of a filter."""
    for tag, content in elements(filter):
        if tag == 0xA3:
            (_, name), (_, value) = elements(content)
            yield name.decode().lower(), value
        elif tag & 0x20:
            yield from _compared(content)


def _loose(value: bytes) -> str:
    """As Active Directory compares: without case, and without accents."""
    text = unicodedata.normalize("NFKD", value.decode("utf-8", "replace"))
    return "".join(c for c in text if not unicodedata.combining(c)).casefold()


@dataclass
class Member:
    name: str
    password: str
    sub_code: str | None = None
    """What a bind says although the password is right; 775 whether or not it is."""
    flags: int = 512
    groups: tuple[str, ...] = ()
    mail: str | None = None
    guid: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def dn(self) -> str:
        return f"CN={self.name},OU=Staff,DC=corp,DC=example"

    @property
    def attributes(self) -> dict[str, list[bytes]]:
        return {
            "objectGUID": [self.guid.bytes_le],
            "sAMAccountName": [self.name.encode()],
            "userPrincipalName": [f"{self.name}@corp.example".encode()],
            "mail": [(self.mail or f"{self.name}@corp.example").encode()],
            "displayName": [f"{self.name.capitalize()} of Corp".encode()],
            "userAccountControl": [str(self.flags).encode()],
            "memberOf": [group.encode() for group in self.groups],
        }


class ActiveDirectory:
    """Speaks as much LDAP as a login needs, in Active Directory's manner. `requests` counts what it was asked."""

    service = ("CN=reader,DC=corp,DC=example", "reader-password")

    def __init__(self, *members: Member) -> None:
        self.members = list(members)
        self.requests: list[str] = []

    def serve(self, sock: socket.socket) -> None:
        data = b""
        while True:
            message = next(elements(data), None) if len(data) > 6 else None
            if message is None or len(message[1]) + 2 > len(data):
                chunk = sock.recv(65536)
                if not chunk:
                    return
                data += chunk
                continue
            head = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
            data = data[head + len(message[1]) :]
            (_, number), (operation, content), *_ = elements(message[1])
            if operation == 0x42:
                return
            for answer in self._answers(operation, content):
                sock.sendall(ber(0x30, ber(0x02, number), answer))

    def _answers(self, operation: int, content: bytes) -> Iterator[bytes]:
        if operation == 0x60:
            _, (_, name), (_, password) = elements(content)
            self.requests.append("bind")
            code, text = self._bind(name.decode(), password.decode())
            yield ber(0x61, ber(0x0A, bytes([code])), ber(0x04), ber(0x04, text.encode()))
        elif operation == 0x63:
            self.requests.append("search")
            parts = list(elements(content))
            wanted = [(name, _loose(value), value) for name, value in _compared(ber(*parts[6]))]
            for member in self.members:
                own = {name.lower(): values for name, values in member.attributes.items()}
                if any(
                    raw in own.get(name, [])
                    or (name != "objectguid" and value in map(_loose, own.get(name, [])))
                    for name, value, raw in wanted
                ):
                    shown = [
                        ber(0x30, ber(0x04, name.encode()), ber(0x31, *(ber(0x04, v) for v in values)))
                        for name, values in member.attributes.items()
                    ]
                    yield ber(0x64, ber(0x04, member.dn.encode()), ber(0x30, *shown))
            yield ber(0x65, ber(0x0A, b"\0"), ber(0x04), ber(0x04))

    def _bind(self, dn: str, password: str) -> tuple[int, str]:
        if (
            dn,
            password,
        ) == self.service or not password:  # a name without a password is nobody, and goes well
            return 0, ""
        member = next((m for m in self.members if m.dn == dn), None)
        if member is None:
            return 49, REFUSED.format("525")
        if member.sub_code == "775" or (member.sub_code and password == member.password):
            return 49, REFUSED.format(member.sub_code)
        return (0, "") if password == member.password else (49, REFUSED.format("52e"))

    def options(self, port: int, **changes: object) -> dict[str, object]:
        return {
            "urls": [f"ldap://127.0.0.1:{port}"],
            "base_dn": "DC=corp,DC=example",
            "bind_dn": self.service[0],
            "bind_password": self.service[1],
        } | changes


# --- a login service -------------------------------------------------------------------------------------------------


@dataclass
class Asked:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LoginService:
    """The customer's own: people with passwords, or whatever `reply` says."""

    def __init__(self, people: dict[str, tuple[str, dict[str, Any]]]) -> None:
        self.people = people
        self.asked: list[Asked] = []
        self.reply: Callable[[Any], tuple[int, bytes]] = self._judge
        service = self

        class Ask(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.asked.append(Asked(dict(self.headers), body))
                status, answer = service.reply(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Ask)
        self.httpd.daemon_threads = True
        self.httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = int(self.httpd.server_address[1])
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    def _judge(self, asked: Any) -> tuple[int, bytes]:
        password, profile = self.people.get(asked["username"], (None, {}))
        if password is None:
            return 404, b""
        return (200, json.dumps(profile).encode()) if asked["password"] == password else (401, b"")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/login"

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()
