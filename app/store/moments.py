"""Points in time as administrators write them: `2026`, `2026-10`, `2026-10-01`, `2026-10-01T12:30:00.5Z`.

What is left out makes the point a span: a day is all of its moments.
"""

import re
from datetime import UTC, datetime, timedelta

from app.search import BadQuery

_MOMENT = re.compile(
    r"(?P<year>[0-9]{4})(-(?P<month>[0-9]{2})(-(?P<day>[0-9]{2})"
    r"(T(?P<minute>[0-9]{2}:[0-9]{2})(:(?P<second>[0-9]{2})(\.(?P<fraction>[0-9]{1,6}))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


def moment(name: str, text: str) -> tuple[datetime, datetime]:
    """The span's first point and the first one behind it; UTC unless the text says otherwise. Raises BadQuery."""
    found = _MOMENT.fullmatch(text)
    try:
        if found is not None:
            return _span(found.groupdict())
    except (ValueError, OverflowError):
        pass
    raise BadQuery(f"{name} is a time like 2026-10-01 or 2026-10-01T12:00:00Z")


def _span(parts: dict[str, str | None]) -> tuple[datetime, datetime]:
    date = f"{parts['year']}-{parts['month'] or '01'}-{parts['day'] or '01'}"
    fraction = parts["fraction"] or ""
    time = f"{parts['minute'] or '00:00'}:{parts['second'] or '00'}.{fraction:0<6}"
    start = datetime.fromisoformat(f"{date}T{time}{parts['zone'] or 'Z'}").astimezone(UTC)
    if parts["month"] is None:
        return start, start.replace(year=start.year + 1)
    if parts["day"] is None:
        return start, (start + timedelta(days=31)).replace(day=1)
    if parts["minute"] is None:
        return start, start + timedelta(days=1)
    if parts["second"] is None:
        return start, start + timedelta(minutes=1)
    return start, start + timedelta(microseconds=10 ** (6 - len(fraction)))
