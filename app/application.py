"""The WSGI application: everything that answers requests, put together."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from app import delivery, logs, settings, upkeep
from app.context import Server, open_server
from app.rules import files
from app.web import BLUEPRINTS, answers, cors, lifecycle, rate


class Address(Rule):
    """A rule that requests are matched with and no address is ever built from.

    Werkzeug compiles two functions of Python for the latter, which is half of a worker's start.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _cannot_build


def _cannot_build(*_: Any, **__: Any) -> tuple[str, str]:
    raise NotImplementedError("addresses are written out where they are needed")


class Belay(Flask):
    url_rule_class = Address


def create_app(server: Server | None = None) -> Flask:
    """The WSGI application. Without a server, one is opened with the settings of the environment."""
    if server is None:
        server = open_server(settings.load()[0])
        logs.configure(server.settings.log_level)
        with suppress(files.NotReadable):  # each login says so
            files.scripts_of(server)  # now: all workers have those of the same moment
        upkeep.start(server)
        delivery.start(server)
    app = Belay(__name__, static_folder=None)
    app.extensions["belay"] = server
    app.url_map.merge_slashes = False  # `//oauth/token` is no address, and no redirect
    lifecycle.install(app)
    rate.install(app)
    cors.install(app)
    answers.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.wsgi_app = lifecycle.through_gate(app.wsgi_app, server.gate)  # type: ignore[assignment,method-assign]
    return app
