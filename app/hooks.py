"""Hooks at work: which one is enabled at a trigger, and what it answers when it is called."""

from sqlalchemy import Connection

from app.context import Context
from app.rules import runtime
from app.rules.process import Program, Script
from app.rules.rule import Answered, Denied, Failed
from app.store import hooks
from app.store.hooks import Hook

CREDENTIALS_EXCHANGE = "credentials-exchange"
SEND_PHONE_MESSAGE = "send-phone-message"
RUN_HERE = (CREDENTIALS_EXCHANGE, SEND_PHONE_MESSAGE)


def in_force(ctx: Context, conn: Connection, trigger: str) -> Hook | None:
    """The one that is enabled; from memory as a rule."""
    return ctx.look_up(conn, hooks.find_enabled, trigger)


def call(ctx: Context, hook: Hook, *args: object) -> Answered | Denied | Failed:
    """Call it with these; the last is its context. Raises TemporarilyUnavailable."""
    return runtime.call(ctx.server, _program_of(ctx, hook), args)


def open_secrets(ctx: Context, hook: Hook) -> dict[str, str]:
    """Raises TemporarilyUnavailable when the key ring does not open them."""
    return ctx.open_secrets("hooks", hook.id, hook.sealed_secrets)


def _program_of(ctx: Context, hook: Hook) -> Program:
    """Opened once as long as the hook is the same."""
    place = f"hook {hook.trigger}"
    known = ctx.server.running.get(place)
    if isinstance(known, tuple) and known[0] == hook:
        found: Program = known[1]
        return found
    program = Program((Script(hook.name, hook.script, "hook", open_secrets(ctx, hook)),))
    ctx.server.running[place] = (hook, program)
    return program
