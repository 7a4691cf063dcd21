"""Logs: one JSON object a line on standard output, coloured lines on a terminal. Never a secret at any level."""

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Send our own lines straight to standard output, and the standard library's through the same processors."""
    stamp = structlog.processors.TimeStamper("iso", utc=True, key="ts")
    render: structlog.typing.Processor = structlog.processors.JSONRenderer(separators=(",", ":"))
    if sys.stdout.isatty():
        render = structlog.dev.ConsoleRenderer(event_key="event", timestamp_key="ts")
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, render],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
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
