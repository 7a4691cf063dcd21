"""`/guardian`: which factors the tenant has, when they are asked for, and the settings of their providers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app import accounts
from app.channels.wording import problem_of
from app.errors import NotPossible
from app.factors.vocabulary import BY_GUARDIAN, DOCUMENT, switches
from app.store import documents, tenant
from app.web.management.operation import Call, operation
from app.web.management.schema import Body, Lenient
from app.web.management.setting import Setting, content_of, operations_of

READ, UPDATE = "read:guardian_factors", "update:guardian_factors"


@operation("GET", "/guardian/factors", scopes=READ)
def list_factors(call: Call) -> object:
    """All factors, on and off"""
    on = switches(content_of(call, DOCUMENT))
    return [{"name": name, "enabled": is_on, "trial_expired": False} for name, is_on in on.items()]


class FactorSwitch(Body):
    enabled: bool


@operation("PUT", "/guardian/factors/{name}", scopes=UPDATE, body=FactorSwitch)
def switch_factor(call: Call) -> object:
    """Switch a factor on or off: whether people may enrol it"""
    name = call.path["name"]
    if name not in BY_GUARDIAN:
        text = f"Path validation error: 'No enum match, expected {', '.join(BY_GUARDIAN)}' on property name."
        raise NotPossible(text, reason="invalid_uri")
    with call.ctx.db.write() as conn:
        tenant.lock_tenant(conn)  # tools switch several at once
        known = documents.find_document(conn, DOCUMENT)
        on = switches(known.content if known else None)
        accounts.put_document(conn, call.ctx, DOCUMENT, on | {name: call.body.enabled})
    return {"enabled": call.body.enabled}


@operation("GET", "/guardian/policies", scopes="read:mfa_policies")
def list_policies(call: Call) -> object:
    """When the tenant asks for a second factor; `[]` is never"""
    with call.ctx.db.read() as conn:
        return list(call.ctx.look_up(conn, tenant.get_tenant).mfa_policies)


@operation(
    "PUT",
    "/guardian/policies",
    scopes="update:mfa_policies",
    body=Annotated[list[Literal["all-applications", "confidence-score"]], Field(max_length=2)],
)
def put_policies(call: Call) -> object:
    """Set when the tenant asks for a second factor"""
    with call.ctx.db.write() as conn:
        accounts.set_mfa_policies(conn, call.ctx, tenant.get_tenant(conn), tuple(call.body))
    return call.body


# --- settings of providers: kept and shown, secrets apart ----------------------------------------------------------


class MessageTypes(Body):
    message_types: Annotated[list[Literal["sms", "voice"]], Field(max_length=2)]


class PhoneProvider(Body):
    provider: Literal["auth0", "twilio", "phone-message-hook"]


class PushProvider(Body):
    provider: Literal["guardian", "sns", "direct"]


class Twilio(Body):
    from_: str | None = Field(None, alias="from", max_length=64)
    messaging_service_sid: Annotated[str, Field(max_length=1000)] | None = None
    auth_token: Annotated[str, Field(max_length=1000)] | None = None
    sid: Annotated[str, Field(max_length=1000)] | None = None


def _template(name: str) -> AfterValidator:
    """Liquid that can be read. Raises NotPossible."""

    def check(text: str) -> str:
        problem = problem_of(text)
        if problem is not None:
            raise NotPossible(f"Invalid {name} template: {problem}")
        return text

    return AfterValidator(check)


Text1000 = Annotated[str, Field(min_length=1, max_length=1000)]


class Templates(Body):
    enrollment_message: Annotated[Text1000, _template("enrollment message")]
    verification_message: Annotated[Text1000, _template("verification message")]


class Sns(Lenient):
    aws_secret_access_key: str | None = None


class Apns(Lenient):
    """A certificate as Auth0 takes it, or (ours) a signing key with its `key_id` and `team_id`."""

    bundle_id: str | None = None
    sandbox: bool | None = None
    p12: str | None = None
    p8: str | None = None
    key_id: str | None = None
    team_id: str | None = None


class Fcm(Lenient):
    server_key: str | None = None


class FcmV1(Lenient):
    server_credentials: str | None = None


class Duo(Lenient):
    skey: str | None = None


class WebAuthn(Lenient):
    userVerification: Literal["required", "preferred", "discouraged"] | None = None
    overrideRelyingParty: bool | None = None
    relyingPartyIdentifier: str | None = None


DEFAULT_TEMPLATES = {
    "enrollment_message": (
        "{{code}} is your verification code for {{tenant.friendly_name}}. "
        "Please enter this code to verify your enrollment."
    ),
    "verification_message": "{{code}} is your verification code for {{tenant.friendly_name}}",
}
PHONE = ("phone", "sms")  # two addresses of one thing


SCOPES = (READ, UPDATE)
PUSH = "/guardian/factors/push-notification"
ALL = ("GET", "PUT", "PATCH")

SETTINGS = (
    Setting("/guardian/factors/phone/message-types", MessageTypes, SCOPES, {"message_types": []}),
    *(
        Setting(
            f"/guardian/factors/{word}/{path}",
            body,
            SCOPES,
            default,
            secrets=secrets,
            document=f"guardian/factors/phone/{path}",
        )
        for word in PHONE
        for path, body, default, secrets in (
            ("selected-provider", PhoneProvider, {"provider": "auth0"}, ()),
            ("providers/twilio", Twilio, {}, ("auth_token",)),
            ("templates", Templates, DEFAULT_TEMPLATES, ()),
        )
    ),
    Setting(f"{PUSH}/selected-provider", PushProvider, SCOPES, {"provider": "guardian"}),
    Setting(f"{PUSH}/providers/sns", Sns, SCOPES, methods=ALL, secrets=("aws_secret_access_key",)),
    Setting(f"{PUSH}/providers/apns", Apns, SCOPES, methods=ALL, secrets=("p12", "p8")),
    Setting(f"{PUSH}/providers/fcm", Fcm, SCOPES, methods=ALL[1:], secrets=("server_key",), is_shown=False),
    Setting(
        f"{PUSH}/providers/fcmv1",
        FcmV1,
        SCOPES,
        methods=ALL[1:],
        secrets=("server_credentials",),
        is_shown=False,
    ),
    Setting("/guardian/factors/duo/settings", Duo, SCOPES, methods=ALL, secrets=("skey",)),
    Setting(
        "/guardian/factors/webauthn-roaming/settings",
        WebAuthn,
        SCOPES,
        {"userVerification": "preferred", "overrideRelyingParty": False},
    ),
    Setting(
        "/guardian/factors/webauthn-platform/settings", WebAuthn, SCOPES, {"overrideRelyingParty": False}
    ),
)

OPERATIONS = (
    list_factors,
    switch_factor,
    list_policies,
    put_policies,
    *(made for setting in SETTINGS for made in operations_of(setting)),
)
