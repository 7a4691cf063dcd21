"""Everything that is kept: one file a table family, with its rows as values and all queries on it.

SQLAlchemy's query functions are imported only here. What is sealed is sealed by the caller; what is counted or used
up is one conditional statement. Importing the package makes the metadata whole, which migrations rely on.
"""

from app.store import (
    actions,
    apis,
    attempts,
    authenticators,
    buckets,
    challenges,
    client_grants,
    clients,
    documents,
    events,
    jobs,
    log_streams,
    opaque_tokens,
    outbox,
    password_history,
    realms,
    refresh_families,
    roles,
    rules,
    signing_keys,
    tenant,
    tickets,
    transactions,
    users,
)

__all__ = [
    "actions",
    "apis",
    "attempts",
    "authenticators",
    "buckets",
    "challenges",
    "client_grants",
    "clients",
    "documents",
    "events",
    "jobs",
    "log_streams",
    "opaque_tokens",
    "outbox",
    "password_history",
    "realms",
    "refresh_families",
    "roles",
    "rules",
    "signing_keys",
    "tenant",
    "tickets",
    "transactions",
    "users",
]
