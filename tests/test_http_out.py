"""Requests that leave reach only what they may reach, and end in time whatever the other side does."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import trustme

from app import http_out
from app.http_out import Failed, Forbidden, is_permitted, post
from tests.evidence import report, within

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# Every one is asked with http permitted where it says http, so that only the address can be the reason.
LITERALS = (
    "127.0.0.1 127.1 127.0.1 127.255.255.254 0 0.0.0.0 0.1.2.3 2130706433 017700000001 0x7f000001 0x7f.1 0177.0.0.1 "
    "0x7f.0x0.0x0.0x1 127.0.0.1. 2130706433. 0x7f000001. 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 "
    "192.168.0.1 192.168.255.255 169.254.169.254 169.254.170.2 2852039166 0xa9fea9fe 100.64.0.1 100.100.100.200 "
    "192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 "
    "255.255.255.255 168.63.129.16 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:169.254.169.254] "
    "[::ffff:10.0.0.1] [::127.0.0.1] [0:0:0:0:0:0:0:1] [fe80::1] [fc00::1] [fd00:ec2::254] [fd12:3456::1] [ff02::1] "
    "[ff0e::1] [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [2002:7f00:1::] [2002:a9fe:a9fe::] [2001::1] "
    "[2001:db8::1] [3fff::1] [100::1] [fec0::1] [fe80::1%25eth0] [::1%25lo] [5f00::1]"
).split()
SPELLINGS = (
    "gopher://127.0.0.1:{port}/_x",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "",
    "https://",
    "https:///path",
    "https://sink.example@127.0.0.1:{port}/",
    "https://user:secret@sink.example/",
    "https://@127.0.0.1:{port}/",
    "https://sink.example\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@sink.example/",
    "https://sink.example#@127.0.0.1:{port}/",
    "https://sink.example/#part",
    "https://sink.example/ a",
    "https://sink.example/\r\nHost: x",
    "https://sink.example/\n",
    "https://sink.example\t/",
    " https://127.0.0.1:{port}/",
    "https://\u2460\u2461\u2466.0.0.1:{port}/",
    "https://127\u30020\u30020\u30021:{port}/",
    "https://\uff11\uff12\uff17.0.0.1:{port}/",
    "https://loc\u0430lhost:{port}/",
    "https://%31%32%37.0.0.1:{port}/",
    "https://localhost%00.sink.example/",
    "https://[127.0.0.1]:{port}/",
    "https://sink.example:0/",
    "https://sink.example:99999/",
    "https://sink.example:port/",
    "https://-sink.example/",
    "https://sink..example/",
    "https://sink.example/" + "a" * 2000,
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "http://sink.example/",
    "http://93.184.216.34/",
)


class Canary:
    """A server on this machine that must not hear of what is forbidden; otherwise it answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reply: Callable[[BaseHTTPRequestHandler], None] = lambda ask: _plain(ask, 200, b"fine")
        canary = self

        class Ask(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                canary.asked.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                canary.reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Ask)
        self.httpd.daemon_threads = True
        self.httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def send(self, url: str = "", **rules: Any) -> http_out.Answer:
        with_defaults: dict[str, Any] = {"networks": LOOPBACK, "permits_http": True} | rules
        return post(url or self.url, b"body", {}, **with_defaults)


def _plain(ask: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    ask.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        ask.send_header(name, value)
    ask.end_headers()
    ask.wfile.write(body)


@pytest.fixture
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.httpd.shutdown()
    found.httpd.server_close()


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The resolver is the outside world: each question for a name gets the next of these answers."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        if host[0].isdigit() or ":" in host:  # an address already: connecting asks for its parts
            return real(host, port, *rest, **named)
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kind[":" in text], socket.SOCK_STREAM, 6, "", (text, port)) for text in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_no_spelling_of_a_forbidden_address_is_asked(canary: Canary) -> None:
    urls = [f"{scheme}://{host}:{canary.port}/" for host in LITERALS for scheme in ("https", "http")]
    urls += [text.format(port=canary.port) for text in SPELLINGS]
    for url in urls:
        started = time.monotonic()
        with pytest.raises(Forbidden):
            canary.send(url, networks=())
        assert time.monotonic() - started < within(6), url
    assert canary.asked == [] and len(LITERALS) + len(SPELLINGS) > 90
    report("forbidden addresses", tried=f"{len(urls)} addresses", held="0 reached the canary")


def test_what_the_rule_says_of_addresses() -> None:
    for text in ("93.184.216.34", "1.1.1.1", "2606:4700::1111", "172.32.0.1", "::ffff:1.1.1.1"):
        assert is_permitted(ip_address(text)), text
    listed = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::5"):
        assert is_permitted(ip_address(text), listed) and not is_permitted(ip_address(text)), text
    assert not is_permitted(ip_address("10.2.0.1"), listed)


def test_a_network_that_the_operator_lists_is_reached(canary: Canary) -> None:
    answer = canary.send()
    assert (answer.status, answer.body, canary.asked) == (200, b"fine", ["/"])
    assert canary.send(f"http://localhost:{canary.port}/").status == 200
    with pytest.raises(Forbidden, match="https"):
        canary.send(permits_http=False)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.7"]]
)
def test_a_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, canary: Canary, addresses: list[str]
) -> None:
    resolving(monkeypatch, addresses)
    with pytest.raises(Forbidden):
        canary.send(f"https://sink.example:{canary.port}/", networks=())
    assert canary.asked == []


def test_a_name_is_resolved_once_and_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, canary: Canary
) -> None:
    """A resolver that says something else the second time is not asked a second time."""
    asked = resolving(monkeypatch, ["127.0.0.9"], ["127.0.0.1"])
    with pytest.raises(Failed, match="not_reachable"):
        canary.send(f"https://sink.example:{canary.port}/", networks=(ip_network("127.0.0.9/32"),))
    assert asked == ["sink.example"] and canary.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(canary: Canary, status: int) -> None:
    canary.reply = lambda ask: _plain(ask, status, b"", Location=canary.url + "inside")
    assert canary.send().status == status and canary.asked == ["/"]


@pytest.mark.parametrize("has_length", [True, False])
def test_an_answer_that_is_too_large_is_cut_off(canary: Canary, has_length: bool) -> None:
    def endless(ask: BaseHTTPRequestHandler) -> None:
        ask.send_response(200)
        ask.send_header("Content-Length", str(2**40)) if has_length else None
        ask.end_headers()
        for _ in range(100_000):
            ask.wfile.write(b"x" * 65536)

    canary.reply = endless
    started = time.monotonic()
    with pytest.raises(Failed, match="answer_too_large"):
        canary.send()
    assert time.monotonic() - started < within(5)


def test_a_compressed_answer_is_not_unpacked(canary: Canary) -> None:
    canary.reply = lambda ask: _plain(ask, 200, b"\x1f\x8b no gzip", **{"Content-Encoding": "gzip"})
    assert canary.send().body == b"\x1f\x8b no gzip"


def drip(ask: BaseHTTPRequestHandler) -> None:
    ask.send_response(200)
    ask.end_headers()
    for _ in range(200):
        ask.wfile.write(b"x")
        time.sleep(0.05)


def drip_head(ask: BaseHTTPRequestHandler) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200:
        ask.wfile.write(bytes([letter]))
        time.sleep(0.05)


def silent(ask: BaseHTTPRequestHandler) -> None:
    time.sleep(10)


@pytest.mark.parametrize("reply", [drip, drip_head, silent])
def test_slowness_has_one_end(canary: Canary, reply: Callable[[BaseHTTPRequestHandler], None]) -> None:
    canary.reply = reply
    started = time.monotonic()
    with pytest.raises(Failed, match="timed_out"):
        canary.send(total_seconds=0.6)
    assert time.monotonic() - started < within(2)


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(20) and [])
    started = time.monotonic()
    with pytest.raises(Failed, match="timed_out"):
        post("https://sink.example/", b"", {}, total_seconds=0.3)
    done.set()
    assert time.monotonic() - started < within(2)


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
def test_a_broken_answer_is_a_failure(canary: Canary, raw: bytes) -> None:
    def reply(ask: BaseHTTPRequestHandler) -> None:
        ask.wfile.write(raw)

    canary.reply = reply
    with pytest.raises(Failed, match="connection_broken"):
        canary.send()


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert canary.send().status == 200


@pytest.mark.parametrize(
    ("names", "trusts"), [("sink.example", True), ("other.example", True), ("sink.example", False)]
)
def test_the_certificate_must_be_the_hosts_and_of_an_authority(
    monkeypatch: pytest.MonkeyPatch, canary: Canary, tmp_path: Any, names: str, trusts: bool
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(names).configure_cert(context)
    canary.httpd.socket = context.wrap_socket(canary.httpd.socket, server_side=True)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if trusts:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    http_out.trusted_authorities.cache_clear()
    resolving(monkeypatch, ["127.0.0.1"])
    try:
        if names == "sink.example" and trusts:
            assert canary.send(f"https://sink.example:{canary.port}/x").status == 200
            return
        with pytest.raises(Failed, match="tls_failed"):
            canary.send(f"https://sink.example:{canary.port}/x")
        assert canary.asked == []
    finally:
        http_out.trusted_authorities.cache_clear()
