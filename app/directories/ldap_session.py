"""One conversation with one LDAP server: a checked address, verified TLS, and one deadline for all of it.

ldap3 speaks the protocol. The connection under it is ours: its own certificate check is off by default and its
timeouts are of each read, so that a server which sends a byte a second would never come to an end.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app import http_out
from app.directories.library import ldap3
from app.directories.options import Address
from app.http_out import Networks

START_TLS = "1.3.6.1.4.1.1466.20037"
MAX_BYTES = 1024 * 1024
SUCCESS, SIZE_LIMIT = 0, 4


class Silent(Exception):
    """There was no proper conversation; one short word says why."""


@dataclass(frozen=True)
class Reply:
    """How a bind went."""

    code: int
    text: str


@dataclass(frozen=True)
class Entry:
    dn: str
    attributes: Mapping[str, Sequence[bytes]]
    """By lower-case names."""

    def texts(self, name: str) -> list[str]:
        found = self.attributes.get(name.lower(), ())
        return [value.decode("utf-8", "replace") for value in found]

    def text(self, name: str) -> str | None:
        return next((value for value in self.texts(name) if value), None)


@contextmanager
def conversation(
    address: Address,
    *,
    start_tls: bool,
    tls: ssl.SSLContext,
    networks: Networks,
    deadline: float,
) -> Iterator["Session"]:
    """Raises Silent, whatever goes wrong inside of the protocol."""
    try:
        sock = http_out.connect(address.host, address.port, networks=networks, deadline=deadline)
    except http_out.Forbidden:
        raise Silent("forbidden_address") from None
    except http_out.Failed as failure:
        raise Silent(str(failure)) from None
    wire = _Wire(sock, deadline)
    session = Session(address, wire)
    try:
        if address.is_tls:
            wire.protect(tls, address.host)
        if start_tls:
            session.start_tls(tls, address.host)
        yield session
    finally:
        session.close()


class _Wire:
    """The socket as ldap3 uses it: nothing lasts beyond the deadline, nothing grows without end."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline, self._left = sock, deadline, MAX_BYTES

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._seconds())
        data = self._sock.recv(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError("more than a directory has to say")
        return data

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._seconds())
        self._sock.sendall(data)

    def protect(self, tls: ssl.SSLContext, host: str) -> None:
        try:
            self._sock.settimeout(self._seconds())
            self._sock = tls.wrap_socket(self._sock, server_hostname=host)
        except TimeoutError:
            raise Silent("timed_out") from None
        except ssl.SSLCertVerificationError:
            raise Silent("certificate_not_trusted") from None
        except (OSError, ValueError):
            raise Silent("tls_failed") from None

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _seconds(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Session:
    def __init__(self, address: Address, wire: _Wire) -> None:
        self.name = address.name
        self._wire = wire
        library = self._library = ldap3()
        server = library.Server(address.host, address.port, use_ssl=address.is_tls, get_info=library.NONE)
        self._ldap = library.Connection(
            server, auto_referrals=False, check_names=False, auto_range=False, auto_escape=False
        )
        # What Connection.open does, around a socket that was opened elsewhere.
        self._ldap.socket = wire
        self._ldap.closed = False
        self._ldap.strategy._outstanding = {}
        self._ldap.strategy._start_listen()

    def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        with self._protocol():
            self._ldap.extended(START_TLS)
            code = self._ldap.result["result"]
        if code != SUCCESS:
            raise Silent("start_tls_refused")
        self._wire.protect(tls, host)
        self._ldap.tls_started = True

    def bind(self, dn: str, password: str) -> Reply:
        """As somebody, or as nobody without a name. A name without a password is never sent: servers take it for
        nobody and answer that it went well (RFC 4513 5.1.2).
        """
        if bool(dn) != bool(password):
            raise Silent("bind_without_password")
        with self._protocol():
            if dn:
                # Bytes, because a text would be changed, or refused, by a preparation that no server makes.
                self._ldap.rebind(dn, password.encode(), self._library.SIMPLE, read_server_info=False)
            else:
                self._ldap.user = None
                self._ldap.rebind(authentication=self._library.ANONYMOUS, read_server_info=False)
            result = self._ldap.result
            return Reply(int(result["result"]), str(result["message"]))

    def search(self, base: str, filter: str, attributes: Sequence[str], *, limit: int) -> list[Entry]:
        """More than `limit` are `limit` and one more."""
        with self._protocol():
            self._ldap.search(
                base,
                filter,
                self._library.SUBTREE,
                self._library.DEREF_NEVER,
                attributes=list(attributes),
                size_limit=limit + 1,
            )
            code = self._ldap.result["result"]
            found = [self._entry(part) for part in self._ldap.response if part["type"] == "searchResEntry"]
        if code == SIZE_LIMIT and len(found) <= limit:
            raise Silent("size_limit")  # a stricter one of the server
        if code not in (SUCCESS, SIZE_LIMIT):
            raise Silent(f"search_result_{code}")
        return found

    @staticmethod
    def _entry(part: dict[str, Any]) -> Entry:
        raw = part["raw_attributes"]
        return Entry(str(part["dn"]), {name.lower(): tuple(values or ()) for name, values in raw.items()})

    def close(self) -> None:
        with suppress(Exception):  # a goodbye that nobody hears
            if not self._ldap.closed:
                self._ldap.unbind()
        with suppress(OSError):
            self._wire.close()

    @contextmanager
    def _protocol(self) -> Iterator[None]:
        try:
            yield
        except Silent:
            raise
        except Exception:  # ldap3 fails in many ways at an answer that is none
            raise Silent("timed_out" if self._wire.is_late else "connection_broken") from None
