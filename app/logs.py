"""Logs: one JSON object a line on standard output, coloured lines on a terminal. Never a secret at any level."""

import logging
import sys

import structlog


def configure(level: str) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("iso", key="ts"),
    ]
    render: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stdout.isatty():
        render = structlog.dev.ConsoleRenderer(event_key="event", timestamp_key="ts")
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger("belay")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
