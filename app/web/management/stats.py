"""`/stats`: logins a day, and how many people were here lately."""

from datetime import UTC, datetime, timedelta

from pydantic import Field

from app.adoption import figures
from app.errors import NotPossible
from app.store import events
from app.web.management.connections import get_realm
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Query
from app.web.management.wire import timestamp

ACTIVE = timedelta(days=30)
MOST_DAYS = 366
EARLIEST, LATEST = 2000, 2200
LEAKS = ("pwd_leak", "signup_pwd_leak")


class DailyQuery(Query):
    from_: str | None = Field(None, alias="from", pattern="^[0-9]{8}$")
    to: str | None = Field(None, pattern="^[0-9]{8}$")


def _day(text: str | None, otherwise: datetime) -> datetime:
    try:
        found = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC) if text else otherwise
        if not EARLIEST <= found.year <= LATEST:
            raise ValueError
        return found
    except ValueError:
        raise NotPossible("Query validation error: 'Not a day'.", reason="invalid_query_string") from None


def _span(call: Call) -> tuple[datetime, datetime]:
    """The first and the last day that are asked for. Raises NotPossible."""
    today = call.ctx.now.replace(hour=0, minute=0, second=0, microsecond=0)
    last = _day(call.query.to, today)
    first = _day(call.query.from_, last - ACTIVE)
    if not timedelta(0) <= last - first <= timedelta(days=MOST_DAYS):
        raise NotPossible(
            "Query validation error: 'Not a span of at most a year'.", reason="invalid_query_string"
        )
    return first, last


@operation("GET", "/stats/daily", scopes="read:stats", query=DailyQuery)
def show_daily(call: Call) -> object:
    """Logins, signups and leaked passwords of each day"""
    now = call.ctx.now
    first, last = _span(call)
    with call.ctx.db.read() as conn:
        counted = {
            (day, kind): n for day, kind, n in events.count_logins(conn, first, last + timedelta(days=1))
        }
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        {
            "date": timestamp(day),
            "logins": sum(counted.get((f"{day:%Y-%m-%d}", kind), 0) for kind in events.LOGIN_TYPES),
            "signups": counted.get((f"{day:%Y-%m-%d}", "ss"), 0),
            "leaked_passwords": sum(counted.get((f"{day:%Y-%m-%d}", kind), 0) for kind in LEAKS),
            "created_at": timestamp(day),
            "updated_at": timestamp(min(now, day + timedelta(days=1))),
        }
        for day in days
    ]


@operation("GET", "/stats/active-users", scopes="read:stats")
def count_active_users(call: Call) -> object:
    """How many people logged in within 30 days: a bare number"""
    with call.ctx.db.read() as conn:
        return Answered(events.count_active_users(conn, call.ctx.now - ACTIVE))


class MfaQuery(DailyQuery):
    connection_id: str = Field(min_length=1, max_length=100)


@operation("GET", "/stats/mfa", scopes="read:stats", query=MfaQuery)
def show_mfa(call: Call) -> object:
    """Who of a connection has a second factor, who is let in without, and how challenges ended each day"""
    first, last = _span(call)
    with call.ctx.db.read() as conn:
        realm = get_realm(conn, call.query.connection_id)
        return figures(call.ctx, conn, realm, first, last + timedelta(days=1))


OPERATIONS = (show_daily, count_active_users, show_mfa)
