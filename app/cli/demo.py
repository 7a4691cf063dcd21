"""`belay demo`: two realms, one API, two applications, four people, and a tour to copy."""

import os
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click
import pyotp

from app import accounts
from app.cli.server import require_port, run
from app.cli.shared import EXIT_NOT_READY, Failed, open_here
from app.context import Context, Server
from app.crypto import owner_of, random_id
from app.errors import Refusal
from app.factors import vocabulary
from app.store import authenticators, clients, schema, tenant
from app.store.apis import Api
from app.store.authenticators import Authenticator
from app.store.clients import Client

TOUR = Path(__file__).with_name("tour.sh")

API = "https://orders.example.com"
PUBLIC_CLIENT = "demo-cli"
CONFIDENTIAL_CLIENT = "demo-backend"
ALICE = "alice@example.com"
GRANTS = ("password", "password-realm", "mfa", "refresh_token")


@click.command()
@click.option("--serve/--no-serve", default=True, help="Start the server behind the tour.", show_default=True)
def demo(serve: bool) -> None:
    """Make demo data where there is none, print a tour of curl lines, and serve.

    Passwords and secrets are made up anew for every instance and kept in `demo.env` in its folder (0600).
    """
    for name in ("BELAY_SMS_URL", "BELAY_VOICE_URL", "BELAY_SMTP_URL", "BELAY_PUSH_URL"):
        os.environ.setdefault(name, "terminal:")  # codes appear where the server runs
    server = open_here()
    if serve:
        require_port(server.settings)
    try:
        schema.upgrade(server.db)
        now = datetime.now(UTC)
        accounts.install(server, now)
        values = _values(server, now)
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None
    click.echo(tour(values))
    if serve:
        click.echo(f"Belay listens at {values['BELAY']} - Ctrl-C ends it.\n", err=True)
        run(server)


def tour(values: dict[str, str]) -> str:
    """The lines to copy, with the real values in the place of the variables."""

    def fill(found: re.Match[str]) -> str:
        return values.get(found[1], found[0])

    lines = re.sub(r"\$([A-Z_]+)", fill, TOUR.read_text("utf-8"))
    return f"# --- a tour; copy it into a second terminal in this folder ---\n\n{lines}\n# --- end of the tour ---\n"


def _values(server: Server, now: datetime) -> dict[str, str]:
    """The demo's variables, with the data behind them; made at the first call."""
    file = server.settings.instance / "demo.env"
    with server.db.read() as conn:
        exists = clients.find_client(conn, PUBLIC_CLIENT) is not None
    if exists:
        if not file.exists():
            raise Failed(f"this database has other data than the demo's, and {file} is missing")
        values = dict(line.split("=", 1) for line in file.read_text("utf-8").splitlines() if "=" in line)
        values = {name: shlex.split(value)[0] for name, value in values.items()}
    else:
        values = _seed(server, now)
    values["BELAY"] = server.settings.issuer.rstrip("/")
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    return values


def _seed(server: Server, now: datetime) -> dict[str, str]:
    employee_password, customer_password = accounts.initial_password(), accounts.initial_password()
    hashes = {
        word: accounts.hash_new_password(server, word) for word in (employee_password, customer_password)
    }
    bob_secret, dora_secret = pyotp.random_base32(), pyotp.random_base32()
    ctx = Context(server, now, ip="")
    with server.db.write() as conn:
        public = Client(
            PUBLIC_CLIENT, "Demo command line", "native", "none", now, accounts.grant_types_of(list(GRANTS))
        )
        confidential = Client(
            CONFIDENTIAL_CLIENT,
            "Demo back end",
            "regular_web",
            "client_secret_post",
            now,
            accounts.grant_types_of([*GRANTS, "client_credentials"]),
        )
        accounts.create_client(conn, ctx, public)
        secret = accounts.create_client(conn, ctx, confidential) or ""
        orders = Api(
            random_id(24, accounts.HEX),
            API,
            "Orders",
            now,
            ("read:orders", "write:orders"),
            allow_offline_access=True,
        )
        accounts.create_api(conn, ctx, orders)
        accounts.grant_scopes(conn, ctx, CONFIDENTIAL_CLIENT, API, ("read:orders",))
        people = (
            ("employees", "always", employee_password, "bob@example.com", bob_secret),
            ("customers", "when_enrolled", customer_password, "dora@example.com", dora_secret),
        )
        for name, mode, password, enrolled, totp_secret in people:
            realm = accounts.create_realm(
                conn, ctx, accounts.new_realm(name, now, options={"disable_signup": True})
            )
            accounts.set_mfa_mode(conn, ctx, realm, mode)
            accounts.set_clients(conn, ctx, realm, (PUBLIC_CLIENT, CONFIDENTIAL_CLIENT))
            alice = accounts.new_user(realm, now, email=ALICE, email_verified=True, name=f"Alice of {name}")
            other = accounts.new_user(realm, now, email=enrolled, email_verified=True)
            for user in (alice, other):
                accounts.create_user(conn, ctx, user, hashes[password])
            totp_id = f"totp|dev_{random_id()}"
            sealed = server.keyring.seal(totp_secret.encode(), owner_of("authenticators", totp_id))
            authenticators.add_authenticator(
                conn, Authenticator(totp_id, other.id, "totp", now, sealed_secret=sealed, confirmed_at=now)
            )
        switched = vocabulary.switches(None) | {"sms": True, "email": True}
        ctx = Context(server, now, ip="")  # the server's own settings are nobody's
        accounts.put_document(conn, ctx, vocabulary.DOCUMENT, switched)
        accounts.update_tenant(conn, ctx, tenant.get_tenant(conn), default_directory="customers")
    return {
        "API": API,
        "PUBLIC_CLIENT": PUBLIC_CLIENT,
        "CONFIDENTIAL_CLIENT": CONFIDENTIAL_CLIENT,
        "CONFIDENTIAL_SECRET": secret,
        "EMPLOYEE_PASSWORD": employee_password,
        "CUSTOMER_PASSWORD": customer_password,
        "BOB_TOTP_SECRET": bob_secret,
        "DORA_TOTP_SECRET": dora_secret,
    }
