"""The management API: one file a resource, named as in the address. Words are Auth0's here; inside they are ours."""

from collections.abc import Callable

from flask import Blueprint, Response

from app.web.management import (
    absent,
    actions,
    attack_protection,
    authentication_methods,
    client_grants,
    clients,
    connections,
    credentials,
    emails,
    guardian,
    hooks,
    jobs,
    keys,
    log_streams,
    logs,
    mfa_policies,
    recovering,
    refresh_tokens,
    resource_servers,
    roles,
    rules,
    stats,
    tenants,
    tickets,
    user_blocks,
    users,
)
from app.web.management.operation import Operation, run

blueprint = Blueprint("management", __name__)

OPERATIONS: tuple[Operation, ...] = (
    *users.OPERATIONS,
    *authentication_methods.OPERATIONS,
    *recovering.OPERATIONS,
    *refresh_tokens.OPERATIONS,
    *roles.OPERATIONS,
    *rules.OPERATIONS,
    *actions.OPERATIONS,
    *hooks.OPERATIONS,
    *connections.OPERATIONS,
    *clients.OPERATIONS,
    *credentials.OPERATIONS,
    *resource_servers.OPERATIONS,
    *client_grants.OPERATIONS,
    *tenants.OPERATIONS,
    *guardian.OPERATIONS,
    *mfa_policies.OPERATIONS,
    *attack_protection.OPERATIONS,
    *tickets.OPERATIONS,
    *user_blocks.OPERATIONS,
    *emails.OPERATIONS,
    *jobs.OPERATIONS,
    *keys.OPERATIONS,
    *logs.OPERATIONS,
    *log_streams.OPERATIONS,
    *stats.OPERATIONS,
    *absent.OPERATIONS,
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
