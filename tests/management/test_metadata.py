"""Metadata of people, applications, connections and refresh tokens: their limits hold for what a PATCH leaves."""

from urllib.parse import quote

import pytest

from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.wire import FULL, Wire


@pytest.mark.parametrize("name", ["user_metadata", "app_metadata"])
def test_metadata_of_a_person_stay_below_their_limit(admin: Admin, cast: Cast, name: str) -> None:
    bob = f"/users/{quote(cast.bob.id)}"
    half = "x" * 9_000
    admin.patch(bob, {name: {"a": half}})
    message = f"Payload validation error: 'Object is too large, maximum 16384 bytes' on property {name}."
    refused(admin.ask("PATCH", bob, {name: {"b": half}}), 400, "invalid_body", message)
    assert admin.get(bob)[name] == {"a": half}
    assert admin.patch(bob, {name: {"a": None, "b": half}})[name] == {"b": half}


def label(admin: Admin, path: str, name: str, at_most: int) -> None:
    labels = {f"label{number}": "x" for number in range(at_most)}
    assert admin.patch(path, {name: labels})[name] == labels
    text = f"Too many properties defined ({at_most + 1}), maximum {at_most}"
    message = f"Payload validation error: '{text}' on property {name}."
    refused(admin.ask("PATCH", path, {name: {"more": "x"}}), 400, "invalid_body", message)
    assert admin.get(path)[name] == labels
    changed = admin.patch(path, {name: {"label0": None, "more": "x"}})[name]
    assert len(changed) == at_most and changed["more"] == "x"


def test_labels_stay_below_their_limit(admin: Admin, wire: Wire, cast: Cast) -> None:
    wire.ok(wire.password("bob@example.com", **FULL))
    (token,) = admin.get(f"/users/{quote(cast.bob.id)}/refresh-tokens")["tokens"]
    label(admin, "/clients/app", "client_metadata", 10)
    label(admin, f"/connections/{cast.staff.id}", "metadata", 10)
    label(admin, f"/refresh-tokens/{token['id']}", "refresh_token_metadata", 25)
