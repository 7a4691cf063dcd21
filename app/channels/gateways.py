"""Through what a channel sends: a gateway is named by an address such as `twilio://SID:TOKEN@host?from=+1…`.

What an administrator wrote through the management API comes first, then the setting of the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from app import http_out
from app.channels.channel import DeliveryFailed
from app.context import Context


@dataclass(frozen=True)
class Gateway:
    """An address taken apart."""

    kind: str
    host: str = ""
    port: int | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """`https://host[:port]`; http only for this machine, where a test or a proxy listens."""
        scheme = "http" if self.host in ("127.0.0.1", "localhost", "::1") else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" + (f":{self.port}" if self.port else "")


def read_gateway(address: str) -> Gateway:
    """Raises ValueError for what is no address."""
    found = urlsplit(address)
    return Gateway(
        kind=found.scheme,
        host=found.hostname or "",
        port=found.port,
        username=unquote(found.username or ""),
        password=unquote(found.password or ""),
        path=found.path,
        options=dict(parse_qsl(found.query)),
    )


def ask(
    ctx: Context, url: str, body: bytes, headers: Mapping[str, str], *, is_local: bool = False, **more: Any
) -> http_out.Answer:
    """The answer to a POST, whatever its status. Raises DeliveryFailed.

    An answer that never came may hide a message that went out: it is not sent again.
    """
    networks = ctx.settings.outgoing_networks + (http_out.LOOPBACK if is_local else ())
    try:
        return http_out.post(url, body, headers, networks=networks, permits_http=is_local, **more)
    except http_out.Forbidden:
        raise DeliveryFailed("forbidden_address", may_repeat=False) from None
    except http_out.Failed as failure:
        raise DeliveryFailed(str(failure), may_repeat=failure.was_not_sent) from None


def check(status: int) -> None:
    """Raises DeliveryFailed for a message that was not taken; only for some reasons it may be later."""
    if not 200 <= status < 300:
        raise DeliveryFailed(f"status_{status}", may_repeat=status in (408, 425, 429) or status >= 500)
