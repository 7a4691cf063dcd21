"""First pages of the management API's lists, and pages far behind: what an administrator waits for.

Asked of the product's own server, one request after the other over one connection, so that a latency is a request's.
"""

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median
from urllib.parse import urlencode

from sqlalchemy import func, select

from app import accounts
from app.accounts.setup import MANAGEMENT_SCOPES
from app.context import Context, Server
from app.crypto import digest, random_token
from app.store import clients
from app.store.clients import Client
from app.store.events import Event, events
from app.tokens.audience import management_of
from bench.crowd import Row, insert_rows, row_of

ADMIN = "bench-admin"
REPEATS = 15
FIRST_PAGES = {
    "users": "/api/v2/users?per_page=50",
    "users with totals": "/api/v2/users?per_page=50&include_totals=true",
    "users by address": "/api/v2/users-by-email?email=person7%40example.com",
    "logs": "/api/v2/logs?per_page=50",
    "logs with totals": "/api/v2/logs?per_page=50&include_totals=true",
    "refresh tokens": "/api/v2/users/{user}/refresh-tokens",
}
FROM_THE_START, FROM_FAR = "logs from the start", "logs from far behind"


def add_admin(server: Server, now: datetime) -> str:
    """A client that may do everything; returns its secret."""
    secret, ctx = random_token(), Context(server, now, ip="")
    client = Client(ADMIN, ADMIN, "non_interactive", "client_secret_post", now)
    client = replace(client, grant_types=("client_credentials",), secret_digests=(digest(secret),))
    with server.db.write() as conn:
        clients.add_client(conn, client)
        accounts.grant_scopes(conn, ctx, ADMIN, management_of(ctx.issuer), MANAGEMENT_SCOPES)
    return secret


def add_events(server: Server, user_ids: list[str], now: datetime) -> None:
    """A login of each, one after the other until now."""

    def rows() -> Iterator[Row]:
        for number, user_id in enumerate(user_ids):
            at = now - timedelta(seconds=len(user_ids) - number)
            event = Event(at, "sepft", "", "192.0.2.1", "bench", realm="people", user_id=user_id)
            yield {name: value for name, value in row_of(event).items() if name != "id"}

    insert_rows(server, events, rows())


def far_behind(server: Server) -> int:
    """The id of an event that nine of ten lie before."""
    with server.db.read() as conn:
        return int(conn.execute(select(func.max(events.c.id))).scalar_one() * 9 // 10)


def time_lists(port: int, issuer: str, secret: str, user_id: str, far: int) -> dict[str, float]:
    """Median milliseconds of each list."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        token = _token(connection, issuer, secret)
        paths = {
            name: path.replace("{user}", user_id.replace("|", "%7C")) for name, path in FIRST_PAGES.items()
        }
        paths |= {
            FROM_THE_START: "/api/v2/logs?from=0&take=50",
            FROM_FAR: f"/api/v2/logs?from={far}&take=50",
        }
        return {f"{name} ms": _time(connection, path, token) for name, path in paths.items()}
    finally:
        connection.close()


def _token(connection: http.client.HTTPConnection, issuer: str, secret: str) -> str:
    members = {
        "grant_type": "client_credentials",
        "client_id": ADMIN,
        "client_secret": secret,
        "audience": management_of(issuer),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/oauth/token", urlencode(members), headers)
    return str(json.loads(connection.getresponse().read())["access_token"])


def _time(connection: http.client.HTTPConnection, path: str, token: str) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            time.sleep(1)
            continue
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} answered {answer.status}")
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)
