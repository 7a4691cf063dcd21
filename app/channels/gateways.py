"""Through what a channel sends: a gateway is named by an address such as `twilio://SID:TOKEN@host?from=+1…`.

What an administrator wrote through the management API comes first, then the setting of the environment.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit


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
