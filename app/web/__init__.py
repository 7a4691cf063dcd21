"""The HTTP surface, one file an endpoint family. With `cli` and the factory it is the only place that knows Flask.

Here wire words are translated: Auth0's outside, ours inside. Nothing is decided here.
"""

from flask import Blueprint

from app.web import (
    dbconnections,
    downloads,
    enrollment_page,
    guardian,
    health,
    management,
    mfa,
    oauth,
    openapi,
    passkey,
    rich_consents,
    ticket,
    well_known,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    oauth.blueprint,
    mfa.blueprint,
    well_known.blueprint,
    health.blueprint,
    openapi.blueprint,
    passkey.blueprint,
    downloads.blueprint,
    management.blueprint,
    dbconnections.blueprint,
    ticket.blueprint,
    guardian.blueprint,
    rich_consents.blueprint,
    enrollment_page.blueprint,
)
