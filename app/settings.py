"""What a deployment fixes: read once from the environment and `instance/settings.toml`, validated as a whole.

What an administrator changes while the server runs is a row in the store instead. Every setting is also taken
from a file, with `_FILE` behind its name (`BELAY_DATABASE_URL_FILE`), which is how secrets reach a container.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

BARE_NAMES = {"port": "PORT", "workers": "WEB_CONCURRENCY"}

DEFAULT_HASH_MEMORY_KIB = 19456
DEFAULT_HASH_TIME = 2


GATEWAYS = {
    "smtp_url": ("smtp", "smtps", "terminal"),
    "sms_url": ("twilio", "webhook+https", "webhook+http", "terminal"),
    "voice_url": ("twilio", "webhook+https", "webhook+http", "terminal"),
    "push_url": ("ntfy+https", "ntfy+http", "webhook+https", "webhook+http", "terminal"),
}


class SettingsInvalid(Exception):
    """Carries every problem at once, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def _gateway_problem(name: str, address: str, kinds: tuple[str, ...]) -> str | None:
    """Why an address to send through is none; it may hold a credential and is not repeated."""
    if not address:
        return None
    try:
        found = urlsplit(address)
        host, _ = found.hostname, found.port
    except ValueError:
        return f"{name} is not an address"
    if found.scheme not in kinds:
        return f"{name} must begin with one of: {', '.join(kinds)}"
    if found.scheme != "terminal" and not host:
        return f"{name} names no host"
    if found.scheme.endswith("+http") and host not in ("127.0.0.1", "localhost", "::1"):
        return f"{name} may use plain http on this machine only"
    return None


def _words(value: object) -> object:
    return tuple(part for part in value.replace(",", " ").split()) if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_words)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Settings(BaseModel):
    """Each field is the variable `BELAY_<NAME>` unless `BARE_NAMES` says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    instance: Path = Field(
        Path("instance"), description="Folder of the embedded database, keys and settings."
    )
    database_url: str = Field(
        "", description="`sqlite:///...` or `postgresql://...`; empty: SQLite in the instance."
    )
    public_url: str = Field(
        "", description="Issuer, e.g. `https://login.example.com/`; never the Host header."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(os.cpu_count() or 1, ge=1, le=256, description="Worker processes.")
    threads: int = Field(256, ge=64, le=1024, description="Requests that one worker holds at a time.")
    tls_cert: Path | None = Field(
        None, description="Certificate chain; with BELAY_TLS_KEY the server speaks TLS."
    )
    tls_key: Path | None = Field(None, description="Private key of BELAY_TLS_CERT.")
    trusted_proxies: Networks = Field(
        (), description="Networks whose X-Forwarded-For and Forwarded count; empty: none."
    )
    outgoing_networks: Networks = Field(
        (),
        description="Private networks that log streams, directories and rules may reach; empty: only the Internet.",
    )
    smtp_url: str = Field(
        "",
        description="Mail: `smtp://[user:password@]host:port` (`smtps`; `?starttls=1`, `?from=…`); `terminal:` prints.",
    )
    sms_url: str = Field(
        "",
        description="SMS: `twilio://SID:TOKEN@host?from=+1…` or `webhook+https://…`; `terminal:` prints.",
    )
    voice_url: str = Field("", description="Calls, as BELAY_SMS_URL.")
    push_url: str = Field(
        "",
        description="Push beside APNs and FCM: `ntfy+https://host` or `webhook+https://…`; `terminal:` prints.",
    )
    breach_range_url: str = Field(
        "",
        description="Leaked passwords: a range API, or `file:…` of `belay breaches build`; empty: no check.",
    )
    breach_fail_open: bool = Field(
        False, description="While that source does not answer, let in whom it would be asked about."
    )
    keyring: Path | None = Field(
        None, description="Keys for secrets at rest; default `keyring.json` in the instance."
    )
    hash_memory_kib: int = Field(DEFAULT_HASH_MEMORY_KIB, ge=8, le=4194304, description="argon2id memory.")
    hash_time: int = Field(DEFAULT_HASH_TIME, ge=1, le=64, description="argon2id passes.")
    hash_lanes: int = Field(1, ge=1, le=16, description="argon2id lanes.")
    hash_wait_seconds: float = Field(
        5.0, gt=0, le=30, description="Longest wait for a turn to hash, then 503."
    )
    sqlite_synchronous: Literal["NORMAL", "FULL"] = Field(
        "NORMAL", description="FULL survives a power cut, slower."
    )
    api_requests_per_second: int = Field(
        50, ge=1, le=1_000_000, description="Management requests of one client on one worker, then 429."
    )
    auth_requests_per_second: int = Field(
        1000, ge=1, le=1_000_000, description="Other requests of one address on one worker, then 429."
    )
    picture_url: str = Field(
        "https://s.gravatar.com/avatar/{md5}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2F{letters}.png",
        description="Picture of people without one, as Auth0 gives it; empty: none.",
    )
    rules_seconds: float = Field(
        5.0, ge=0.2, le=20, description="Longest time that all rules of one login take, then it is refused."
    )
    rules_processes: int = Field(
        8, ge=1, le=64, description="Processes for rules that one worker starts at most, as they are needed."
    )
    python_rules: Path | None = Field(
        None, description="Folder of rules in Python, which run behind all others; read again at SIGHUP."
    )
    rules_hosts: Words = Field(
        (),
        description="Hosts that rules may ask, e.g. `api.example.com *.example.org`; empty: none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Never logs a secret."
    )
    bootstrap_client_id: str = Field("", description="Management client to create at start.")
    bootstrap_client_secret: str = Field("", description="Its secret, at least 32 characters.")
    insecure_test: bool = Field(
        False,
        description="Permits cheap hashing, and log streams and directories on this machine. Tests only.",
    )

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: dict[str, object]) -> dict[str, object]:
        values = dict(values)
        instance = Path(str(values.get("instance") or "instance")).absolute()
        values["instance"] = instance
        values["database_url"] = values.get("database_url") or f"sqlite:///{instance / 'belay.db'}"
        values["keyring"] = values.get("keyring") or instance / "keyring.json"
        scheme = "https" if values.get("tls_cert") else "http"
        url = str(values.get("public_url") or f"{scheme}://127.0.0.1:{values.get('port', 8000)}/")
        values["public_url"] = url if url.endswith("/") else url + "/"
        return values

    @model_validator(mode="after")
    def _is_safe(self) -> "Settings":
        problems = []
        cheap = self.hash_memory_kib < DEFAULT_HASH_MEMORY_KIB or self.hash_time < DEFAULT_HASH_TIME
        if cheap and not self.insecure_test:
            problems.append("BELAY_HASH_MEMORY_KIB and BELAY_HASH_TIME may not go below 19456 and 2")
        if not self.database_url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            problems.append("BELAY_DATABASE_URL must begin with sqlite:/// or postgresql://")
        url = urlsplit(self.public_url)
        loopback = url.hostname in ("127.0.0.1", "localhost", "::1")
        if url.scheme != "https" and not (url.scheme == "http" and loopback):
            problems.append("BELAY_PUBLIC_URL must be an https:// address (http only on this machine)")
        if not url.hostname or url.query or url.fragment or url.username:
            problems.append("BELAY_PUBLIC_URL must be a plain address such as https://login.example.com/")
        if (self.tls_cert is None) != (self.tls_key is None):
            problems.append("BELAY_TLS_CERT and BELAY_TLS_KEY go together")
        if bool(self.bootstrap_client_id) != bool(self.bootstrap_client_secret):
            problems.append("BELAY_BOOTSTRAP_CLIENT_ID and BELAY_BOOTSTRAP_CLIENT_SECRET go together")
        if self.bootstrap_client_secret and len(self.bootstrap_client_secret) < 32:
            problems.append("BELAY_BOOTSTRAP_CLIENT_SECRET needs at least 32 characters")
        problems += [
            problem
            for name in GATEWAYS
            if (problem := _gateway_problem(variable(name), getattr(self, name), GATEWAYS[name]))
        ]
        source = self.breach_range_url
        local = ("http://127.0.0.1", "http://localhost", "http://[::1]")
        if source and not source.startswith(("https://", "file:", *local)):
            problems.append(
                "BELAY_BREACH_RANGE_URL must begin with https:// or file: (http only on this machine)"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def issuer(self) -> str:
        return self.public_url

    @property
    def keyring_path(self) -> Path:
        return self.keyring or self.instance / "keyring.json"


def variable(field: str) -> str:
    """The environment variable of a field."""
    return BARE_NAMES.get(field, f"BELAY_{field.upper()}")


def load(environ: Mapping[str, str] = os.environ) -> tuple[Settings, list[str]]:
    """Read settings; environment before `settings.toml` before defaults. Returns them with warnings.

    Raises SettingsInvalid with all problems.
    """
    problems: list[str] = []
    known = {variable(name): name for name in Settings.model_fields}
    values: dict[str, object] = {}
    for name, field in known.items():
        if name + "_FILE" in environ:
            try:
                values[field] = Path(environ[name + "_FILE"]).read_text("utf-8").strip()
            except OSError as error:
                problems.append(f"{name}_FILE: {error.strerror}")
        if environ.get(name):
            values[field] = environ[name]

    file = Path(str(values.get("instance") or "instance")) / "settings.toml"
    if file.exists():
        try:
            values = tomllib.loads(file.read_text("utf-8")) | values
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")

    warnings = []
    for name in environ:
        if name.startswith("BELAY_") and name.removesuffix("_FILE") not in known and name != "BELAY_EVIDENCE":
            close = difflib.get_close_matches(name, known, 1)
            warnings.append(f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else ""))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            where = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            problems += [f"{variable(where)}: {text}"] if where else text.split("; ")
    if problems:
        raise SettingsInvalid(problems)
    return settings, warnings
