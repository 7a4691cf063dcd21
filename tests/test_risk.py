"""How sure one can be that a right password is the person's: one row a sentence."""

from datetime import timedelta
from typing import Any

import pytest

from app.policy import Risk, Seen, risk_of
from tests.conftest import NOON

DAY = timedelta(days=1)
HOME, PHONE = "198.51.100.7", "till/1.0"
LAST = Seen(NOON - DAY, True, HOME, PHONE)
WRONG = Seen(NOON - DAY / 24, False, "203.0.113.9", "curl")

TABLE: list[tuple[str, dict[str, Any], Risk | None]] = [
    ("as always", {}, Risk("high")),
    ("nobody was ever here", {"history": ()}, Risk("low", ("no_history",))),
    ("only wrong passwords", {"history": (WRONG,)}, Risk("low", ("no_history",))),
    ("from next door", {"ip": "198.51.100.200"}, Risk("high")),
    ("from elsewhere", {"ip": "203.0.113.1"}, Risk("medium", ("new_network",))),
    ("from an address that cannot be read", {"ip": "?"}, Risk("medium", ("new_network",))),
    ("with another program", {"user_agent": "other"}, Risk("medium", ("new_device",))),
    ("both", {"ip": "2001:db8::1", "user_agent": "other"}, Risk("low", ("new_network", "new_device"))),
    ("after two wrong passwords", {"history": (WRONG, WRONG, LAST)}, Risk("high")),
    ("after three", {"history": (WRONG, WRONG, WRONG, LAST)}, Risk("medium", ("failure_streak",))),
    ("that were before a success", {"history": (LAST, WRONG, WRONG, WRONG)}, Risk("high")),
    ("after a quarter", {"last_login": NOON - 91 * DAY}, Risk("medium", ("dormant_account",))),
    ("soon after a change", {"changed_at": NOON - DAY}, Risk("medium", ("recent_change",))),
    ("long after a change", {"changed_at": NOON - 8 * DAY}, Risk("high")),
    ("what is not wanted does not count", {"ip": "203.0.113.1", "assessors": ("NewDevice",)}, Risk("high")),
    (
        "what is wanted does",
        {"ip": "203.0.113.1", "assessors": ("NewNetwork",)},
        Risk("medium", ("new_network",)),
    ),
    ("an assessor without a source", {"assessors": ("NewDevice", "ImpossibleTravel")}, None),
    ("an assessor that nobody knows", {"assessors": ("Astrology",)}, None),
]


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_confidence(change: dict[str, Any], expected: Risk | None) -> None:
    plain: dict[str, Any] = {
        "history": (LAST,),
        "now": NOON,
        "ip": HOME,
        "user_agent": PHONE,
        "last_login": NOON - DAY,
        "changed_at": None,
    }
    values = plain | change
    assert risk_of(values.pop("history"), **values) == expected
