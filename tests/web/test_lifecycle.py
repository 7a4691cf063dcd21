"""Request ids, and the answers to what does not exist."""

import pytest

from tests.wire import Wire, refused


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
