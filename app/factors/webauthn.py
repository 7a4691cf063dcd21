"""Security keys and what is built into a device (WebAuthn): two kinds, both made here.

The random challenge is the handle: a response names the challenge that it answers, and only the digest is kept here.
One challenge is answered by any of a person's keys of both kinds. What was demanded when it was made, relying party
and user verification, stands in the challenge's row, so that nothing is demanded of an answer that was not asked for.
"""

import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection
from webauthn.helpers import bytes_to_base64url

from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import UnsupportedChallengeType
from app.factors import ceremony
from app.factors.ceremony import Asserted, Expected, Known, Registered, Wrong
from app.factors.factor import Answer, Begun, Challenging, Demands, Enrolling, Enrollment, Factor, Proof
from app.factors.relying_party import origins_of, terms_of, user_handle
from app.store.authenticators import (
    Authenticator,
    advance_counter,
    find_by_credential,
    list_authenticators,
    note_details,
    register_credential,
)
from app.store.challenges import Challenge, consume_challenge

LIFETIME = timedelta(minutes=5)
MAX_NAME = 100
FLAT = ("clientData", "authenticatorData", "signature", "attestation")  # as Okta's SDKs send a response
WRONG = "Invalid authn_response."
NO_KEY = "None of the user's security keys is accepted here."


def _known(device: Authenticator) -> Known:
    transports = device.details.get("transports")
    words = tuple(str(word) for word in transports) if isinstance(transports, list) else ()
    return Known(device.credential_id or "", words)


def _enroll(ctx: Context, enrolling: Enrolling, *, kind: str) -> Enrollment:
    authenticator = Authenticator(
        id=f"{kind}|dev_{random_id()}",
        user_id=enrolling.user.id,
        kind=kind,
        created_at=ctx.now,
        name=enrolling.members.get("name", "")[:MAX_NAME] or None,
        transaction_id=enrolling.transaction_id,
    )
    return Enrollment(authenticator)


def _challenge(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    """A confirmed key is asked to sign, a new one to register. Raises UnsupportedChallengeType."""
    if challenging.authenticators[0].confirmed_at is None:
        return _register(ctx, conn, challenging)
    return _ask(ctx, conn, challenging)


def _register(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    device, user, demands = challenging.authenticators[0], challenging.user, challenging.demands
    attachment = ATTACHMENTS[device.kind]
    if demands.attachment not in ("any", attachment):
        raise UnsupportedChallengeType(NO_KEY, reason="attachment_not_allowed", status=403)
    rp_id, verification = terms_of(ctx, conn, device.kind, demands)
    owned = [a for a in list_authenticators(conn, user.id) if a.credential_id]
    challenge, session = random_token(), random_token()
    account = user.email or user.username or user.phone_number or user.id
    options = ceremony.creation_options(
        rp_id=rp_id,
        rp_name=challenging.issuer_name,
        challenge=challenge,
        user_handle=user_handle(user.id),
        user_name=account,
        display_name=user.name or account,
        attachment=attachment,
        resident_key="discouraged",  # the password has told already who it is
        user_verification=verification,
        excluded=tuple(_known(a) for a in owned if a.details.get("rp_id") == rp_id),
    )
    row = _row(ctx, challenging, {device.id: verification}, challenge, ceremony.CREATE, rp_id, session)
    return Begun(row, {"authn_params_public_key": options, "auth_session": session})


def _ask(ctx: Context, conn: Connection, challenging: Challenging) -> Begun:
    demands = challenging.demands
    fitting = [
        a
        for a in challenging.authenticators
        if a.confirmed_at
        and demands.attachment in ("any", ATTACHMENTS[a.kind])
        and not (demands.synced == "refuse" and a.details.get("is_synced"))
    ]
    if not fitting:
        raise UnsupportedChallengeType(NO_KEY, reason="no_key_accepted")
    # A key knows the relying party that it was made for, whatever the settings say today.
    rp_id = str(fitting[0].details["rp_id"])
    devices = tuple(a for a in fitting if a.details["rp_id"] == rp_id)
    # Keys of both kinds may answer one challenge: each is held to its own kind's demand when it does.
    verifications = {a.id: terms_of(ctx, conn, a.kind, demands)[1] for a in devices}
    wishes = set(verifications.values())
    challenge = random_token()
    options = ceremony.request_options(
        rp_id=rp_id,
        challenge=challenge,
        user_verification=wishes.pop() if len(wishes) == 1 else "preferred",
        allowed=tuple(_known(a) for a in devices),
    )
    row = _row(ctx, challenging, verifications, challenge, ceremony.GET, rp_id)
    return Begun(row, {"authn_params_public_key": options, "public_key": options})


def _row(
    ctx: Context,
    challenging: Challenging,
    verifications: Mapping[str, str],
    challenge: str,
    ceremony_type: str,
    rp_id: str,
    session: str | None = None,
) -> Challenge:
    return Challenge(
        id=f"cha_{random_id(22)}",
        handle_digest=digest(challenge),
        kind=challenging.authenticators[0].kind,
        user_id=challenging.user.id,
        authenticator_id=next(iter(verifications)) if len(verifications) == 1 else None,
        transaction_id=challenging.transaction_id,
        created_at=ctx.now,
        expires_at=ctx.now + LIFETIME,
        secret_digest=digest(session) if session else None,
        details={
            "ceremony": ceremony_type,
            "rp_id": rp_id,
            "devices": dict(verifications),
            "synced": challenging.demands.synced,
        },
    )


def is_answer(members: Mapping[str, str]) -> bool:
    return "authn_response" in members or "clientData" in members


def handle_of(members: Mapping[str, str]) -> str:
    """The challenge that a response names; empty where it cannot be read."""
    credential = _read(members)
    return ceremony.challenge_of(credential["response"].get("clientDataJSON")) if credential else ""


def _read(members: Mapping[str, str]) -> dict[str, Any] | None:
    """The response as a browser writes it; without `id` where it came in flat members, which have none."""
    if "authn_response" not in members:
        plain = {name: ceremony.url_safe(members[name]) for name in FLAT if name in members}
        named = {name: plain[flat] for name, flat in _RESPONSE.items() if flat in plain}
        return {"type": "public-key", "response": named}
    return read_response(members["authn_response"])


def read_response(text: str) -> dict[str, Any] | None:
    """A whole response in JSON; None where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("response"), dict):
        return None
    return found if all(isinstance(found.get(name), str) for name in ("id", "rawId", "type")) else None


_RESPONSE = {
    "clientDataJSON": "clientData",
    "authenticatorData": "authenticatorData",
    "signature": "signature",
    "attestationObject": "attestation",
}


def verify(ctx: Context, authenticator: Authenticator, answer: Answer) -> Proof | str:
    challenge, credential = answer.challenge, _read(answer.members)
    if challenge is None:
        return "no_challenge"
    if credential is None:
        return "malformed_response"
    verification = challenge.details["devices"].get(authenticator.id)
    if verification is None:
        return ""
    named = ceremony.challenge_of(credential["response"].get("clientDataJSON"))
    if not hmac.compare_digest(digest(named), challenge.handle_digest):
        return "other_challenge"
    session = answer.members.get("auth_session")
    if session and not hmac.compare_digest(digest(session), challenge.secret_digest or ""):
        return "other_session"
    if challenge.state != "open":
        return "challenge_used"
    origins = origins_of(ctx, answer.client)
    expected = Expected(str(challenge.details["rp_id"]), named, origins, verification)
    registers = challenge.details["ceremony"] == ceremony.CREATE
    try:
        if registers:
            return _registered(ctx, authenticator, challenge, credential, expected)
        return _asserted(authenticator, challenge, credential, expected)
    except Wrong as wrong:
        ctx.facts.details |= wrong.details
        return wrong.reason


def _registered(
    ctx: Context,
    authenticator: Authenticator,
    challenge: Challenge,
    credential: dict[str, Any],
    expected: Expected,
) -> Proof | str:
    if "id" not in credential:
        credential["id"] = credential["rawId"] = ceremony.credential_id_in(
            credential["response"].get("attestationObject")
        )
    if credential.get("authenticatorAttachment") not in (None, ATTACHMENTS[authenticator.kind]):
        return "other_attachment"
    new = ceremony.read_registration(credential, expected)
    if new.is_synced and challenge.details["synced"] == "refuse":
        return "synced_key"
    with ctx.db.read() as conn:
        if find_by_credential(conn, new.id) is not None:
            return "credential_known"
    transports = credential["response"].get("transports")
    details: dict[str, object] = {
        "public_key": new.public_key,
        "aaguid": new.aaguid,
        "rp_id": expected.rp_id,
        "transports": ceremony.transports_in(transports),
        "is_synced": new.is_synced,
        "is_backed_up": new.is_backed_up,
    }

    def consume(conn: Connection, now: datetime) -> bool:
        return consume_challenge(conn, challenge.id, now) and register_credential(
            conn, authenticator, new.id, details, new.counter, now
        )

    return Proof(authenticator, consume, traits=traits_of(new))


def _asserted(
    authenticator: Authenticator, challenge: Challenge, credential: dict[str, Any], expected: Expected
) -> Proof | str:
    known_id = authenticator.credential_id
    if known_id is None or credential.setdefault("id", known_id) != known_id:
        return ""
    credential.setdefault("rawId", known_id)
    owner = credential["response"].get("userHandle")
    if owner and owner != bytes_to_base64url(user_handle(authenticator.user_id)):
        return "other_user_handle"
    details = authenticator.details
    found = ceremony.read_assertion(credential, str(details["public_key"]), expected)
    if details["is_synced"] not in (None, found.is_synced):
        return "sync_changed"  # whether a key can be synced never changes (WebAuthn 6.1.3)
    if found.counter <= authenticator.counter and (found.counter, authenticator.counter) != (0, 0):
        return "counter_went_back"  # there are two of this key, or somebody replays
    return Proof(authenticator, partial(_use, authenticator, challenge, found), traits=traits_of(found))


def _use(
    authenticator: Authenticator, challenge: Challenge, found: Asserted, conn: Connection, now: datetime
) -> bool:
    if not consume_challenge(conn, challenge.id, now):
        return False
    if not advance_counter(conn, authenticator, found.counter, now):
        return False
    told: dict[str, object] = {"is_synced": found.is_synced, "is_backed_up": found.is_backed_up}
    if authenticator.details | told != authenticator.details:
        note_details(conn, authenticator.id, authenticator.details | told)
    return True


def brought_along(
    ctx: Context, conn: Connection, user_id: str, *, key_id: str, public_key: str, rp_id: str | None
) -> Authenticator:
    """A key that was registered elsewhere, confirmed; nothing is stored. Raises Wrong.

    What it did not tell of itself, it tells when it is used.
    """
    name = ceremony.url_safe(key_id)
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,1364}", name):
        raise Wrong("bad_key_id")
    details: dict[str, object] = {
        "public_key": ceremony.read_public_key(public_key),
        "aaguid": None,
        "rp_id": rp_id or terms_of(ctx, conn, ROAMING.kind, Demands())[0],
        "transports": [],
        "is_synced": None,
        "is_backed_up": None,
    }
    return Authenticator(
        id=f"{ROAMING.id_prefix}|dev_{random_id()}",
        user_id=user_id,
        kind=ROAMING.kind,
        created_at=ctx.now,
        credential_id=name,
        details=details,
        confirmed_at=ctx.now,
    )


def traits_of(found: Registered | Asserted) -> tuple[str, ...]:
    """A key that is kept in step over several devices is held by software, wherever it was made."""
    return ("swk" if found.is_synced else "hwk", *(("user",) if found.is_user_verified else ()))


ATTACHMENTS = {"webauthn-roaming": "cross-platform", "webauthn-platform": "platform"}


def _factor_of(kind: str) -> Factor:
    return Factor(
        kind=kind,
        wire_type=kind,
        id_prefix=kind,
        is_challengeable=True,
        enroll=partial(_enroll, kind=kind),
        verify=verify,
        wrong_answer=WRONG,
        limit_event="gd_otp_rate_limit_exceed",
        challenge=_challenge,
        family="webauthn",
        is_guessable=False,
        shown_name=lambda authenticator: authenticator.name,
    )


ROAMING = _factor_of("webauthn-roaming")
PLATFORM = _factor_of("webauthn-platform")
