"""Approve on a phone: an app with a key of its own (Guardian's device protocol) says yes or no, and the client polls.

The client holds the `oob_code`, the phone gets a token for the one transaction; of both only digests are kept. A
phone that can match numbers must send back the two digits that the client shows, so that nobody says yes to a login
that somebody else began. An enrolment is the same thing with a QR code in the place of the push: the phone that scans
it hands in its key, and that is its yes.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote, urlencode, urlsplit

from sqlalchemy import Connection

from app.channels import CHANNELS, wording
from app.channels.channel import Message
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import AccessDenied, AuthorizationPending, SlowDown
from app.factors.factor import Answer, Begun, Challenging, Enrolling, Enrollment, Factor, Proof
from app.store.authenticators import Authenticator, use_authenticator
from app.store.challenges import Challenge, consume_challenge, note_poll

KIND = "push"
LIFETIME = timedelta(minutes=5)
INTERVAL = timedelta(seconds=5)  # between polls (RFC 8628 3.5)

REJECTED = "MFA Authorization rejected."
VOID = "Malformed oob_code"
BASE_PATH = "appliance-mfa"

_BROWSERS = (
    "Edg",
    "OPR",
    "Firefox",
    "Chrome",
    "Safari",
)  # the first that is named: each claims to be those behind it
_SYSTEMS = (
    ("Android", r"Android ([0-9.]+)"),
    ("iOS", r"(?:iPhone|iPad).* OS ([0-9_]+)"),
    ("Mac OS X", r"Mac OS X ([0-9_.]+)"),
    ("Windows", r"Windows NT ([0-9.]+)"),
    ("Linux", r"Linux()"),
)


def device_id(device: Authenticator) -> str:
    """What the phone's side calls an enrolment: the part behind the kind, which needs no escaping in a path."""
    return device.id.partition("|")[2]


def enroll(ctx: Context, enrolling: Enrolling) -> Enrollment:
    """A place for a phone, empty until one scans the QR code that the challenge shows."""
    authenticator = Authenticator(
        id=f"{KIND}|dev_{random_id()}",
        user_id=enrolling.user.id,
        kind=KIND,
        created_at=ctx.now,
        transaction_id=enrolling.transaction_id,
    )
    return Enrollment(authenticator)


def challenge(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    device = challenging.authenticators[0]
    challenge_id, oob_code = f"cha_{random_id(22)}", random_token()
    # The phone's secret names its row, so that it is found without an index of its own.
    phones = f"{challenge_id}.{random_token()}"
    asked = Challenge(
        id=challenge_id,
        handle_digest=digest(oob_code),
        kind=KIND,
        user_id=device.user_id,
        authenticator_id=device.id,
        transaction_id=challenging.transaction_id,
        created_at=ctx.now,
        expires_at=ctx.now + LIFETIME,
        secret_digest=digest(phones),
        details={"client_id": challenging.client.id if challenging.client else None},
    )
    if "public_key" not in device.details:
        asked.details["is_enrollment"] = True
        uri = _barcode_uri(ctx, challenging, device, phones)
        return Begun(asked, {"oob_code": oob_code, "barcode_uri": uri})
    shown: dict[str, object] = {"challenge_type": "oob", "oob_code": oob_code}
    nonce = random_token()
    asked.details["nonce_digest"] = digest(nonce)
    if device.details.get("matches_numbers"):
        number = f"{secrets.randbelow(100):02}"
        shown |= {"binding_method": "transfer", "binding_code": number}
        asked.details["number_digest"] = number_digest(phones, number)
    return Begun(asked, shown, (KIND, _message(ctx, challenging, device, phones, nonce)))


def number_digest(phones: str, number: str) -> str:
    """Keyed with the phone's secret, which is not kept: whoever reads the database has nothing to try numbers on."""
    return hmac.new(phones.encode(), number.encode(), hashlib.sha256).hexdigest()


def _barcode_uri(ctx: Context, challenging: Challenging, device: Authenticator, ticket: str) -> str:
    issuer = challenging.issuer_name
    owner = challenging.user.email or challenging.user.name or challenging.user.id
    members = {
        "enrollment_tx_id": ticket,
        "issuer": issuer,
        "id": device_id(device),
        "base_url": ctx.issuer + BASE_PATH,
    }
    label = f"{quote(issuer, safe='')}:{quote(owner, safe='')}"
    return f"otpauth://totp/{label}?{urlencode(members, quote_via=quote)}"


def _message(
    ctx: Context, challenging: Challenging, device: Authenticator, phones: str, nonce: str
) -> Message:
    credentials = _credentials(ctx, device)
    application = challenging.client.name if challenging.client else ""
    return Message(
        id=f"msg_{random_id(22)}",
        destination=f"{credentials['service']}:{credentials['token']}" if credentials else "",
        text=wording.of_push(ctx.language, challenging.issuer_name, application),
        subject=challenging.issuer_name,
        language=ctx.language,
        payload={
            "dai": device_id(device),
            "txtkn": phones,
            "txlnkid": phones.partition(".")[0],  # under which an app may ask what the login is about
            "c": nonce,
            "d": moment(ctx.now),
            "sh": _host(ctx.issuer),
            "s": source_of(ctx.user_agent),
            "l": {"n": ctx.ip},
        },
    )


def _credentials(ctx: Context, device: Authenticator) -> dict[str, str]:
    """Where its app is reached; empty for a phone that did not say."""
    return ctx.open_secrets("authenticators", device.id, device.sealed_secret)


def moment(at: datetime) -> str:
    """Three decimals and a Z: the phones' readers take nothing else."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _host(issuer: str) -> str:
    """A host as Auth0 sends it, where that is all there is to say; else the whole address."""
    found = urlsplit(issuer)
    is_plain = found.scheme == "https" and found.port in (None, 443) and found.path in ("", "/")
    return (found.hostname or "") if is_plain else issuer.rstrip("/")


def source_of(user_agent: str) -> dict[str, dict[str, str]]:
    """Browser and system for the person to recognise. Only a claim of whoever asks."""
    user_agent = user_agent[:300]
    browser = next((m for name in _BROWSERS if (m := re.search(rf"({name})\w*/([0-9.]+)", user_agent))), None)
    browser = browser or re.match(r"([\w .-]{1,40})/([\w.-]{1,20})", user_agent, re.ASCII)
    found = {"b": {"n": browser[1], "v": browser[2][:20]}} if browser else {}
    for name, pattern in _SYSTEMS:
        system = re.search(pattern, user_agent)
        if system:
            return found | {"os": {"n": name, "v": system[1].replace("_", ".")[:20]}}
    return found


def is_too_soon(asked: Challenge, now: datetime) -> bool:
    """Whether a poll comes before its time. A decision is told at once all the same."""
    is_open = asked.kind == KIND and asked.state == "open" and asked.expires_at > now
    return is_open and asked.polled_at is not None and asked.polled_at > now - INTERVAL


def verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    """A poll. Raises AuthorizationPending, SlowDown, AccessDenied."""
    asked = answer.challenge
    if asked is None or asked.authenticator_id != authenticator.id:
        return "other_challenge"
    if asked.state == "approved":
        return Proof(authenticator, partial(_consume, authenticator, asked))
    if asked.state == "rejected":
        raise AccessDenied(REJECTED, reason="push_rejected", status=400)
    # One that comes too early costs no write, and of many at once one pays for it.
    if is_too_soon(asked, ctx.now):
        raise SlowDown(reason="polled_too_fast")
    with ctx.db.write() as conn:
        is_first = note_poll(conn, asked.id, ctx.now, ctx.now - INTERVAL)
    raise AuthorizationPending(reason="push_pending") if is_first else SlowDown(reason="polled_too_fast")


def _consume(authenticator: Authenticator, asked: Challenge, conn: Connection, now: datetime) -> bool:
    is_first = consume_challenge(conn, asked.id, now, of="approved")
    return is_first and use_authenticator(conn, authenticator, now)


FACTOR = Factor(
    kind=KIND,
    wire_type="oob",
    id_prefix=KIND,
    is_challengeable=True,
    enroll=enroll,
    verify=verify,
    wrong_answer=VOID,
    limit_event="gd_auth_failed",
    challenge=challenge,
    listed_type="push-notification",
    oob_channel="auth0",
    is_guessable=False,
    costs=KIND,
    is_ready=lambda ctx, conn: CHANNELS[KIND].is_ready(ctx, conn),
    shown_name=lambda authenticator: authenticator.name if authenticator.confirmed_at else None,
)
