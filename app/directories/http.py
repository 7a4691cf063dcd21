"""The customer's own login service, asked with a signed request: for people who move over one login at a time.

With `import_mode` the password's hash is kept at the first login that the service says yes to, and from then on the
person is judged here like everybody else.
"""

import json
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from app import http_out
from app.context import Context
from app.directories import connectivity
from app.directories.bulkhead import Bulkhead
from app.directories.database import DatabaseDirectory
from app.directories.directory import CannotAsk, Found, Identity, place
from app.directories.identity import identity, user_id
from app.directories.options import HttpOptions, http_options, networks, secret_of
from app.errors import TemporarilyUnavailable
from app.gate import GateFull
from app.http_out import Answer
from app.identifiers import normal_key
from app.passwords import PasswordUnusable
from app.store.realms import Realm
from app.store.users import User, find_user_by_key

PREFIX = "custom"
NO = {401: "wrong_password", 404: "unknown_user"}
_KEPT_HERE = DatabaseDirectory()


class HttpDirectory:
    def __init__(self) -> None:
        self._bulkhead = Bulkhead()

    def place(self, ctx: Context, realm: Realm, user: User | None) -> AbstractContextManager[None]:
        return nullcontext() if _is_kept_here(user) else place(ctx, self._bulkhead, realm)

    def look_up(self, conn: Connection, realm: Realm, username: str) -> User | None:
        return find_user_by_key(conn, realm.id, normal_key(username) or "")

    def authenticate(
        self, ctx: Context, realm: Realm, user: User | None, username: str, password: str
    ) -> Found:
        if _is_kept_here(user):
            return _KEPT_HERE.authenticate(ctx, realm, user, username, password)
        answer = self._ask(ctx, realm, http_options(realm), username, password)
        if answer.status in NO:
            return Found(user, False, reason=NO[answer.status])
        if answer.status != 200:
            raise CannotAsk(f"directory_status_{answer.status}")
        found = _identity(realm, username, answer.body)
        new_hash = None
        if realm.options.get("import_mode") is True:
            with suppress(TemporarilyUnavailable, PasswordUnusable):  # the next login does it
                new_hash = ctx.server.passwords.hash(password)
        return Found(user, True, new_hash, identity=found)

    def find(self, ctx: Context, realm: Realm, user: User) -> bool:
        return True  # the service can only be asked with a password

    def asks_again_after(self, realm: Realm) -> timedelta | None:
        return None

    def check(self, ctx: Context, realm: Realm) -> str:
        """Whether somebody listens there; a login that is made up would stand in somebody's log."""
        url = http_out.check_url(http_options(realm).url, permits_http=True)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            sock = http_out.connect(
                url.host,
                port,
                networks=networks(ctx.settings),
                deadline=time.monotonic() + http_out.CONNECT_SECONDS,
            )
            with sock:
                if url.scheme == "https":
                    http_out.trusted_authorities().wrap_socket(sock, server_hostname=url.host).close()
        except http_out.Forbidden as refusal:
            raise CannotAsk("forbidden_address", says=str(refusal)) from None
        except http_out.Failed as failure:
            raise CannotAsk("directory_unreachable", says=str(failure)) from None
        except OSError:
            raise CannotAsk("directory_unreachable", says="tls_failed") from None
        return f"{url.scheme}://{url.host}:{port}"

    def _ask(self, ctx: Context, realm: Realm, options: HttpOptions, username: str, password: str) -> Answer:
        """Raises CannotAsk."""
        body = json.dumps(
            {
                "username": username,
                "password": password,
                "realm": realm.name,
                "client_id": ctx.facts.client_id,
                "ip": ctx.ip,
                "request_id": ctx.request_id,
            }
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Belay-Signature": http_out.signature(secret_of(ctx, realm), body, ctx.now),
        }
        name = _origin(options.url)
        if not self._bulkhead.may_ask(connectivity.key_of(realm, name)):
            raise CannotAsk("directory_unreachable", says="resting")
        try:
            with ctx.server.gate.waiting():
                answer = http_out.post(
                    options.url,
                    body,
                    headers,
                    networks=networks(ctx.settings),
                    permits_http=ctx.settings.insecure_test,
                    total_seconds=options.timeout_ms / 1000,
                )
        except GateFull:
            raise CannotAsk("directory_busy") from None
        except http_out.Forbidden as refusal:
            raise CannotAsk("forbidden_address", says=str(refusal)) from None
        except http_out.Failed as failure:
            connectivity.failed(ctx, self._bulkhead, realm, name, str(failure))
            raise CannotAsk("directory_unreachable", says=str(failure)) from None
        connectivity.answered(ctx, self._bulkhead, realm, name)
        return answer


def _origin(url: str) -> str:
    """What a log may tell of an address: some carry a secret in their path."""
    found = urlsplit(url)
    return f"{found.scheme}://{found.hostname}" + (f":{found.port}" if found.port else "")


def _is_kept_here(user: User | None) -> bool:
    return user is not None and user.password_hash is not None


def _identity(realm: Realm, username: str, body: bytes) -> Identity:
    """Raises CannotAsk for an answer that is no user."""
    try:
        given: Any = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict) and isinstance(given.get("user"), dict):
        given = given["user"]
    if not isinstance(given, dict):
        raise CannotAsk("directory_answer_not_understood")
    subject = next((given[name] for name in ("user_id", "email", "username") if given.get(name)), "")
    is_text = type(subject) in (str, int)
    id = user_id(PREFIX, realm.name, str(subject)) if is_text else None
    if id is None:
        raise CannotAsk("entry_without_subject")
    metadata = {
        name: given[name] for name in ("user_metadata", "app_metadata") if isinstance(given.get(name), dict)
    }
    found = identity(id, given, first_metadata=metadata)
    names = {normal_key(name) for name in (found.email, found.username, found.phone_number) if name}
    if found.username is None and normal_key(username) not in names:
        # What the person is found by at the next login.
        return identity(id, given | {"username": username}, first_metadata=metadata)
    return found
