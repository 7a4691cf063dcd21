"""The only way out: every request that this server makes to somebody else's.

An address is often written by one person and fetched with the rights of another, our network's. So a name is
resolved once, every address of it is checked, and the connection goes to an address that was checked; redirects are
not followed, proxies of the environment are not asked, and nothing lasts longer or grows larger than it may.
"""

import hashlib
import hmac
import queue
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import certifi
import httpcore
import httpx

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
KEPT_SECONDS = (
    300.0  # unused; routers on the way forget a connection that is silent for longer, and tell nobody
)
INSIDE = "the address leads into a network that is not open to requests"

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

# What the registries call global and still is not somebody else's server on the Internet.
_NEVER: Networks = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata and health service has a public address
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other protocols' own
        "2002::/16",  # 6to4 hides an IPv4 address, maybe a private one
        "3fff::/20",
    )
)
LOOPBACK: Networks = (ip_network("127.0.0.0/8"), ip_network("::1"))
_UNICAST = IPv6Network("2000::/3")  # NAT64, mapped, unique local and link-local addresses lie outside
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


class Forbidden(Exception):
    """The address is one that nothing may be sent to. The text names the rule and never the address asked for."""


class Failed(Exception):
    """There is no answer: one short word says why. Never a part of the address, which may carry a credential.

    `was_not_sent` is true where not a byte of the request can have arrived.
    """

    def __init__(self, word: str, *, was_not_sent: bool = False) -> None:
        super().__init__(word)
        self.was_not_sent = was_not_sent


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


def check_url(url: str, *, permits_http: bool = False, networks: Networks | None = None) -> httpx.URL:
    """The address, if it is one that may be asked at all. Raises Forbidden.

    With `networks`, a host that is an address is looked at already; a name is looked at when it is asked.
    """
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\\]", url) or len(url) > 2000:
        raise Forbidden("an address has printable ASCII characters without spaces, at most 2000")
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        raise Forbidden("this is no address") from None
    if found.scheme != "https" and not (found.scheme == "http" and permits_http):
        raise Forbidden("an address begins with https://")
    if found.userinfo or "@" in found.netloc.decode("ascii"):
        raise Forbidden("an address carries no name or password")
    if not 1 <= (found.port or 443) <= 65535 or found.port == 0 or "#" in url:
        raise Forbidden("an address has a usual port and no fragment")
    host = found.host
    if _literal(host) is None and not _is_name(host):
        raise Forbidden("a host is a name or a plainly written IP address")
    if found.scheme == "http" and host != "localhost" and not getattr(_literal(host), "is_loopback", False):
        raise Forbidden("http is for this machine only")
    literal = _literal(host)
    if networks is not None and literal is not None and not is_permitted(literal, networks):
        raise Forbidden(INSIDE)
    return found


def _literal(host: str) -> Address | None:
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    """A name whose last part is a number is an IPv4 address in one of its odd spellings."""
    last = host.rstrip(".").rpartition(".")[2]
    return len(host) <= 253 and bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(last)


def is_permitted(address: Address, networks: Networks = ()) -> bool:
    """Whether a connection may go there: the public Internet, and what the operator lists."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return not any(address in network for network in _NEVER)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    networks: Networks = (),
    permits_http: bool = False,
    total_seconds: float = TOTAL_SECONDS,
    max_bytes: int = MAX_ANSWER_BYTES,
    line: "Line | None" = None,
) -> Answer:
    """What most send. Raises Forbidden, Failed."""
    return send(
        "POST",
        url,
        body,
        headers,
        networks=networks,
        permits_http=permits_http,
        total_seconds=total_seconds,
        max_bytes=max_bytes,
        line=line,
    )


def send(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    networks: Networks = (),
    permits_http: bool = False,
    total_seconds: float = TOTAL_SECONDS,
    max_bytes: int = MAX_ANSWER_BYTES,
    line: "Line | None" = None,
) -> Answer:
    """Send and read the answer, whatever its status; over a connection of its own, or the `line` that is kept.

    Raises Forbidden, Failed.
    """
    found = check_url(url, permits_http=permits_http)
    return _exchange(
        method,
        found,
        None if method in ("GET", "HEAD") else body,
        headers,
        networks=networks,
        total_seconds=total_seconds,
        max_bytes=max_bytes,
        line=line,
    )


def get(
    url: str,
    headers: Mapping[str, str],
    *,
    networks: Networks = (),
    permits_http: bool = False,
    total_seconds: float = TOTAL_SECONDS,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """Ask and read the answer, whatever its status. Raises Forbidden, Failed."""
    found = check_url(url, permits_http=permits_http)
    return _exchange(
        "GET",
        found,
        None,
        headers,
        networks=networks,
        total_seconds=total_seconds,
        max_bytes=max_bytes,
    )


def _exchange(
    method: str,
    found: httpx.URL,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    networks: Networks,
    total_seconds: float,
    max_bytes: int,
    line: "Line | None" = None,
) -> Answer:
    deadline = time.monotonic() + total_seconds
    given = {"Accept-Encoding": "identity", "User-Agent": "Belay"} | dict(headers)
    try:
        with (
            _own_line(networks, deadline) if line is None else line.held(networks, deadline) as pool,
            httpx.Client(transport=_Transport(pool), trust_env=False, follow_redirects=False) as client,
            client.stream(method, found, content=body, headers=given, timeout=_TIMEOUT) as answer,
        ):
            content = b""
            for part in answer.iter_raw():
                content += part
                if len(content) > max_bytes:
                    raise Failed("answer_too_large")
                if time.monotonic() > deadline:
                    raise Failed("timed_out")
            return Answer(answer.status_code, content, dict(answer.headers))
    except (httpcore.TimeoutException, httpx.TimeoutException) as error:
        was_not_sent = isinstance(error, httpcore.ConnectTimeout | httpx.ConnectTimeout)
        raise Failed("timed_out", was_not_sent=was_not_sent) from None
    except ssl.SSLError:
        raise Failed("tls_failed") from None
    except (httpcore.ConnectError, httpx.ConnectError) as error:
        raise Failed("tls_failed" if "SSL" in str(error) else "not_reachable", was_not_sent=True) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpx.TransportError, OSError):
        raise Failed("connection_broken") from None
    except (httpx.InvalidURL, httpx.HTTPError, ValueError, UnicodeError):
        raise Failed("not_sendable", was_not_sent=True) from None


_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)


def _own_line(networks: Networks, deadline: float) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=trusted_authorities(), network_backend=_Backend(networks, deadline), retries=0
    )


class Line:
    """A connection over HTTP/2 to one server, kept from request to request and shared by those at once.

    For a server that asks for it, as Apple does: one that takes strangers' addresses would be asked anew each time.
    `certificate` is our own, with its key, in PEM: for those who know their clients by it.
    """

    def __init__(self, certificate: bytes | None = None) -> None:
        self._certificate = certificate
        self._lock = threading.Lock()
        self._in_use = 0
        self._pool: httpcore.ConnectionPool | None = None
        self._backend = _Backend((), 0.0)

    @contextmanager
    def held(self, networks: Networks, deadline: float) -> Iterator[httpcore.ConnectionPool]:
        """The connection, open or to be opened by the first request over it."""
        with self._lock:
            if self._in_use == 0 and self._backend.is_spoken_to():
                # What a server says to nobody is a farewell: a request behind it would be lost.
                self._close()
            if self._pool is None or self._backend.networks != networks:
                self._close()
                self._backend = _Backend(networks, deadline)
                self._pool = httpcore.ConnectionPool(
                    ssl_context=trusted_authorities(True, self._certificate),
                    network_backend=self._backend,
                    max_connections=1,
                    keepalive_expiry=KEPT_SECONDS,
                    retries=0,
                    http1=False,
                    http2=True,
                )
            # Of those who share the connection the last one decides when it must have come to an end.
            self._backend.deadline = max(self._backend.deadline, deadline)
            self._in_use += 1
            pool = self._pool
        try:
            yield pool
        finally:
            with self._lock:
                self._in_use -= 1

    def end(self) -> None:
        """Close it, unless somebody is in the middle of a request."""
        with self._lock:
            if self._in_use == 0:
                self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool, self._backend = None, _Backend((), 0.0)


def connect(host: str, port: int, *, networks: Networks = (), deadline: float) -> socket.socket:
    """A connection for another protocol than HTTP, by the same rules. Raises Forbidden, Failed."""
    try:
        stream = _Backend(networks, deadline).connect_tcp(host, port, CONNECT_SECONDS)
    except httpcore.ConnectTimeout:
        raise Failed("timed_out") from None
    except httpcore.ConnectError:
        raise Failed("not_reachable") from None
    found = stream.get_extra_info("socket")
    assert isinstance(found, socket.socket)  # noqa: S101 - nothing is wrapped yet
    return found


def signature(secret: str, body: bytes, now: datetime) -> str:
    """Who vouches for a request. The moment is signed too: what was recorded cannot be sent again much later."""
    at = str(int(now.timestamp()))
    code = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={code}"


@lru_cache(8)
def trusted_authorities(speaks_http2: bool = False, certificate: bytes | None = None) -> ssl.SSLContext:
    """The authorities of the web, and those that the operator of this machine trusts.

    One context for each use: a pool writes into it which protocols it offers.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    if certificate is not None:
        with (
            tempfile.NamedTemporaryFile() as file
        ):  # OpenSSL reads it from a file; only we can, and it is gone at once
            file.write(certificate)
            file.flush()
            context.load_cert_chain(file.name)
    return context


class _Transport(httpx.BaseTransport):
    """httpx over a pool whose way to the network is ours."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(
            request.method,
            target,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        found = self._pool.handle_request(asked)
        return httpx.Response(found.status, headers=found.headers, stream=_Body(found))


class _Body(httpx.SyncByteStream):
    def __init__(self, found: httpcore.Response) -> None:
        self._found = found

    def __iter__(self) -> Iterator[bytes]:
        return self._found.iter_stream()

    def close(self) -> None:
        self._found.close()


class _Backend(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and lets nothing last beyond one deadline."""

    def __init__(self, networks: Networks, deadline: float) -> None:
        self.networks, self.deadline = networks, deadline
        self._backend = httpcore.SyncBackend()
        self._opened: httpcore.NetworkStream | None = None

    def is_spoken_to(self) -> bool:
        """Whether something has come over the connection opened last, its end included."""
        return self._opened is not None and bool(self._opened.get_extra_info("is_readable"))

    def watched(self, stream: httpcore.NetworkStream) -> "_Stream":
        self._opened = stream
        return _Stream(stream, self)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port, _left(self.deadline, timeout, httpcore.ConnectTimeout))
        # One forbidden address among permitted ones is how rebinding looks.
        if not addresses or not all(is_permitted(address, self.networks) for address in addresses):
            raise Forbidden(INSIDE)
        problem: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            seconds = _left(self.deadline, timeout, httpcore.ConnectTimeout)
            try:
                return self.watched(self._backend.connect_tcp(str(address), port, seconds))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise Forbidden("a request goes to a network")


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._backend.deadline, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._backend.deadline, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = _left(self._backend.deadline, timeout, httpcore.ConnectTimeout)
        return self._backend.watched(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None, late: type[Exception]) -> float:
    """Seconds for the next step."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("deadline")
    return min(left, timeout or left)


def _resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Every address of a name. The system's resolver knows no deadline, so it is waited for from outside."""
    literal = _literal(host)
    if literal is not None:
        return [literal]
    found: queue.Queue[list[Address]] = queue.Queue()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host.rstrip("."), port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(ip_address(str(answer[4][0])) for answer in answers)))
        except (OSError, ValueError):
            found.put([])

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        addresses = found.get(timeout=seconds)
    except queue.Empty:
        raise httpcore.ConnectTimeout("resolver") from None
    if not addresses:
        raise httpcore.ConnectError("no address")
    return addresses
