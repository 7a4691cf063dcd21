"""The manners of go-auth0, below Terraform and the vendor's command line, at a running server: Go itself is not here.

One connection for everything: a body that nobody reads would be taken for the beginning of the next request.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from app.crypto import random_id
from tests.sdk.site import Site


@contextmanager
def connected(site: Site) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(site.domain, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: HTTPConnection, method: str, path: str, token: str, body: object = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, f"/api/v2{path}", body=json.dumps(body) + "\n", headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text else None


def token_by_basic(site: Site, connection: HTTPConnection) -> str:
    """As x/oauth2 asks: the id and the secret, each encoded for a form, in the header alone."""
    client_id, secret = site.administrator()
    basic = b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
    form = urlencode({"grant_type": "client_credentials", "audience": f"{site.issuer}api/v2/"})
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/oauth/token", body=form, headers=headers)
    answer = connection.getresponse()
    granted = json.loads(answer.read())
    assert answer.status == 200, granted
    return str(granted["access_token"])


@pytest.mark.parametrize("safe", ["", ":", ":/"])
def test_an_identifier_in_three_spellings(site: Site, safe: str) -> None:
    identifier = f"https://api.example.com/{random_id()}/v1"
    path = f"/resource-servers/{quote(identifier, safe=safe)}"
    with connected(site) as connection:
        token = token_by_basic(site, connection)
        status, made = ask(connection, "POST", "/resource-servers", token, {"identifier": identifier})
        assert status == 201
        assert ask(connection, "GET", path, token) == (200, made)
        assert ask(connection, "PATCH", path, token, {"token_lifetime": 600})[0] == 200
        assert ask(connection, "DELETE", path, token) == (204, None)
        assert ask(connection, "GET", path, token)[0] == 404


@pytest.mark.parametrize("bar", ["%7C", "%7c", "|"])
def test_a_user_in_three_spellings(site: Site, bar: str) -> None:
    user = site.person()
    path = f"/users/{user.id.replace('|', bar)}"
    with connected(site) as connection:
        token = token_by_basic(site, connection)
        for _ in range(2):
            status, shown = ask(connection, "GET", path, token)
            assert (status, shown["user_id"]) == (200, user.id)
            assert ask(connection, "GET", f"{path}/roles", token) == (200, [])
        assert ask(connection, "DELETE", path, token) == (204, None)
        assert ask(connection, "GET", path, token)[0] == 404
