"""Belay: an OAuth server for the password grant that cannot skip the second factor."""

from flask import Flask

from app import delivery, logs, settings, upkeep
from app.context import Server, open_server
from app.web import BLUEPRINTS, answers, cors, lifecycle


def create_app(server: Server | None = None) -> Flask:
    """The WSGI application. Without a server, one is opened with the settings of the environment."""
    if server is None:
        server = open_server(settings.load()[0])
        logs.configure(server.settings.log_level)
        upkeep.start(server)
        delivery.start(server)
    app = Flask(__name__, static_folder=None)
    app.extensions["belay"] = server
    app.url_map.merge_slashes = False  # `//oauth/token` is no address, and no redirect
    lifecycle.install(app)
    cors.install(app)
    answers.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.wsgi_app = lifecycle.through_gate(app.wsgi_app, server.gate)  # type: ignore[assignment,method-assign]
    return app
