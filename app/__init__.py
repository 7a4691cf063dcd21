"""Belay: an OAuth server for the password grant that cannot skip the second factor."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.context import Server


def create_app(server: "Server | None" = None) -> "Flask":
    """The WSGI application. Without a server, one is opened with the settings of the environment."""
    from app import application  # noqa: PLC0415 - a command that serves nothing need not load all that serves

    return application.create_app(server)
