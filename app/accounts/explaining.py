"""Why somebody was refused, for the administrator who is asked: the answer's `error_id`, its event, and sentences.

An `error_id` says the second and a digest of the request's id, nothing of the reason; with it the event is found by
its time.
"""

import re
from datetime import UTC, datetime

from sqlalchemy import Connection

from app.audit import error_id
from app.store import events
from app.store.events import Event

FORM = re.compile(r"([0-9a-f]{8})-[0-9a-f]{16}")
MOST = 20_000  # events of one second

REASONS = {
    # passwords
    "wrong_password": "The password was wrong.",
    "unknown_user": "Nobody in the realm has this identifier. The answer is that of a wrong password.",
    "changed_meanwhile": "The account was changed, blocked or deleted while the password was being looked at.",
    "user_blocked": "The password was right, and an administrator has blocked the account.",
    "password_leaked": "The password was right, and it is on a list of leaked passwords.",
    "breach_source_down": "The source of leaked passwords did not answer, and its shield may not be left out.",
    # limits
    "brute_force": "Brute-force protection: the wrong passwords in a row have reached the limit. It ends by unblocking "
    "the person, a new password, the link in the notice, a higher limit, or 30 days without a failure.",
    "ip_throttled": "Suspicious-IP throttling: failures from this address have filled its bucket, whoever they were "
    "about. One try comes back each interval; an administrator can unblock the address or exempt it.",
    "login_rate": "Too many logins of one person from one address in a short time, successful ones included.",
    "guess_limit": "Too many guesses at second factors of this person, over all factors, clients and tokens.",
    "attempts_pending": "Others were trying the same account or address at that moment, and no place became free.",
    "hashing_gate_full": "No turn to hash became free in time: the server is overloaded.",
    "monitored": "A guard would have refused this, but its shield is down: it only notes.",
    "no_forwarded_address": "A back end does not say who its users are.",
    # policy
    "factor_owed": "The policy asks for a second factor.",
    "enrollment_owed": "The policy asks for a second factor, and the person has none yet.",
    "realm_disabled": "The realm is switched off, takes no passwords, or is not open to this client.",
    "realm_not_for_client": "The realm is not open to this client.",
    "unknown_realm": "There is no such realm.",
    "client_disabled": "The client is switched off.",
    "grant_not_allowed": "The client may not use this grant.",
    "public_client": "This grant is for clients that can prove who they are.",
    # clients
    "unknown_client": "There is no such client.",
    "wrong_client_secret": "The client did not prove who it is.",
    # second factors
    "wrong_code": "The code was wrong.",
    "blind_token": "The password of this login was wrong; blind mode let a factor be asked for. See `details.login`.",
    "code_replayed": "The code was right, and it was used before.",
    "transaction_used": "The mfa_token has completed a login already.",
    "authenticator_disabled": "The authenticator is disabled after too many wrong answers.",
    "not_enrolled": "The person has no such factor.",
    "secret_unreadable": "The key ring does not open the secret: it is missing or another one.",
}


def find(conn: Connection, wanted: str) -> list[Event]:
    """The events behind an answer; one as a rule, none for a malformed request, which decided nothing."""
    form = FORM.fullmatch(wanted)
    if form is None:
        return []
    second = datetime.fromtimestamp(int(form.group(1), 16), UTC)
    found = events.list_events_of_second(conn, second, limit=MOST)
    return [event for event in found if error_id(event.at, event.request_id) == wanted]


def explain(event: Event) -> list[str]:
    """In sentences: the reason, which limit with its counts, and the policy."""
    if not event.reason:
        return []
    told = [REASONS.get(event.reason, f"Reason: {event.reason.replace('_', ' ')}.")]
    for name, what in (("limit", "The limit"), ("mfa_policy", "The policy")):
        found = event.details.get(name)
        if isinstance(found, dict) and found:
            facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found.items())
            told.append(f"{what}: {facts}.")
    if isinstance(event.details.get("warning"), str):
        told.append(str(event.details["warning"]))
    if "client_ip" in event.details:
        told.append(f"The client's server {event.details['client_ip']} named {event.ip} as the address.")
    return told
