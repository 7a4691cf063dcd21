"""How many messages go out: each costs money, or somebody's sleep.

An attacker who knows a password can ask for codes, and one who enrols can ask for them at numbers that pay him (toll
fraud). So a send is counted for the person, the destination, the address that asks, the country and the realm, each
in its bucket, in the transaction that sends; and the next code to the same device waits longer each time that the last
one led to nothing. Nothing here touches factors that cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import phonenumbers
from sqlalchemy import Connection

from app.addresses import network_of
from app.channels import CHANNELS
from app.context import Context
from app.crypto import digest
from app.errors import InvalidRequest, limit_headers
from app.guards import pushes
from app.store import buckets
from app.store.authenticators import Authenticator
from app.store.challenges import count_unanswered
from app.store.realms import Realm

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)
REMEMBERED_FOR = timedelta(hours=1)
PERSON = (10, 3600.0)  # ten, and one back an hour: Auth0's figure
DESTINATION = (10, 3600.0)
ADDRESS = (30, 120.0)
COUNTRY = (100, 36.0)  # a hundred an hour to one country from one realm
RESETS = (5, 720.0)  # mails that strangers may have sent to a person: five, and five an hour

WORDS = {"sms": "SMS", "voice": "calls", "email": "emails"}
TOO_MANY = "Too many {what} sent by the user. Wait for some minutes before retrying."


@dataclass(frozen=True)
class Budget:
    """What a realm may spend on messages to telephones."""

    messages_per_day: int = 1000
    countries: tuple[str, ...] | None = None
    """Two letters each; None is every country, and an empty list none."""


def budget_of(realm: Realm | None) -> Budget:
    """What the realm's policy says of it; what it leaves open is as everywhere."""
    if realm is None or realm.mfa_policy is None:
        return Budget()
    said = realm.mfa_policy.terms.budgets
    countries = None if said.countries is None else tuple(said.countries)
    return Budget(said.messages_per_day or Budget.messages_per_day, countries)


def before(
    conn: Connection,
    ctx: Context,
    *,
    realm_id: str,
    device: Authenticator,
    channel: str,
    budget: Budget,
    transaction_id: str = "",
) -> None:
    """Count one message, or refuse it: raise InvalidRequest (429), and the transaction takes nothing."""
    if channel == pushes.CHANNEL:
        pushes.before(conn, ctx, user_id=device.user_id, transaction_id=transaction_id)
        return
    destination = str(device.details.get("destination", ""))
    unanswered, newest = count_unanswered(conn, device.id, ctx.now - REMEMBERED_FOR)
    if newest is not None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (unanswered - 1))
        left = (newest + pause - ctx.now).total_seconds()
        if left > 0:
            _refuse(
                ctx,
                channel,
                "resend_too_soon",
                left,
                {"unanswered": unanswered, "pause_seconds": pause.seconds},
            )
    uses = [
        ("person", f"send/{channel}/{device.user_id}", PERSON),
        ("destination", f"send/to/{digest(destination)}", DESTINATION),
        ("address", f"send/from/{network_of(ctx.ip)}", ADDRESS),
    ]
    if CHANNELS[channel].reaches == "phone_number":
        country = country_of(destination)
        if budget.countries is not None and country not in budget.countries:
            raise InvalidRequest("The phone number is invalid.", reason="country_not_allowed")
        uses.append(("country", f"send/{realm_id}/{country}", COUNTRY))
        day = 86400 / max(1, budget.messages_per_day)
        uses.append(("realm", f"send/{realm_id}", (budget.messages_per_day, day)))
    # Always in this order: of two sends at once neither waits for what the other holds.
    for what, key, (size, refill_seconds) in uses:
        wait = buckets.spend(conn, key, size=size, refill_seconds=refill_seconds, now=ctx.now)
        if wait is not None:
            limit: dict[str, object] = {"source": what, "max": size, "then_one_each_seconds": refill_seconds}
            limit["count"] = round(size - 1 + wait / refill_seconds, 1)
            _refuse(ctx, channel, f"send_limit_{what}", wait, limit)


def may_ask_for_reset(conn: Connection, ctx: Context, identity: str) -> bool:
    """Count a link that somebody asks for without proof; unknown names count too, so that it tells nothing."""
    size, refill_seconds = RESETS
    key = f"send/reset/{digest(identity)}"
    return buckets.spend(conn, key, size=size, refill_seconds=refill_seconds, now=ctx.now) is None


def country_of(number: str) -> str:
    """Two letters; `ZZ` for a number that belongs to none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or "ZZ"
    except phonenumbers.NumberParseException:
        return "ZZ"


def _refuse(
    ctx: Context, channel: str, reason: str, wait_seconds: float, limit: Mapping[str, object]
) -> None:
    """One text for every limit: how much a realm may spend is the administrator's business, who finds it in the log."""
    raise InvalidRequest(
        TOO_MANY.format(what=WORDS.get(channel, "messages")),
        reason=reason,
        event="limit_phone",
        status=429,
        headers=limit_headers(ctx.now, limit=PERSON[0], retry_after_seconds=int(wait_seconds) + 1),
        details={"limit": {**limit, "wait_seconds": int(wait_seconds)}},
    )
