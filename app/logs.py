"""Logs: one JSON object a line on standard output, coloured lines on a terminal. Never a secret at any level."""

import logging
import sys
from contextlib import suppress

import structlog


class _Output:
    """Standard output that may be full or gone: a login must not fail for its log line."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()


def _harmless(line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What a client sent must not steer the terminal."""
    return {name: _visible(value) if isinstance(value, str) else value for name, value in line.items()}


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def configure(level: str) -> None:
    """Send our own lines straight to standard output, and the standard library's through the same processors."""
    stamp = structlog.processors.TimeStamper("iso", utc=True, key="ts")
    render: structlog.typing.Processor = structlog.processors.JSONRenderer(separators=(",", ":"))
    if sys.stdout.isatty():
        console = structlog.dev.ConsoleRenderer(event_key="event", timestamp_key="ts")

        def render(logger: object, name: str, line: structlog.typing.EventDict) -> str:
            return str(console(logger, name, _harmless(line)))

    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, render],
        logger_factory=structlog.WriteLoggerFactory(_Output()),  # type: ignore[arg-type]
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger("belay")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
