"""The management API: one file a resource, named as in the address. Words are Auth0's here; inside they are ours."""

from collections.abc import Callable

from flask import Blueprint, Response

from app.web.management import (
    client_grants,
    clients,
    connections,
    resource_servers,
    users,
)
from app.web.management.operation import Operation, run

blueprint = Blueprint("management", __name__)

OPERATIONS: tuple[Operation, ...] = (
    *users.OPERATIONS,
    *connections.OPERATIONS,
    *clients.OPERATIONS,
    *resource_servers.OPERATIONS,
    *client_grants.OPERATIONS,
)


def _view(found: Operation) -> Callable[..., Response]:
    return lambda **path: run(found, path)


for _operation in OPERATIONS:
    blueprint.add_url_rule(
        _operation.rule,
        endpoint=f"{_operation.method} {_operation.path}".replace(".", "_"),
        view_func=_view(_operation),
        methods=[_operation.method],
    )
