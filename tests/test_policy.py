"""Who must prove a second factor: one row a sentence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.accounts.policies import terms_of
from app.policy import (
    Allow,
    Challenge,
    Decision,
    Deny,
    Enroll,
    Policy,
    Risk,
    Standing,
    Wish,
    decide,
    policy_of,
)
from app.policy_terms import Counted, Mode, Written, read_written
from tests.conftest import NOON

DAY = timedelta(days=1)
OTP: dict[str, Any] = {"confirmed": ("otp",), "usable": ("otp",)}
KEY: dict[str, Any] = {"confirmed": ("webauthn-roaming",), "usable": ("webauthn-roaming",)}
BOTH: dict[str, Any] = {"confirmed": ("otp", "webauthn-roaming"), "usable": ("otp", "webauthn-roaming")}
WORN_OUT: dict[str, Any] = {"confirmed": ("otp",), "usable": ()}
WITH_CODE: dict[str, Any] = {"confirmed": ("otp", "recovery-code"), "usable": ("otp", "recovery-code")}
OWN: dict[str, Any] = {"is_for_own_factors": True}
CONTACT: dict[str, Any] = {"contacts": ("contact-email",)}
DEMAND, WAIVE = {"wish": Wish("demand")}, {"wish": Wish("waive")}
ALL = ("otp", "webauthn-roaming", "webauthn-platform", "phone", "email", "push-notification", "recovery-code")
DEVICES = ALL[:-1]


def grace(**members: Any) -> dict[str, Any]:
    return {"enrollment": {"grace": members}}


def enrollment(**members: Any) -> dict[str, Any]:
    return {"enrollment": members}


def exempt(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"exemptions": [{"type": kind, "value": value, "reason": "a test"} | more]}


def only(**scope: Any) -> dict[str, Any]:
    return {"scope": scope}


GLASS = {"break_glass": {"user_ids": ["auth0|ann"], "networks": ["192.0.2.0/24"], "max_uses_per_day": 2}}
USES = (NOON - DAY / 2, NOON - DAY / 4)
ONLY_EMAIL = {"factors": {"allowed": ["email"]}, "enrollment": {"proof": "verified_contact"}}
KEYS_ONLY = {"factors": {"allowed": ["webauthn-roaming"]}}

# (sentence, mode, terms, how the person stands, decision, last reason)
TABLE: list[tuple[str, Mode, dict[str, Any], dict[str, Any], str, str]] = [
    # --- the mode
    ("when_enrolled lets in whoever has no factor", "when_enrolled", {}, {}, "allow", "not_enrolled"),
    ("when_enrolled challenges whoever has one", "when_enrolled", {}, OTP, "challenge otp", "enrolled"),
    ("never challenges nobody", "never", {}, OTP, "allow", "mode_never"),
    ("always challenges whoever has a factor", "always", {}, OTP, "challenge otp", "enrolled"),
    ("always has whoever has none enrol", "always", {}, {}, "enroll", "not_enrolled"),
    ("a proven factor is enough", "always", {}, OTP | {"proven": ("otp",)}, "allow", "factor_proven"),
    ("a recovery code is a proof", "always", {}, WITH_CODE | {"proven": ("recovery-code",)}, "allow",
     "factor_proven"),
    ("a recovery code alone is no factor", "when_enrolled", {}, {"confirmed": ("recovery-code",)}, "allow",
     "not_enrolled"),
    ("a disabled factor is no way around", "when_enrolled", {}, WORN_OUT, "challenge", "enrolled"),
    ("a disabled factor is no way to enrol anew", "always", {}, WORN_OUT, "challenge", "enrolled"),
    # --- who is out, whatever the policy says
    ("a blocked user is out", "never", {}, {"is_user_blocked": True}, "deny", "user_blocked"),
    ("… whatever was proven", "always", {}, {"is_user_blocked": True, "proven": ("otp",)}, "deny", "user_blocked"),
    ("… an emergency account too", "always", GLASS, {"is_user_blocked": True, "user_id": "auth0|ann"}, "deny",
     "user_blocked"),
    ("… also where the policy only reports", "always", {"enforcement": "report_only"}, {"is_user_blocked": True},
     "deny", "user_blocked"),
    ("a disabled realm lets nobody in", "never", {}, {"is_realm_enabled": False}, "deny", "realm_disabled"),
    ("a realm is for its clients only", "never", {}, {"is_realm_for_client": False}, "deny",
     "realm_not_for_client"),
    ("a disabled client gets nothing", "never", {}, {"is_client_enabled": False}, "deny", "client_disabled"),
    # --- own factors
    ("own factors need a factor even under never", "never", {}, OTP | OWN, "challenge otp", "own_factors"),
    ("… and where the policy only reports", "always", {"enforcement": "report_only"}, OTP | OWN, "challenge otp",
     "own_factors"),
    ("… and of an emergency account", "always", GLASS, OTP | OWN | {"user_id": "auth0|ann"}, "challenge otp",
     "own_factors"),
    ("own factors are open to whoever has none", "never", {}, OWN, "allow", "mode_never"),
    # --- rules
    ("a rule demands under never", "never", {}, OTP | DEMAND, "challenge otp", "enrolled"),
    ("… and has people enrol", "never", {}, DEMAND, "enroll", "not_enrolled"),
    ("… a factor of its choice", "never", {}, BOTH | {"wish": Wish("demand", ("webauthn-roaming",))},
     "challenge webauthn-roaming", "enrolled"),
    ("… which is enrolled once another one is proven", "never", {}, OTP | {"wish": Wish("demand", ("phone",))},
     "challenge otp", "old_factor_first"),
    ("… so", "never", {}, OTP | {"wish": Wish("demand", ("phone",)), "proven": ("otp",)}, "enroll phone",
     "not_enrolled"),
    ("… unless the rule wants one that is there", "never", {}, OTP | {"wish": Wish("demand", ("phone",), False)},
     "deny", "factor_not_enrolled"),
    ("… whatever was proven", "never", {},
     OTP | {"wish": Wish("demand", ("phone",), False), "proven": ("otp",)}, "deny", "factor_not_enrolled"),
    ("… one of two that the policy wants", "always", {"factors": {"min_enrolled": 2}},
     BOTH | {"wish": Wish("demand", ("otp",)), "proven": ("otp",)}, "allow", "factor_proven"),
    ("… and not one that the policy does not take", "always", KEYS_ONLY,
     BOTH | {"wish": Wish("demand", ("otp",)), "proven": ("otp",)}, "deny", "factor_not_allowed"),
    ("… over an exemption", "always", exempt("client", "till"), OTP | DEMAND, "challenge otp", "enrolled"),
    ("a rule waives under always", "always", {}, OTP | WAIVE, "allow", "waived_by_rule"),
    ("… unless the policy is locked", "always", {"locked": True}, OTP | WAIVE, "challenge otp", "enrolled"),
    ("locked does not stop a demand", "never", {"locked": True}, OTP | DEMAND, "challenge otp", "enrolled"),
    # --- the connection's switch
    ("the connection's switch exempts", "always", {}, OTP | {"is_switched_off": True}, "allow", "exempt_realm"),
    ("… over a rule's demand", "always", {}, OTP | DEMAND | {"is_switched_off": True}, "allow", "exempt_realm"),
    ("… unless the policy is locked", "always", {"locked": True}, OTP | {"is_switched_off": True},
     "challenge otp", "enrolled"),
    # --- scope
    ("a client that is not included owes nothing", "always", only(clients={"include": ["other"]}), OTP, "allow",
     "client_out_of_scope"),
    ("a client that is included does", "always", only(clients={"include": ["till"]}), OTP, "challenge otp",
     "enrolled"),
    ("a client that is excluded owes nothing", "always", only(clients={"exclude": ["till"]}), OTP, "allow",
     "client_out_of_scope"),
    ("an audience that is excluded owes nothing", "always", only(audiences={"exclude": ["api"]}), OTP, "allow",
     "audience_out_of_scope"),
    ("an audience that is included does", "always", only(audiences={"include": ["api"]}), OTP, "challenge otp",
     "enrolled"),
    ("step-up: other scopes owe nothing", "always", only(scopes=["pay"]), OTP, "allow", "scope_not_requested"),
    ("step-up: one of the scopes does", "always", only(scopes=["pay", "read"]), OTP, "challenge otp", "enrolled"),
    ("a role that is not included owes nothing", "always", only(roles={"include": ["rol_admin"]}), OTP, "allow",
     "role_out_of_scope"),
    ("a role that is included does", "always", only(roles={"include": ["rol_user"]}), OTP, "challenge otp",
     "enrolled"),
    ("an excluded role owes nothing", "always", only(roles={"exclude": ["rol_user"]}), OTP, "allow",
     "role_out_of_scope"),
    ("trusted networks alone change nothing", "always", only(networks={"trusted": ["192.0.2.0/24"]}), OTP,
     "challenge otp", "enrolled"),
    ("a trusted network may be enough", "always",
     only(networks={"trusted": ["192.0.2.0/24"], "policy": "skip_mfa"}), OTP, "allow", "trusted_network"),
    ("… for an IPv6 address that is one of IPv4 inside", "always",
     only(networks={"trusted": ["192.0.2.0/24"], "policy": "skip_mfa"}), OTP | {"ip": "::ffff:192.0.2.7"}, "allow",
     "trusted_network"),
    ("… and only from there", "always", only(networks={"trusted": ["198.51.100.0/24"], "policy": "skip_mfa"}), OTP,
     "challenge otp", "enrolled"),
    ("from outside a factor may be owed under never", "never",
     only(networks={"trusted": ["198.51.100.0/24"], "policy": "require_mfa_outside"}), OTP, "challenge otp",
     "enrolled"),
    ("… and from inside the mode decides", "never",
     only(networks={"trusted": ["192.0.2.0/24"], "policy": "require_mfa_outside"}), OTP, "allow", "mode_never"),
    ("an address that cannot be read is inside of nothing", "always",
     only(networks={"trusted": ["0.0.0.0/0"], "policy": "skip_mfa"}), OTP | {"ip": ""}, "challenge otp", "enrolled"),
    # --- exemptions
    ("a user is exempt", "always", exempt("user", "auth0|ann"), {}, "allow", "exempt_user"),
    ("… another is not", "always", exempt("user", "auth0|eve"), {}, "enroll", "not_enrolled"),
    ("… until it ends", "always", exempt("user", "auth0|ann", expires_at="2026-11-23T12:00:00Z"), {}, "enroll",
     "not_enrolled"),
    ("… and not before", "always", exempt("user", "auth0|ann", expires_at="2026-11-23T12:00:01Z"), {}, "allow",
     "exempt_user"),
    ("… under a locked policy too, which says so itself", "always",
     exempt("user", "auth0|ann") | {"locked": True}, {}, "allow", "exempt_user"),
    ("a role is exempt", "always", exempt("role", "rol_user"), {}, "allow", "exempt_role"),
    ("a client is exempt", "always", exempt("client", "till"), {}, "allow", "exempt_client"),
    ("a network is exempt", "always", exempt("network", "192.0.2.0/28"), {}, "allow", "exempt_network"),
    ("a verified address of a domain is exempt", "always", exempt("email_domain", "Example.com"), {}, "allow",
     "exempt_email_domain"),
    ("… one that is not verified is not", "always", exempt("email_domain", "example.com"), {"email": None},
     "enroll", "not_enrolled"),
    ("… one of a subdomain is not", "always", exempt("email_domain", "ample.com"), {}, "enroll", "not_enrolled"),
    # --- factors
    ("what is not allowed is not offered", "always", KEYS_ONLY, BOTH, "challenge webauthn-roaming", "enrolled"),
    ("… and proves nothing", "always", KEYS_ONLY, BOTH | {"proven": ("otp",)}, "challenge webauthn-roaming",
     "enrolled"),
    ("who has only what is not allowed any more proves that first", "always", KEYS_ONLY, OTP, "challenge otp",
     "old_factor_first"),
    ("… under when_enrolled too: a stricter list opens no door", "when_enrolled", KEYS_ONLY, OTP, "challenge otp",
     "old_factor_first"),
    ("… and within the grace", "always", KEYS_ONLY | grace(type="days"), OTP, "challenge otp", "old_factor_first"),
    ("… and enrols what is allowed then", "always", KEYS_ONLY, OTP | {"proven": ("otp",)},
     "enroll webauthn-roaming", "not_enrolled"),
    ("a role may be allowed less", "always",
     {"factors": {"by_role": [{"role": "rol_user", "allowed": ["webauthn-roaming"]}]}}, BOTH,
     "challenge webauthn-roaming", "enrolled"),
    ("… other roles are not", "always",
     {"factors": {"by_role": [{"role": "rol_admin", "allowed": ["webauthn-roaming"]}]}}, OTP, "challenge otp",
     "enrolled"),
    ("only what resists phishing", "always", {"factors": {"phishing_resistant_only": True}}, BOTH,
     "challenge webauthn-roaming", "enrolled"),
    ("… for which a recovery code does not stand in", "always", {"factors": {"phishing_resistant_only": True}},
     KEY | {"proven": ("recovery-code",)}, "challenge webauthn-roaming", "enrolled"),
    ("a recovery code can be switched off", "always", {"factors": {"recovery_code": "disabled"}},
     WITH_CODE | {"proven": ("recovery-code",)}, "challenge otp", "enrolled"),
    ("e-mail is no factor for NIST", "always", {"assurance": "nist"},
     {"confirmed": ("email", "otp"), "usable": ("email", "otp"), "proven": ("email",)}, "challenge otp", "enrolled"),
    ("two are demanded: the one there is comes first", "always", {"factors": {"min_enrolled": 2}}, OTP,
     "challenge otp", "old_factor_first"),
    ("… then the second is enrolled", "always", {"factors": {"min_enrolled": 2}}, OTP | {"proven": ("otp",)},
     "enroll", "not_enrolled"),
    ("… and a recovery code is none of them", "always", {"factors": {"min_enrolled": 2}},
     WITH_CODE | {"proven": ("otp",)}, "enroll", "not_enrolled"),
    ("… two are enough", "always", {"factors": {"min_enrolled": 2}}, BOTH | {"proven": ("otp",)}, "allow",
     "factor_proven"),
    # --- grace
    ("within the days from the policy's change", "always", grace(type="days", days=14), {}, "allow", "in_grace"),
    ("… not after them", "always", grace(type="days", days=14), {"policy_age": 14 * DAY}, "enroll", "not_enrolled"),
    ("… nor where nobody knows when it changed", "always", grace(type="days"), {"policy_age": None}, "enroll",
     "not_enrolled"),
    ("within the days of an account", "always", grace(type="days", days=2, starts="user_created"), {}, "allow",
     "in_grace"),
    ("… not after them", "always", grace(type="days", days=1, starts="user_created"), {}, "enroll", "not_enrolled"),
    ("within the days from a first login", "always", grace(type="days", days=1, starts="first_login"), {}, "allow",
     "in_grace"),
    ("… not after them", "always", grace(type="days", days=1, starts="first_login"),
     {"counted": Counted(grace_began_at=NOON - DAY)}, "enroll", "not_enrolled"),
    ("until a date", "always", grace(type="until", until="2026-11-23T12:00:01Z"), {}, "allow", "in_grace"),
    ("… not after it", "always", grace(type="until", until="2026-11-23T12:00:00Z"), {}, "enroll", "not_enrolled"),
    ("some logins are let in", "always", grace(type="skips", skips=2), {"counted": Counted(grace_skips=1)}, "allow",
     "in_grace"),
    ("… no more than that", "always", grace(type="skips", skips=2), {"counted": Counted(grace_skips=2)}, "enroll",
     "not_enrolled"),
    ("… a refresh of the last one is", "always", grace(type="skips", skips=2),
     {"counted": Counted(grace_skips=2), "is_refresh": True}, "allow", "in_grace"),
    ("grace is for those who have none", "always", grace(type="days"), OTP, "challenge otp", "enrolled"),
    ("grace that is over may block", "always",
     enrollment(grace={"type": "until", "until": "2026-11-01T00:00:00Z"}, on_expired="block"), {}, "deny",
     "grace_expired"),
    ("grace is no matter under when_enrolled", "when_enrolled", grace(type="days"), {}, "allow", "not_enrolled"),
    # --- enrolment
    ("enrolment by ticket only", "always", enrollment(self_service="ticket_only"), {}, "deny",
     "enrollment_by_ticket_only"),
    ("… or with an access pass", "always", enrollment(self_service="ticket_only"), {"has_access_pass": True},
     "enroll", "not_enrolled"),
    ("enrolment that is closed", "always", enrollment(self_service="closed"), {}, "deny", "enrollment_closed"),
    ("… is closed to a pass too", "always", enrollment(self_service="closed"), {"has_access_pass": True}, "deny",
     "enrollment_closed"),
    ("… and nobody's business who has a factor", "always", enrollment(self_service="closed"), OTP,
     "challenge otp", "enrolled"),
    ("a window that has not opened", "always", enrollment(window={"opens_at": "2026-11-24T00:00:00Z"}), {}, "deny",
     "enrollment_not_open_yet"),
    ("a window that has closed", "always", enrollment(window={"closes_at": "2026-11-23T12:00:00Z"}), {}, "deny",
     "enrollment_window_closed"),
    ("a window that is open", "always",
     enrollment(window={"opens_at": "2026-11-23T12:00:00Z", "closes_at": "2026-11-24T00:00:00Z"}), {}, "enroll",
     "not_enrolled"),
    ("a proof is needed first", "always", enrollment(proof="access_pass"), {}, "deny", "access_pass_needed"),
    ("… and given", "always", enrollment(proof="access_pass"), {"has_access_pass": True}, "enroll", "not_enrolled"),
    ("a verified contact is needed first", "always", enrollment(proof="verified_contact"), {}, "deny",
     "verified_contact_needed"),
    ("… which can be proven now", "always", enrollment(proof="verified_contact"), CONTACT, "enroll", "contact_owed"),
    ("… and was proven", "always", enrollment(proof="verified_contact"), CONTACT | {"has_proven_contact": True},
     "enroll", "not_enrolled"),
    ("… is no factor", "always", enrollment(proof="verified_contact"), OTP | {"has_proven_contact": True},
     "challenge otp", "enrolled"),
    ("… nor the old one that the policy takes no more", "always", ONLY_EMAIL, OTP | {"has_proven_contact": True},
     "challenge otp", "old_factor_first"),
    ("… and opens no window", "always",
     enrollment(proof="verified_contact", window={"closes_at": "2026-11-23T12:00:00Z"}), CONTACT, "deny",
     "enrollment_window_closed"),
    ("… nor what is by ticket only", "always", enrollment(proof="verified_contact", self_service="ticket_only"),
     CONTACT | {"has_proven_contact": True}, "deny", "enrollment_by_ticket_only"),
    ("… and a pass does without it", "always", enrollment(proof="verified_contact"), {"has_access_pass": True},
     "enroll", "not_enrolled"),
    ("the password alone enrols again soon after a reset", "always", {},
     {"counted": Counted(factors_reset_at=NOON - DAY)}, "enroll", "not_enrolled"),
    ("… not later", "always", {}, {"counted": Counted(factors_reset_at=NOON - DAY - DAY / 24)}, "deny",
     "reset_too_long_ago"),
    ("… unless nobody minds", "always", enrollment(after_reset_hours=None),
     {"counted": Counted(factors_reset_at=NOON - 90 * DAY)}, "enroll", "not_enrolled"),
    # --- emergency accounts
    ("an emergency account is let in", "always", GLASS, OTP | {"user_id": "auth0|ann"}, "allow", "break_glass"),
    ("… from its networks only", "always", GLASS, OTP | {"user_id": "auth0|ann", "ip": "203.0.113.1"},
     "challenge otp", "enrolled"),
    ("… so many times a day", "always", GLASS, {"counted": Counted(break_glass_uses=USES)}, "enroll",
     "not_enrolled"),
    ("… older uses are forgotten", "always", GLASS, {"counted": Counted(break_glass_uses=(NOON - DAY, NOON - DAY))},
     "allow", "break_glass"),
    ("… and with a factor it is like everybody", "always", GLASS, OTP | {"proven": ("otp",)}, "allow",
     "factor_proven"),
    # --- report only
    ("report_only lets in who owes a factor", "always", {"enforcement": "report_only"}, OTP, "allow", "enrolled"),
    ("… and who has none", "always", {"enforcement": "report_only"}, {}, "allow", "not_enrolled"),
    ("… and whom enrolment is closed to", "always",
     {"enforcement": "report_only"} | enrollment(self_service="closed"), {}, "allow", "enrollment_closed"),
    # --- adaptive
    ("signals that are sure ask for nothing", "adaptive", {}, OTP | {"risk": Risk("high")}, "allow",
     "confidence_high"),
    ("… unsure ones do", "adaptive", {}, OTP | {"risk": Risk("low")}, "challenge otp", "enrolled"),
    ("… medium ones by default do not", "adaptive", {}, OTP | {"risk": Risk("medium")}, "allow",
     "confidence_medium"),
    ("… unless wanted", "adaptive", {"adaptive": {"require_at_or_below": "medium"}}, OTP | {"risk": Risk("medium")},
     "challenge otp", "enrolled"),
    ("without signals a factor is owed", "adaptive", {}, OTP, "challenge otp", "enrolled"),
    ("… unless nobody minds", "adaptive", {"adaptive": {"on_unavailable": "allow"}}, OTP, "allow",
     "signals_unavailable"),
    # --- refresh
    ("a refresh takes over what was proven", "always", {}, {"proven": ("otp",), "is_refresh": True}, "allow",
     "factor_proven"),
    ("… while it is allowed", "when_enrolled", KEYS_ONLY, BOTH | {"proven": ("otp",), "is_refresh": True},
     "challenge webauthn-roaming", "enrolled"),
]  # fmt: skip


def names() -> list[str]:
    """A sentence that begins with three dots goes on with the one before."""
    found, whole = [], ""
    for sentence, *_ in TABLE:
        whole = sentence if not sentence.startswith("…") else whole
        found.append(sentence if whole == sentence else f"{whole} {sentence}")
    return found


def standing(mode: Mode, terms: dict[str, Any], **how: Any) -> Standing:
    age = how.pop("policy_age", DAY)
    since = None if age is None else NOON - age
    plain = Standing(
        policy=Policy(terms_of({"mode": mode} | terms), mode, since=since),
        now=NOON,
        user_id="auth0|ann",
        email="ann@example.com",
        user_created_at=NOON - DAY,
        roles=("rol_user",),
        client_id="till",
        audience="api",
        scope=("openid", "read"),
        ip="192.0.2.7",
    )
    return replace(plain, **how)


def short(decision: Decision) -> str:
    """`challenge otp`, `enroll` where all devices may be, `deny`."""
    word = type(decision).__name__.lower()
    kinds = decision.kinds if isinstance(decision, Challenge | Enroll) else ()
    if isinstance(decision, Enroll):
        kinds = tuple(kind for kind in kinds if kind != "recovery-code")
        kinds = () if kinds == DEVICES else kinds
    return " ".join((word, *(kind for kind in kinds if kind != "recovery-code")))


@pytest.mark.parametrize(
    ("mode", "terms", "how", "expected", "reason"), [row[1:] for row in TABLE], ids=names()
)
def test_decision(mode: Mode, terms: dict[str, Any], how: dict[str, Any], expected: str, reason: str) -> None:
    decision = decide(standing(mode, terms, **how))
    assert short(decision) == expected
    assert decision.reasons[-1] == reason


def test_what_lets_somebody_in_is_counted_at_the_login_and_not_at_the_refresh() -> None:
    for terms, spends in (
        (GLASS, "break_glass"),
        (grace(type="skips"), "grace_skip"),
        (grace(type="days", starts="first_login"), "grace_start"),
        (grace(type="days"), None),
    ):
        person = standing("always", terms)
        decision = decide(person)
        assert isinstance(decision, Allow) and decision.spends == spends, terms
        again = decide(replace(person, is_refresh=True))
        assert not isinstance(again, Allow) or again.spends is None


def test_report_only_tells_what_would_have_been() -> None:
    decision = decide(standing("always", {"enforcement": "report_only"}, **OTP))
    assert isinstance(decision, Allow) and decision.spends is None
    assert isinstance(decision.would_be, Challenge)
    assert decision.reasons[0] == "report_only"
    closed = decide(standing("always", {"enforcement": "report_only"} | enrollment(self_service="closed")))
    assert isinstance(closed, Allow) and isinstance(closed.would_be, Deny)
    for terms in (GLASS, grace(type="skips")):
        uncounted = decide(standing("always", {"enforcement": "report_only"} | terms))
        assert isinstance(uncounted, Allow) and uncounted.spends is None and uncounted.would_be is None


def written(mode: str) -> Written:
    return Written(terms=terms_of({"mode": mode}))


ALWAYS, ADAPTIVE = ("all-applications",), ("confidence-score",)
MODES: list[tuple[Written | None, tuple[str, ...], str]] = [
    (None, (), "when_enrolled"),
    (None, ALWAYS, "always"),
    (None, ADAPTIVE, "adaptive"),
    (None, (*ALWAYS, *ADAPTIVE), "always"),
    (written("inherit"), (), "never"),
    (written("inherit"), ALWAYS, "always"),
    (written("inherit"), ADAPTIVE, "adaptive"),
    (written("never"), ALWAYS, "never"),
    (written("when_enrolled"), (), "when_enrolled"),
    (written("always"), (), "always"),
    (read_written({"terms": {"mode": "a word nobody knows"}}), (), "always"),
    (read_written({"terms": {"mode": "never", "unknown": 1}}), (), "always"),
    (read_written("nonsense"), (), "always"),
]


@pytest.mark.parametrize(("policy", "tenant_policies", "expected"), MODES)
def test_the_mode_in_force(policy: Written | None, tenant_policies: tuple[str, ...], expected: str) -> None:
    assert policy_of(policy, tenant_policies).mode == expected


def test_a_realm_without_a_policy_is_never_weaker_than_when_enrolled() -> None:
    sure = replace(standing("adaptive", {}, **OTP), risk=Risk("high"))
    assert isinstance(decide(sure), Allow)
    unwritten = replace(sure, policy=policy_of(None, ADAPTIVE))
    assert isinstance(decide(unwritten), Challenge)
