"""The client's address behind proxies, request ids, and the answers to what does not exist."""

import ipaddress
from pathlib import Path

import pytest

from app.web.lifecycle import client_ip
from tests.databases import test_settings
from tests.wire import Wire, refused

PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

HOPS = [
    ("192.0.2.1", ["203.0.113.7"], "192.0.2.1"),  # a stranger says whatever he likes
    ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),  # the right-most that is not ours
    ("10.0.0.1", ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["203.0.113.7, nonsense"], "10.0.0.1"),
    ("10.0.0.1", [""], "10.0.0.1"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), HOPS)
def test_the_address_is_the_first_hop_that_is_not_a_listed_proxy(
    tmp_path: Path, peer: str, forwarded: list[str], expected: str
) -> None:
    settings = test_settings(tmp_path, "sqlite:///x", trusted_proxies=PROXIES)
    assert client_ip(settings, peer, forwarded) == expected


def test_nothing_and_wrong_methods_are_told_in_json(wire: Wire) -> None:
    refused(wire.client.get("/nothing"), 404, "not_found")
    answer = wire.client.delete("/oauth/token")
    refused(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("<b>", False)]
)
def test_a_request_id_is_kept_if_it_is_one(wire: Wire, sent: str, kept: bool) -> None:
    answer = wire.client.get("/healthz", headers={"X-Request-ID": sent})
    assert (answer.headers["X-Request-ID"] == sent) == kept


def test_probes(wire: Wire) -> None:
    assert wire.ok(wire.get("/healthz")) == {"status": "UP"}
    checks = wire.ok(wire.get("/readyz"))["checks"]
    assert {check["name"]: check["status"] for check in checks} == dict.fromkeys(
        ("database", "schema", "keys"), "UP"
    )
