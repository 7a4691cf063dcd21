"""The audit log: one row for every authentication decision and every administrative change. Only ever added to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    literal,
    select,
)

from app.store.base import BigId, UTCDateTime, count, metadata, value_of

# The member of an event's details that tells how long a login waited for its factor.
SECONDS_TO_PASS = "seconds_to_pass"  # noqa: S105 - a name

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", UTCDateTime, nullable=False, index=True),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("realm", Text),
    Column("client_id", Text),
    Column("user_id", Text, index=True),
    Column("user_name", Text),
    Column("ip", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("factor", Text),
    Column("request_id", Text, nullable=False),
    Column("details", JSON, nullable=False),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Event:
    at: datetime
    type: str
    """Auth0's log type code, e.g. `sepft`."""
    reason: str
    """Why, for the administrator only; empty for a success that needs no reason."""
    ip: str
    request_id: str
    realm: str | None = None
    client_id: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    """The identifier as it was typed."""
    user_agent: str = ""
    factor: str | None = None
    details: dict[str, object] = field(default_factory=dict)
    id: int | None = None


_ADD = insert(events).values({name: bindparam(name) for name in Event.__dataclass_fields__ if name != "id"})


def add_event(conn: Connection, event: Event) -> None:
    values = {name: getattr(event, name) for name in Event.__dataclass_fields__ if name != "id"}
    conn.execute(_ADD, values)


def add_events(conn: Connection, many: Sequence[Event]) -> None:
    if many:
        names = [name for name in Event.__dataclass_fields__ if name != "id"]
        conn.execute(_ADD, [{name: getattr(event, name) for name in names} for event in many])


def list_events(
    conn: Connection,
    *,
    limit: int,
    after: int | None = None,
    type: str | None = None,
    realm: str | None = None,
    user_id: str | None = None,
    client_id: str | None = None,
) -> Sequence[Event]:
    """Newest `limit` in order of time; with `after`, the oldest of those that came behind that id."""
    found = select(events)
    for column, value in (
        (events.c.type, type),
        (events.c.realm, realm),
        (events.c.user_id, user_id),
        (events.c.client_id, client_id),
    ):
        if value is not None:
            found = found.where(column == value)
    if after is not None:
        rows = conn.execute(found.where(events.c.id > after).order_by(events.c.id).limit(limit))
        return [value_of(Event, row) for row in rows]
    rows = conn.execute(found.order_by(events.c.id.desc()).limit(limit))
    return [value_of(Event, row) for row in reversed(rows.all())]


def list_events_of_second(conn: Connection, second: datetime, *, limit: int) -> list[Event]:
    of_second = (events.c.at >= second) & (events.c.at < second + timedelta(seconds=1))
    return [value_of(Event, row) for row in conn.execute(select(events).where(of_second).limit(limit))]


Condition = ColumnElement[bool]


def of_user(user_id: str) -> Condition:
    return events.c.user_id == user_id


def search_events(
    conn: Connection, condition: Condition | None, *, limit: int, offset: int = 0, is_ascending: bool = False
) -> list[Event]:
    """In order of ids, which is that of time."""
    found = select(events) if condition is None else select(events).where(condition)
    found = found.order_by(events.c.id if is_ascending else events.c.id.desc())
    return [value_of(Event, row) for row in conn.execute(found.limit(limit).offset(offset))]


def count_events(conn: Connection, condition: Condition | None, *, up_to: int) -> int:
    found = select(events.c.id)
    return count(conn, found if condition is None else found.where(condition), up_to=up_to)


def find_event(conn: Connection, event_id: int) -> Event | None:
    row = conn.execute(select(events).where(events.c.id == event_id)).first()
    return value_of(Event, row) if row else None


def newest_id(conn: Connection) -> int:
    """Zero where there is no event."""
    return int(conn.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one())


def id_before(conn: Connection, moment: datetime) -> int:
    """The event behind which everything since that moment comes."""
    first = conn.execute(select(func.min(events.c.id)).where(events.c.at >= moment)).scalar()
    return newest_id(conn) if first is None else int(first) - 1


def running_transactions(conn: Connection) -> tuple[int, int]:
    """(the oldest that may still write, the first that has not begun); on SQLite nobody writes beside another.

    PostgreSQL hands out ids before commits, so an event may become visible behind one with a greater id.
    """
    if conn.dialect.name == "sqlite":
        return 0, 0
    snapshot = func.pg_current_snapshot()
    oldest, first = func.pg_snapshot_xmin(snapshot), func.pg_snapshot_xmax(snapshot)
    row = conn.execute(select(cast(cast(oldest, Text), BigId), cast(cast(first, Text), BigId))).one()
    return int(row[0]), int(row[1])


def _day(conn: Connection) -> ColumnElement[str]:
    if conn.dialect.name == "sqlite":
        return func.strftime(literal("%Y-%m-%d", Text), events.c.at, type_=Text)
    return func.to_char(func.timezone("UTC", events.c.at), literal("YYYY-MM-DD", Text), type_=Text)


def count_of_realm(
    conn: Connection, realm: str, since: datetime, until: datetime
) -> list[tuple[str, str, str, str, int]]:
    """(day as YYYY-MM-DD, type, reason, factor, how many) of a realm."""
    day = _day(conn)
    chosen = (events.c.realm == realm) & (events.c.at >= since) & (events.c.at < until)
    found = select(day, events.c.type, events.c.reason, events.c.factor, func.count()).where(chosen)
    rows = conn.execute(found.group_by(day, events.c.type, events.c.reason, events.c.factor))
    return [(row[0], row[1], row[2], row[3] or "", int(row[4])) for row in rows]


def count_seconds_to_pass(
    conn: Connection, realm: str, since: datetime, until: datetime
) -> list[tuple[str, int, int]]:
    """(day as YYYY-MM-DD, seconds, how many logins took as long from the demand of a factor to its proof)."""
    day = _day(conn)
    seconds = events.c.details[SECONDS_TO_PASS].as_integer()
    chosen = (events.c.realm == realm) & (events.c.at >= since) & (events.c.at < until)
    chosen &= events.c.type.in_(LOGIN_TYPES) & seconds.is_not(None)
    found = select(day, seconds, func.count()).where(chosen).group_by(day, seconds)
    return [(row[0], int(row[1]), int(row[2])) for row in conn.execute(found)]


def list_logins_of(conn: Connection, user_id: str, limit: int) -> list[Event]:
    """The newest logins of a person and wrong passwords at their account, the newest first."""
    chosen = (events.c.user_id == user_id) & events.c.type.in_((*LOGIN_TYPES, "fp"))
    rows = conn.execute(select(events).where(chosen).order_by(events.c.id.desc()).limit(limit))
    return [value_of(Event, row) for row in rows]


def count_logins(conn: Connection, since: datetime, until: datetime) -> list[tuple[str, str, int]]:
    """(day as YYYY-MM-DD, type, how many) of what the daily figures are made of."""
    day = _day(conn)
    chosen = events.c.type.in_(COUNTED_TYPES) & (events.c.at >= since) & (events.c.at < until)
    found = select(day, events.c.type, func.count()).where(chosen).group_by(day, events.c.type)
    return [(row[0], row[1], int(row[2])) for row in conn.execute(found)]


def count_active_users(conn: Connection, since: datetime) -> int:
    active = events.c.type.in_(LOGIN_TYPES) & (events.c.at >= since)
    return int(conn.execute(select(func.count(events.c.user_id.distinct())).where(active)).scalar_one())


LOGIN_TYPES = (
    *("s", "sepft", "seotpft", "seoobft", "sercft", "sewebauthnft"),
    *("sepkotpft", "sepkoobft", "sepkrcft"),
)
COUNTED_TYPES = (*LOGIN_TYPES, "ss", "pwd_leak", "signup_pwd_leak")
