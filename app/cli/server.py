"""`belay serve`, `belay doctor`, `belay config`."""

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer

from app import accounts, logs, mfa, settings, upkeep
from app.cli.shared import (
    EXIT_CONFIGURATION,
    EXIT_NOT_READY,
    Failed,
    json_option,
    load_settings,
    open_here,
    require_schema,
    show_all,
)
from app.context import Context, Server
from app.crypto import SealBroken, owner_of
from app.directories import DIRECTORIES
from app.directories.directory import CannotAsk
from app.errors import Refusal
from app.factors import FACTORS, vocabulary
from app.guards import breached_password
from app.leaked_file import NoSuchFile
from app.policy import policy_of
from app.rules import files
from app.settings import Settings
from app.store import realms, schema, signing_keys, tenant
from app.store.realms import Realm
from app.store.signing_keys import Signer
from app.tokens.signing import DEFAULT_ALGORITHM

MAX_HEADER_BYTES = 32 * 1024
RESPAWN_PAUSE_SECONDS = 0.3  # a worker that cannot start must not take a core


def run(server: Server) -> None:
    """Serve until a signal. Runs in the foreground; workers are processes of their own."""
    server.db.dispose()
    import_module("app.application")  # once here, and not once in every worker
    wsgi_server(server.settings, "app:create_app").serve()


def wsgi_server(found: Settings, target: str) -> AbstractServer[Any]:
    """The server that runs a WSGI factory as Belay's own."""
    server = Granian(
        target,
        factory=True,
        interface=Interfaces.WSGI,
        address=found.host,
        port=found.port,
        workers=found.workers,
        blocking_threads=found.threads,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=MAX_HEADER_BYTES, header_read_timeout=10_000),
        backlog=1024,
        backpressure=found.threads,
        log_enabled=True,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        ssl_cert=found.tls_cert,
        ssl_key=found.tls_key,
    )
    server.respawned_wrks = Respawns()
    return server


class Respawns(dict[int, float]):
    """Granian ends when a worker dies twice within seconds. Logins must go on: it is started again, after a pause."""

    def __setitem__(self, worker: int, at: float) -> None:
        time.sleep(RESPAWN_PAUSE_SECONDS)


def require_port(found: Settings) -> None:
    """Two servers that share a port would answer in turns, each from its own database."""
    family = socket.AF_INET6 if ":" in found.host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((found.host, found.port))
        except OSError as error:
            text = f"{found.host}:{found.port} cannot be used ({error.strerror}); PORT chooses another"
            raise Failed(text, EXIT_CONFIGURATION) from None


@click.command()
@click.option("--migrate", is_flag=True, help="Bring the database's schema up to date first.")
def serve(migrate: bool) -> None:
    """Run the production server.

    Refuses to start on a database with another schema unless --migrate is given.
    """
    server = open_here()
    require_port(server.settings)
    try:
        if migrate:
            schema.upgrade(server.db)
        require_schema(server)
        _require_keys(server)
        accounts.install(server, datetime.now(UTC))
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None
    with suppress(OSError):  # a log without room must not keep the server from starting
        click.echo(
            f"belay {version('belay')} at {server.settings.issuer}: {server.settings.workers} workers, "
            f"one password hash takes {server.passwords.milliseconds:.1f} ms",
            err=True,
        )
    run(server)


@click.command()
def worker() -> None:
    """Send messages and log streams and work off jobs, beside servers that answer requests.

    Every `belay serve` does so too; workers take that off them. Any number may run.
    """
    server = open_here()
    try:
        require_schema(server)
        _require_keys(server)
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None
    logs.configure(server.settings.log_level)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    upkeep.start(server)
    import_module("app.delivery").start(server)  # it loads much of the API, which no other command needs
    click.echo(f"belay {version('belay')} worker for {server.settings.issuer}", err=True)
    stopped.wait()


def _require_keys(server: Server) -> None:
    """Serving with a ring that opens nothing would sign nothing, and seal new secrets with a stray key."""
    with server.db.read() as conn:
        problem = _ring_problem(server, signing_keys.list_signers(conn))
    if problem is not None:
        raise Failed(problem, EXIT_CONFIGURATION)


def _ring_problem(server: Server, signers: dict[str, Signer]) -> str | None:
    """Why the key ring is not this database's, or None."""
    try:
        for signer in signers.values():
            server.keyring.open(signer.sealed_private, owner_of("signing_keys", signer.kid))
    except SealBroken as error:
        return f"{error}; restore the key ring {server.settings.keyring_path} that belongs to this database"
    return None


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look for what would stop people from logging in, and say what to do."""
    server = open_here()
    found: list[dict[str, object]] = []

    def note(what: str, ok: bool, text: str) -> None:
        found.append({"check": what, "ok": ok, "says": text})

    try:
        with server.db.read() as conn:
            at = schema.current(conn)
            is_current = at == schema.head()
            note("database", True, "SQLite" if server.db.is_sqlite else "PostgreSQL")
            note("schema", is_current, f"version {at}" if is_current else "run: belay db upgrade")
            if is_current:
                signers = signing_keys.list_signers(conn)
                note(
                    "signing key", DEFAULT_ALGORITHM in signers, ", ".join(signers) or "run: belay db upgrade"
                )
                problem = _ring_problem(server, signers)
                note("key ring", problem is None, problem or str(server.settings.keyring_path))
                known = realms.list_realms(conn)
                note("realms", bool(known), f"{len(known)}" if known else "run: belay realms create NAME")
                default = tenant.get_tenant(conn).default_directory
                text = default or "none: the plain password grant needs `belay realms update NAME --default`"
                note("default realm", True, text)
        if is_current:
            _note_directories(server, known, note)
            _note_factors(server, known, note)
    except Refusal as error:
        note("database", False, f"does not answer ({error.reason}); check BELAY_DATABASE_URL")
    fast = server.passwords.milliseconds
    note(
        "password hash", True, f"{fast:.1f} ms with {server.settings.hash_memory_kib} KiB, {_argon2_build()}"
    )
    mode = os.stat(server.settings.instance).st_mode & 0o777
    note("instance folder", mode == 0o700, f"{server.settings.instance} ({mode:o})")
    server.db.dispose()
    is_local = server.settings.issuer.startswith("http://")
    note("public address", True, server.settings.issuer + (" (this machine only)" if is_local else ""))
    try:
        says = breached_password.describe(server)
    except NoSuchFile as error:
        note("breached passwords", False, str(error))
    else:
        note("breached passwords", True, says or "not checked: no source is configured")
    if (folder := server.settings.python_rules) is not None:
        problems = files.problems_of(folder)
        note("rules in Python", not problems, "; ".join(problems) or str(folder))
    if as_json:
        show_all(found, (), True)
    else:
        for line in found:
            click.echo(f"{'ok  ' if line['ok'] else 'BAD '} {line['check']}: {line['says']}")
    if not all(line["ok"] for line in found):
        sys.exit(EXIT_NOT_READY)


def _note_factors(server: Server, known: Sequence[Realm], note: Callable[[str, bool, str], None]) -> None:
    """What is switched on and cannot be sent through, and realms that ask for what nobody can enrol."""
    ctx = Context(server, datetime.now(UTC), ip="")
    with server.db.read() as conn:
        for kind in sorted(vocabulary.enabled_kinds(ctx, conn) & set(FACTORS)):
            if not FACTORS[kind].is_ready(ctx, conn):
                setting = GATEWAY_OF.get(kind, "a gateway")
                note(
                    f"factor {kind}",
                    False,
                    f"people may enrol it and nothing sends: set {setting}, or switch it off",
                )
        policies = tenant.get_tenant(conn).mfa_policies
        for realm in known:
            policy = policy_of(realm.mfa_policy, policies)
            if realm.is_enabled and policy.mode in ("always", "adaptive"):
                found = mfa.enrollable(ctx, conn, policy, policy.terms.allows(()))
                names = ", ".join(sorted(f.kind for f in found if f.is_challengeable))
                text = names or "none of the factors that the policy allows is switched on and can be sent"
                note(f"factors for {realm.name}", bool(names), text)


GATEWAY_OF = {
    "sms": "BELAY_SMS_URL",
    "voice": "BELAY_VOICE_URL",
    "email": "BELAY_SMTP_URL",
    "push": "BELAY_PUSH_URL",
}


def _note_directories(server: Server, known: Sequence[Realm], note: Callable[[str, bool, str], None]) -> None:
    """Without a connection to the database held: a directory may take its time."""
    ctx = Context(server, datetime.now(UTC), ip="")
    for realm in known:
        if realm.kind != "database" and realm.is_enabled:
            try:
                note(f"directory of {realm.name}", True, DIRECTORIES[realm.kind].check(ctx, realm))
            except CannotAsk as problem:
                note(f"directory of {realm.name}", False, f"cannot be asked: {problem.says}")


def _argon2_build() -> str:
    """Whether the AVX2 build was taken; its files carry no tag of their own, so the installer leaves a mark."""
    mark = os.path.join(sys.prefix, ".argon2-avx2")
    return (
        "built for AVX2" if os.path.exists(mark) else "the portable wheel (a build for AVX2 is twice as fast)"
    )


@click.group()
def config() -> None:
    """Settings."""


@config.command()
@json_option
def check(as_json: bool) -> None:
    """Print every setting with its value and where it comes from; secrets are masked."""
    found = load_settings()
    lines = []
    for name in settings.Settings.model_fields:
        value = getattr(found, name)
        variable = settings.variable(name)
        is_secret = name.endswith("secret")
        if name.endswith("_url") and "@" in str(value):
            value = re.sub(r"//[^/]*@", "//***@", str(value))
        source = (
            "environment" if variable in os.environ or variable + "_FILE" in os.environ else "file or default"
        )
        if name in settings.GATEWAYS:  # a webhook may carry a key behind its question mark
            value = re.sub(r"\?.*", "?***", str(value))
        shown = "***" if is_secret and value else "" if value is None else str(value)
        lines.append({"variable": variable, "value": shown, "source": source})
    show_all(lines, ("variable", "value", "source"), as_json)


__all__ = ["EXIT_CONFIGURATION", "config", "doctor", "run", "serve", "worker"]
