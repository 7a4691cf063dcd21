"""Numbers that pay an attacker (T17): however many accounts, clients and addresses ask, the gateway sees the budget."""

from collections import Counter

import pytest

from app.context import Context
from app.errors import InvalidRequest
from app.guards import sends
from app.guards.sends import Budget
from app.store import authenticators
from app.store.authenticators import Authenticator
from tests import making
from tests.evidence import report, size
from tests.making import APP_SECRET, PASSWORD, Cast
from tests.wire import Wire, bearer

NUMBERS = size(120, 500)


def device(ctx: Context, cast: Cast, number: int, kind: str = "sms", destination: str = "") -> Authenticator:
    found = Authenticator(
        f"{kind}|dev_{number}",
        cast.bob.id,
        kind,
        ctx.now,
        details={"destination": destination or f"+4917012{number:05}"},
    )
    with ctx.db.write() as conn:
        authenticators.add_authenticator(conn, found)
    return found


def outcomes(ctx: Context, cast: Cast, devices: list[Authenticator], budget: Budget) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in devices:
        try:
            with ctx.db.write() as conn:
                sends.before(conn, ctx, realm_id=cast.staff.id, device=one, channel=one.kind, budget=budget)
            found["sent"] += 1
        except InvalidRequest as refusal:
            found[refusal.reason] += 1
    return found


def test_a_person_has_ten_messages_and_a_refusal_takes_nothing(ctx: Context, cast: Cast) -> None:
    devices = [device(ctx, cast, number) for number in range(14)]
    assert outcomes(ctx, cast, devices, Budget()) == {"sent": 10, "send_limit_person": 4}
    # Had the four refused counted for the address, fewer than twenty would be left of its thirty.
    mails = [device(ctx, cast, number, "email", f"a{number}@example.com") for number in range(10)]
    assert outcomes(ctx, cast, mails, Budget()) == {"sent": 10}


@pytest.mark.parametrize(
    ("countries", "number", "outcome"),
    [
        (None, "+8829900000", "sent"),
        (("DE", "AT"), "+4917012345678", "sent"),
        (("AT",), "+4917012345678", "country_not_allowed"),
        ((), "+4917012345678", "country_not_allowed"),
    ],
)
def test_countries_may_be_listed(
    ctx: Context, cast: Cast, countries: tuple[str, ...] | None, number: str, outcome: str
) -> None:
    budget = Budget(countries=countries)
    assert outcomes(ctx, cast, [device(ctx, cast, 1, destination=number)], budget) == {outcome: 1}


@pytest.mark.parametrize("per_day", [0, 3])
def test_a_realm_spends_no_more_than_its_budget(ctx: Context, cast: Cast, per_day: int) -> None:
    devices = [device(ctx, cast, number) for number in range(5)]
    found = outcomes(ctx, cast, devices, Budget(messages_per_day=per_day))
    assert (found["sent"], found["send_limit_realm"]) == (per_day, 5 - per_day)


def test_many_accounts_at_many_numbers_from_many_addresses(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms")
    statuses: Counter[int] = Counter()
    for number in range(NUMBERS):
        making.make_user(wire.server, cast.guests, f"u{number}@example.com")
        peer = {"REMOTE_ADDR": f"198.51.100.{number % 250}"}
        login = {"username": f"u{number}@example.com", "password": PASSWORD, "realm": "guests"}
        asked = wire.client.post(
            "/oauth/token",
            data={"grant_type": "password", "client_id": "app", "client_secret": APP_SECRET} | login,
            environ_overrides=peer,
        )
        assert asked.json is not None
        body = {
            "authenticator_types": ["oob"],
            "oob_channels": ["sms"],
            "phone_number": f"+4917012{number:05}",
        }
        answer = wire.client.post(
            "/mfa/associate", json=body, headers=bearer(asked.json["mfa_token"]), environ_overrides=peer
        )
        statuses[answer.status_code] += 1
    sent = len(wire.messages())
    assert statuses == {200: sent, 429: NUMBERS - sent}
    # A hundred an hour to a country; a moment of leaking is more than the loop may take.
    assert 100 <= sent <= 100 + NUMBERS // 20
    report("T17 SMS pumping", tried=f"{NUMBERS} numbers, accounts and addresses", held=f"{sent} messages")
