"""What hooks do: to the token of a client, over HTTP, and to a message for a phone. On both databases."""

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from app import accounts
from app.channels import CHANNELS, phone
from app.channels.channel import DeliveryFailed
from app.context import Context, Server
from app.crypto import owner_of
from app.rules import runtime
from app.store import hooks
from app.store.hooks import Hook
from tests import making
from tests.channels.test_every_channel import message_for, through
from tests.making import API, APP_SECRET, Cast
from tests.wire import Wire, refused

NAME = "https://example.com/"
CANNOT = "A hook of this server could not be run."
GRANTED = ("read:things", "write:things")


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def put(server: Server, trigger: str, script: str, secrets: dict[str, str] | None = None) -> None:
    """The one hook of that trigger."""
    sealed = (
        server.keyring.seal(json.dumps(secrets).encode(), owner_of("hooks", trigger)) if secrets else None
    )
    with server.db.write() as conn:
        hooks.remove_hook(conn, trigger)
        hooks.add_hook(conn, Hook(trigger, f"The {trigger}", trigger, script, True, sealed))


def exchange(server: Server, body: str, secrets: dict[str, str] | None = None) -> None:
    script = f"module.exports = function (client, scope, audience, context, cb) {{ {body} }};"
    put(server, "credentials-exchange", script, secrets)


def machine(wire: Wire, **members: str) -> TestResponse:
    asked = {"client_id": "app", "client_secret": APP_SECRET, "audience": API} | members
    return wire.token(grant_type="client_credentials", **asked)


@pytest.fixture
def granted(wire: Wire, cast: Cast) -> None:
    making.grant_scopes(wire.server, "app", API, *GRANTED)


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


@pytest.mark.usefixtures("granted")
def test_a_hook_sets_scope_and_claims_of_a_clients_token(wire: Wire) -> None:
    body = f"""
        cb(null, {{
            scope: scope.concat('added').filter((word) => word !== 'write:things'),
            '{NAME}seen': [client.id, audience, context.body.client_secret, context.webtask.secrets.KEY],
            sub: 'somebody', plan: 'gold',
        }});"""
    exchange(wire.server, body, {"KEY": "a secret"})
    answer = wire.ok(machine(wire))
    token = claims(answer["access_token"])
    assert token["scope"] == answer["scope"] == "read:things added"
    assert token[f"{NAME}seen"] == ["app", API, None, "a secret"]
    assert token["sub"] == "app@clients" and "plan" not in token
    told = wire.events()[-1].details["hook"]
    assert told == {"name": "The credentials-exchange", "ignored_claims": ["sub", "plan"]}


@pytest.mark.usefixtures("granted")
def test_what_a_hook_does_not_speak_of_stays(wire: Wire) -> None:
    for answer in ("", "null", "null, null", "null, {}", f"null, {{'{NAME}x': 1}}"):
        exchange(wire.server, f"setTimeout(() => cb({answer}), 1);")
        assert claims(wire.ok(machine(wire, scope="read:things"))["access_token"])["scope"] == "read:things"


@pytest.mark.usefixtures("granted")
def test_a_hook_gives_nobody_the_management_of_this_server(wire: Wire) -> None:
    management = f"{wire.server.settings.issuer}api/v2/"
    making.grant_scopes(wire.server, "app", management, "read:users", "read:logs")
    exchange(wire.server, "cb(null, { scope: ['read:users', 'delete:users', 'update:hooks'] });")
    assert wire.ok(machine(wire, audience=management))["scope"] == "read:users"


DENIALS = [
    ("cb(new Error('Not today'));", 403, "access_denied", "Not today", "denied_by_hook"),
    ("cb('Not today');", 403, "access_denied", "Not today", "denied_by_hook"),
    ("cb(new UnauthorizedError('Not you'));", 401, "unauthorized", "Not you", "denied_by_hook"),
    ("throw new Error('Oh');", 403, "access_denied", "Oh", "hook_threw"),
    ("return Promise.reject(new Error('Oh'));", 403, "access_denied", "Oh", "hook_threw"),
    ("missing();", 403, "access_denied", "missing is not defined", "hook_threw"),
    ("for (;;) ;", 403, "access_denied", CANNOT, "hook_timed_out"),
    ("", 403, "access_denied", CANNOT, "hook_never_called_back"),
    (
        "const a = []; for (;;) a.push(new Array(1e5).fill(1));",
        403,
        "access_denied",
        CANNOT,
        "hook_out_of_memory",
    ),
    ("if (", 403, "access_denied", CANNOT, "hook_not_compiled"),
    ("cb(null, 'read:things');", 403, "access_denied", CANNOT, "hook_bad_answer"),
    ("cb(null, [1]);", 403, "access_denied", CANNOT, "hook_bad_answer"),
    ("cb(null, { scope: [1] });", 403, "access_denied", CANNOT, "hook_bad_answer"),
    ("const a = {}; a.a = a; cb(null, a);", 403, "access_denied", CANNOT, "hook_bad_answer"),
    (
        "auth0.users.updateAppMetadata('x', {}); cb(null, {});",
        403,
        "access_denied",
        CANNOT,
        "hook_bad_answer",
    ),
    (f"cb(null, {{ '{NAME}x': 'x'.repeat(20000) }});", 403, "access_denied", CANNOT, "hook_answer_too_large"),
    ("cb(null, { scope: 'x'.repeat(20000) });", 403, "access_denied", CANNOT, "hook_answer_too_large"),
    ("cb(null, { x: 'x'.repeat(300000) });", 403, "access_denied", CANNOT, "hook_answer_too_large"),
]


@pytest.mark.usefixtures("granted")
def test_a_hook_that_refuses_or_cannot_be_run_refuses_the_token(wire: Wire) -> None:
    for body, status, error, text, reason in DENIALS:
        exchange(wire.server, body)
        refused(machine(wire), status, error, text)
        event = wire.events()[-1]
        assert (event.type, event.reason) == ("feccft", reason), body
        assert "The credentials-exchange" in str(event.details["hook"])


# --- messages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen(ctx: Context) -> None:
    with ctx.db.write() as conn:
        accounts.put_document(conn, ctx, phone.SELECTED, {"provider": "phone-message-hook"})


def send(server: Server, body: str, secrets: dict[str, str] | None = None) -> None:
    put(server, "send-phone-message", f"function (recipient, text, context, cb) {{ {body} }}", secrets)


@pytest.mark.usefixtures("chosen")
def test_a_code_of_a_login_goes_through_the_hook(wire: Wire, cast: Cast, ctx: Context) -> None:
    send(wire.server, "cb(null, {});")
    making.switch_on(wire.server, "sms")
    making.enroll_phone(wire.server, cast.bob)
    wire.ok(wire.challenge(wire.mfa_token("bob@example.com"), challenge_type="oob"))
    (message,) = wire.messages()
    expected = {
        "message_type": "sms",
        "language": "en",
        "code": message.code,
        "action": "second-factor-authentication",
        "client_id": "app",
    }
    checks = f"""
        const expected = {json.dumps(expected)};
        const isSame = Object.keys(expected).every((name) => context[name] === expected[name]);
        const isBob = context.user.email === 'bob@example.com' && context.user.user_id === '{cast.bob.id}';
        const isMessage = recipient === '+491701234567' && text.includes(context.code);
        cb(isSame && isBob && isMessage && context.webtask.secrets.KEY === 'k' ? null : 'other', {{}});"""
    send(wire.server, checks, {"KEY": "k"})
    CHANNELS["sms"].deliver(ctx, message)
    with pytest.raises(DeliveryFailed, match="hook_denied"):
        CHANNELS["voice"].deliver(ctx, message)


@pytest.mark.usefixtures("chosen")
def test_a_hook_that_does_not_come_to_its_end_sends_nothing_twice(ctx: Context) -> None:
    for body, problem in (
        ("cb(new Error('no'));", "hook_denied"),
        ("throw new Error('no');", "hook_threw"),
        ("", "hook_never_called_back"),
        ("for (;;) ;", "hook_timed_out"),
        ("if (", "hook_not_compiled"),
        ("cb(null, 1);", "hook_bad_answer"),
    ):
        send(ctx.server, body)
        ctx = Context(ctx.server, ctx.now, ip="")  # the next message
        with pytest.raises(DeliveryFailed, match=f"^{problem}$") as failure:
            CHANNELS["sms"].deliver(ctx, message_for(CHANNELS["sms"]))
        assert not failure.value.may_repeat


@pytest.mark.usefixtures("chosen")
def test_without_the_hook_nobody_else_is_asked(ctx: Context) -> None:
    ctx = through(ctx, CHANNELS["sms"], "terminal:")
    with ctx.db.read() as conn:
        assert not CHANNELS["sms"].is_ready(ctx, conn)
    with pytest.raises(DeliveryFailed, match="no_gateway"):
        CHANNELS["sms"].deliver(ctx, message_for(CHANNELS["sms"]))


def test_a_hook_that_was_not_chosen_sends_nothing(ctx: Context, capsys: pytest.CaptureFixture[str]) -> None:
    send(ctx.server, "cb('called');")
    CHANNELS["sms"].deliver(through(ctx, CHANNELS["sms"], "terminal:"), message_for(CHANNELS["sms"]))
    assert "123456 is it" in capsys.readouterr().err
