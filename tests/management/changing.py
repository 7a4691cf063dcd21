"""A right call of every operation that changes something, and what must be there for it to succeed.

Each is made over the API itself, on things of its own, so that the calls may come in any order. What is secret in a
body is `CANARY`.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import quote

from webauthn.helpers import bytes_to_base64url, encode_cbor
from werkzeug.test import TestResponse

from app.web.management.operation import Operation
from tests import making
from tests.jose import public_pem
from tests.making import API, Cast
from tests.management.conftest import ADMIN_SECRET, Admin
from tests.records import bcrypt_hash, record
from tests.security_key import SecurityKey, cose_of
from tests.wire import FULL, Wire, bearer

CANARY = "CanaryOfASecret-0123456789-abcdefghijklmnopqrstuvwxyz"
CANARY_BASE32 = "CANARYCANARYCANARYCANARYCANARYCA"
SCRIPT = "function (user, context, callback) { callback(null, user, context); }"
HOOK = "module.exports = function (client, scope, audience, context, cb) { cb(null, {}); };"
ACTION = "exports.onExecutePostLogin = async (event, api) => {};"

_numbers = count(1)


@dataclass(frozen=True)
class Request:
    path: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, bytes] | None = None
    """Of multipart/form-data, in the place of a body."""


def fresh(word: str) -> str:
    return f"{word}-{next(_numbers)}"


class World:
    """Makes what calls need."""

    def __init__(self, admin: Admin, wire: Wire, cast: Cast) -> None:
        self.admin, self.wire, self.cast = admin, wire, cast

    def user(self, **members: Any) -> str:
        body = {"connection": "staff", "password": CANARY, "email": f"{fresh('person')}@example.com"}
        return str(self.admin.post("/users", body | members)["user_id"])

    def with_totp(self) -> tuple[str, str]:
        user_id = self.user()
        body = {"type": "totp", "name": "phone"}
        made = self.admin.post(f"/users/{quote(user_id)}/authentication-methods", body)
        return user_id, str(made["id"])

    def with_recovery_code(self) -> str:
        user_id, _ = self.with_totp()
        making.give_recovery_code(self.wire.server, replace(self.cast.bob, id=user_id), fresh("CODE"))
        return user_id

    def refresh_token(self) -> tuple[str, str]:
        """A person's id and the id of a token."""
        address = f"{fresh('person')}@example.com"
        user_id = self.user(email=address)
        self.wire.ok(self.wire.password(address, CANARY, **FULL))
        [token] = self.admin.get(f"/users/{quote(user_id)}/refresh-tokens")["tokens"]
        return user_id, str(token["id"])

    def role(self) -> str:
        return str(self.admin.post("/roles", {"name": fresh("role")}, 200)["id"])

    def rule(self) -> str:
        return str(self.admin.post("/rules", {"name": fresh("rule"), "script": SCRIPT})["id"])

    def action(self, **members: Any) -> str:
        body = {"name": fresh("action"), "code": ACTION, "supported_triggers": [{"id": "post-login"}]}
        return str(self.admin.post("/actions/actions", body | members)["id"])

    def hook(self) -> str:
        body = {"name": fresh("hook"), "script": HOOK, "triggerId": "credentials-exchange"}
        return str(self.admin.post("/hooks", body)["id"])

    def hook_with_secret(self) -> str:
        hook_id = self.hook()
        self.admin.post(f"/hooks/{hook_id}/secrets", {"KEY": CANARY + "before"})
        return hook_id

    def connection(self) -> str:
        body = {"name": fresh("realm"), "strategy": "auth0"}
        return str(self.admin.post("/connections", body)["id"])

    def client(self, **members: Any) -> str:
        return str(self.admin.post("/clients", {"name": fresh("client")} | members)["client_id"])

    def credential(self) -> tuple[str, str]:
        client_id = self.client()
        body = {"credential_type": "public_key", "pem": public_pem("signer")}
        return client_id, str(self.admin.post(f"/clients/{client_id}/credentials", body)["id"])

    def api(self) -> tuple[str, str]:
        """Its id and its identifier."""
        made = self.admin.post("/resource-servers", {"identifier": f"https://{fresh('api')}.example.com/v1"})
        return str(made["id"]), str(made["identifier"])

    def grant(self) -> str:
        body = {"client_id": self.client(), "audience": API, "scope": ["read:things"]}
        return str(self.admin.post("/client-grants", body)["id"])

    def exemption(self) -> tuple[str, str]:
        realm = self.connection()
        body = {"type": "client", "value": "app", "reason": "a robot"}
        made = self.admin.post(f"/connections/{realm}/mfa-policy/exemptions", body)
        return realm, str(made["id"])

    def written_policy(self) -> str:
        realm = self.connection()
        self.admin.put(f"/connections/{realm}/mfa-policy", {"mode": "when_enrolled"})
        return realm

    def stream(self) -> str:
        return str(self.admin.post("/log-streams", dict(STREAM, name=fresh("stream")), 200)["id"])

    def mail(self, *, is_there: bool) -> None:
        answer = self.admin.ask("DELETE", "/emails/provider")
        assert answer.status_code in (204, 404)
        if is_there:
            self.admin.post("/emails/provider", MAIL)

    def template(self, name: str) -> str:
        answer = self.admin.ask("POST", "/email-templates", TEMPLATE | {"template": name})
        assert answer.status_code in (200, 409)
        return name

    def signing_key(self) -> str:
        """One that is not in use any more, nor has signed the administrator's token."""
        self.admin.post("/keys/signing/rotate", None)
        client = {"client_id": "admin", "client_secret": ADMIN_SECRET}
        audience = f"{self.wire.server.settings.issuer}api/v2/"
        granted = self.wire.token(grant_type="client_credentials", audience=audience, **client)
        self.admin.token = str(self.wire.ok(granted)["access_token"])
        return next(
            str(key["kid"])
            for key in self.admin.get("/keys/signing")
            if key.get("previous") and not key.get("revoked")
        )


PERMISSIONS = {"permissions": [{"resource_server_identifier": API, "permission_name": "read:things"}]}
STREAM = {
    "type": "http",
    "sink": {
        "httpEndpoint": "https://siem.example.com/in",
        "httpAuthorization": CANARY,
        "httpCustomHeaders": [{"header": "X-Key", "value": CANARY}],
    },
}
MAIL = {
    "name": "smtp",
    "default_from_address": "belay@example.com",
    "credentials": {"smtp_host": "mail.example.com", "smtp_port": 587, "smtp_user": "u", "smtp_pass": CANARY},
}
TEMPLATE = {
    "template": "verify_email",
    "body": "<p>{{ url }}</p>",
    "from": "a@example.com",
    "subject": "Hello",
    "syntax": "liquid",
    "enabled": True,
}
FACTORS = "/guardian/factors"
PUSH = f"{FACTORS}/push-notification"
METHODS = "/users/{id}/authentication-methods"
POLICY = "/connections/{id}/mfa-policy"


def _key(world: World) -> Request:
    key = SecurityKey()
    body = {
        "type": "webauthn-roaming",
        "key_id": bytes_to_base64url(key.id),
        "public_key": b64encode(encode_cbor(cose_of(key.private_key, key.alg))).decode(),
        "relying_party_identifier": "localhost",
    }
    return Request({"id": world.user()}, body)


def _of(**path: str) -> Request:
    return Request(path)


def _method(world: World, body: Any = None) -> Request:
    user_id, method_id = world.with_totp()
    return Request({"id": user_id, "authentication_method_id": method_id}, body)


def _credential(world: World, body: Any = None) -> Request:
    client_id, key_id = world.credential()
    return Request({"client_id": client_id, "credential_id": key_id}, body)


def _exemption(world: World) -> Request:
    realm, exemption = world.exemption()
    return Request({"id": realm, "exemption_id": exemption})


def _version(world: World) -> Request:
    action = world.action(deploy=True)
    world.admin.patch(f"/actions/actions/{action}", {"code": ACTION + " // 2"})
    world.admin.post(f"/actions/actions/{action}/deploy", None, 200)
    versions = world.admin.get(f"/actions/actions/{action}/versions")["versions"]
    return Request({"actionId": action, "id": versions[-1]["id"]})


def _bindings(world: World) -> Request:
    action = world.action(deploy=True)
    ref = {"ref": {"type": "action_id", "value": action}, "display_name": fresh("bound")}
    return Request({"triggerId": "post-login"}, {"bindings": [ref]})


def _members(world: World, path: str, adds: bool) -> Request:
    """Of a role or a user, permissions."""
    one = world.role() if path == "roles" else world.user()
    if not adds:
        world.admin.post(f"/{path}/{quote(one)}/permissions", PERMISSIONS)
    return Request({"id": one}, PERMISSIONS)


def _user_roles(world: World, adds: bool) -> Request:
    user_id, body = world.user(), {"roles": [world.role()]}
    if not adds:
        world.admin.ask("POST", f"/users/{quote(user_id)}/roles", body)
    return Request({"id": user_id}, body)


def _blocked(world: World) -> tuple[str, str]:
    address = f"{fresh('person')}@example.com"
    user_id = world.user(email=address)
    for _ in range(11):
        world.wire.password(address, "wrong")
    return user_id, address


def _import(world: World) -> Request:
    one = record(f"{fresh('imported')}@example.com", password_hash=bcrypt_hash())
    content = json.dumps([one]).encode()
    return Request(parts={"users": content, "connection_id": world.cast.staff.id.encode()})


def _mail(world: World, *, is_there: bool, body: Any = None) -> Request:
    world.mail(is_there=is_there)
    return Request(body=body)


def _setting(body: Any) -> Callable[[World], Request]:
    return lambda world: Request(body=body)


CALLS: dict[str, Callable[[World], Request]] = {
    "POST /users": lambda w: Request(
        body={
            "connection": "staff",
            "email": f"{fresh('person')}@example.com",
            "password": CANARY,
            "app_metadata": {"key": CANARY},
            "user_metadata": {"pin": CANARY},
        }
    ),
    "PATCH /users/{id}": lambda w: Request({"id": w.user()}, {"password": CANARY + "2", "name": "New"}),
    "DELETE /users/{id}": lambda w: _of(id=w.user()),
    f"POST {METHODS}": lambda w: Request(
        {"id": w.user()}, {"type": "totp", "totp_secret": CANARY_BASE32, "name": "phone"}
    ),
    f"PUT {METHODS}": lambda w: Request(
        {"id": w.with_totp()[0]}, [{"type": "totp", "totp_secret": CANARY_BASE32, "name": "new"}]
    ),
    f"PATCH {METHODS}/{{authentication_method_id}}": lambda w: _method(w, {"name": "tablet"}),
    f"DELETE {METHODS}/{{authentication_method_id}}": _method,
    f"DELETE {METHODS}": lambda w: _of(id=w.with_totp()[0]),
    "DELETE /users/{id}/authenticators": lambda w: _of(id=w.with_totp()[0]),
    "DELETE /users/{id}/multifactor/{provider}": lambda w: _of(
        id=w.with_totp()[0], provider="google-authenticator"
    ),
    "POST /users/{id}/recovery-code-regeneration": lambda w: _of(id=w.with_recovery_code()),
    "POST /users/{id}/multifactor/actions/invalidate-remember-browser": lambda w: _of(id=w.user()),
    "DELETE /guardian/enrollments/{id}": lambda w: _of(id=w.with_totp()[1]),
    "POST /users/{id}/access-passes": lambda w: Request({"id": w.user()}, {"reason": "a lost phone"}),
    "DELETE /users/{id}/access-passes": lambda w: _of(id=w.user()),
    "POST /users/{id}/mfa-reset": lambda w: Request(
        {"id": w.with_totp()[0]}, {"reason": "a lost phone", "access_pass_seconds": 600}
    ),
    "PATCH /refresh-tokens/{id}": lambda w: Request(
        {"id": w.refresh_token()[1]}, {"refresh_token_metadata": {"till": "7"}}
    ),
    "DELETE /refresh-tokens/{id}": lambda w: _of(id=w.refresh_token()[1]),
    "DELETE /users/{user_id}/refresh-tokens": lambda w: _of(user_id=w.refresh_token()[0]),
    "POST /refresh-tokens/revoke": lambda w: Request(body={"ids": [w.refresh_token()[1]]}),
    "POST /users/{id}/revoke-access": lambda w: Request({"id": w.refresh_token()[0]}, {}),
    "DELETE /device-credentials/{id}": lambda w: _of(id=w.refresh_token()[1]),
    "POST /roles": lambda w: Request(body={"name": fresh("role"), "description": "d"}),
    "PATCH /roles/{id}": lambda w: Request({"id": w.role()}, {"name": fresh("role")}),
    "DELETE /roles/{id}": lambda w: _of(id=w.role()),
    "POST /roles/{id}/permissions": lambda w: _members(w, "roles", adds=True),
    "DELETE /roles/{id}/permissions": lambda w: _members(w, "roles", adds=False),
    "POST /users/{id}/permissions": lambda w: _members(w, "users", adds=True),
    "DELETE /users/{id}/permissions": lambda w: _members(w, "users", adds=False),
    "POST /roles/{id}/users": lambda w: Request({"id": w.role()}, {"users": [w.user()]}),
    "POST /users/{id}/roles": lambda w: _user_roles(w, adds=True),
    "DELETE /users/{id}/roles": lambda w: _user_roles(w, adds=False),
    "POST /rules": lambda w: Request(body={"name": fresh("rule"), "script": SCRIPT}),
    "PATCH /rules/{id}": lambda w: Request({"id": w.rule()}, {"enabled": False}),
    "DELETE /rules/{id}": lambda w: _of(id=w.rule()),
    "PUT /rules-configs/{key}": lambda w: Request({"key": f"K{next(_numbers)}"}, {"value": CANARY}),
    "DELETE /rules-configs/{key}": lambda w: _config(w),
    "POST /actions/actions": lambda w: Request(
        body={
            "name": fresh("action"),
            "code": ACTION,
            "supported_triggers": [{"id": "post-login"}],
            "secrets": [{"name": "KEY", "value": CANARY}],
        }
    ),
    "PATCH /actions/actions/{id}": lambda w: Request(
        {"id": w.action()}, {"name": fresh("action"), "secrets": [{"name": "KEY", "value": CANARY}]}
    ),
    "DELETE /actions/actions/{id}": lambda w: _of(id=w.action()),
    "POST /actions/actions/{id}/deploy": lambda w: _of(id=w.action()),
    "POST /actions/actions/{actionId}/versions/{id}/deploy": _version,
    "PATCH /actions/triggers/{triggerId}/bindings": _bindings,
    "POST /hooks": lambda w: Request(
        body={"name": fresh("hook"), "script": HOOK, "triggerId": "credentials-exchange"}
    ),
    "PATCH /hooks/{id}": lambda w: Request({"id": w.hook()}, {"name": fresh("hook")}),
    "DELETE /hooks/{id}": lambda w: _of(id=w.hook()),
    "POST /hooks/{id}/secrets": lambda w: Request({"id": w.hook()}, {"KEY": CANARY}),
    "PATCH /hooks/{id}/secrets": lambda w: Request({"id": w.hook_with_secret()}, {"KEY": CANARY}),
    "DELETE /hooks/{id}/secrets": lambda w: Request({"id": w.hook_with_secret()}, ["KEY"]),
    "POST /connections": lambda w: Request(
        body={
            "name": fresh("realm"),
            "strategy": "auth0",
            "options": {"configuration": {"key": CANARY}, "client_secret": CANARY},
        }
    ),
    "PATCH /connections/{id}": lambda w: Request(
        {"id": w.connection()}, {"options": {"configuration": {"key": CANARY}, "disable_signup": True}}
    ),
    "DELETE /connections/{id}": lambda w: _of(id=w.connection()),
    "PATCH /connections/{id}/clients": lambda w: Request(
        {"id": w.connection()}, [{"client_id": w.client(), "status": True}]
    ),
    "DELETE /connections/{id}/users": lambda w: _by_address(w),
    "POST /clients": lambda w: Request(body={"name": fresh("client"), "addons": {"x": {"key": CANARY}}}),
    "PATCH /clients/{id}": lambda w: Request(
        {"id": w.client()}, {"description": "d", "client_metadata": {"key": CANARY}}
    ),
    "DELETE /clients/{id}": lambda w: _of(id=w.client()),
    "POST /clients/{id}/rotate-secret": lambda w: _of(id=w.client()),
    "POST /clients/{client_id}/credentials": lambda w: Request(
        {"client_id": w.client()}, {"credential_type": "public_key", "pem": public_pem("signer")}
    ),
    "PATCH /clients/{client_id}/credentials/{credential_id}": lambda w: _credential(
        w, {"expires_at": "2030-01-01T00:00:00.000Z"}
    ),
    "DELETE /clients/{client_id}/credentials/{credential_id}": _credential,
    "POST /resource-servers": lambda w: Request(
        body={"identifier": f"urn:{fresh('api')}", "signing_secret": CANARY}
    ),
    "PATCH /resource-servers/{id}": lambda w: Request({"id": w.api()[1]}, {"token_lifetime": 1234}),
    "DELETE /resource-servers/{id}": lambda w: _of(id=w.api()[0]),
    "POST /client-grants": lambda w: Request(
        body={"client_id": w.client(), "audience": API, "scope": ["read:things"]}
    ),
    "PATCH /client-grants/{id}": lambda w: Request({"id": w.grant()}, {"scope": ["write:things"]}),
    "DELETE /client-grants/{id}": lambda w: _of(id=w.grant()),
    "PATCH /tenants/settings": lambda w: Request(
        body={"friendly_name": fresh("Tenant"), "device_flow": {"secret": CANARY}}
    ),
    f"PUT {FACTORS}/{{name}}": lambda w: Request({"name": "email"}, {"enabled": True}),
    "PUT /guardian/policies": _setting(["all-applications"]),
    f"PUT {FACTORS}/phone/message-types": _setting({"message_types": ["voice"]}),
    **{
        f"PUT {FACTORS}/{word}/{path}": _setting(body)
        for word, number in (("phone", 0), ("sms", 1))
        for path, body in (
            ("selected-provider", {"provider": ("twilio", "phone-message-hook")[number]}),
            ("providers/twilio", {"from": f"+1555000{number}", "sid": "AC1", "auth_token": CANARY}),
            (
                "templates",
                {"enrollment_message": "{{ code }}", "verification_message": f"{number} {{{{ code }}}}"},
            ),
        )
    },
    f"PUT {PUSH}/selected-provider": _setting({"provider": "direct"}),
    **{
        f"{method} {PUSH}/providers/{name}": _setting(body)
        for method in ("PUT", "PATCH")
        for name, body in (
            ("sns", {"aws_region": method, "aws_secret_access_key": CANARY}),
            ("apns", {"bundle_id": f"com.example.{method}", "p12": CANARY}),
            ("fcm", {"server_key": CANARY}),
            ("fcmv1", {"server_credentials": CANARY}),
        )
    },
    **{
        f"{method} {FACTORS}/duo/settings": _setting({"ikey": method, "host": "h", "skey": CANARY})
        for method in ("PUT", "PATCH")
    },
    f"PUT {FACTORS}/webauthn-roaming/settings": _setting({"userVerification": "required"}),
    f"PUT {FACTORS}/webauthn-platform/settings": _setting({"userVerification": "required"}),
    f"PUT {POLICY}": lambda w: Request({"id": w.connection()}, {"mode": "always"}),
    f"PATCH {POLICY}": lambda w: Request({"id": w.written_policy()}, {"mode": "always"}),
    f"DELETE {POLICY}": lambda w: _of(id=w.written_policy()),
    f"POST {POLICY}/exemptions": lambda w: Request(
        {"id": w.connection()}, {"type": "client", "value": "app", "reason": "a robot"}
    ),
    f"DELETE {POLICY}/exemptions/{{exemption_id}}": _exemption,
    "PATCH /attack-protection/brute-force-protection": _setting({"max_attempts": 9}),
    "PATCH /attack-protection/suspicious-ip-throttling": _setting({"allowlist": ["192.0.2.9"]}),
    "PATCH /attack-protection/breached-password-detection": _setting({"method": "enhanced"}),
    "PATCH /attack-protection/bot-detection": _setting({"bot_detection_level": "low"}),
    "PATCH /attack-protection/captcha": _setting({"hcaptcha": {"site_key": "s", "secret": CANARY}}),
    "POST /tickets/password-change": lambda w: Request(body={"user_id": w.user()}),
    "POST /tickets/email-verification": lambda w: Request(body={"user_id": w.user()}),
    "POST /guardian/enrollments/ticket": lambda w: Request(body={"user_id": w.user(), "send_mail": False}),
    "DELETE /user-blocks": lambda w: Request(query={"identifier": _blocked(w)[1]}),
    "DELETE /user-blocks/{id}": lambda w: _of(id=_blocked(w)[0]),
    "DELETE /anomaly/blocks/ips/{id}": lambda w: _of(id="192.0.2.77"),
    "POST /emails/provider": lambda w: _mail(w, is_there=False, body=MAIL),
    "PATCH /emails/provider": lambda w: _mail(
        w, is_there=True, body={"enabled": False, "credentials": MAIL["credentials"]}
    ),
    "DELETE /emails/provider": lambda w: _mail(w, is_there=True),
    "POST /email-templates": lambda w: Request(body=TEMPLATE | {"template": "welcome_email"}),
    "PUT /email-templates/{templateName}": lambda w: Request(
        {"templateName": w.template("verify_email")}, TEMPLATE | {"subject": "Other"}
    ),
    "PATCH /email-templates/{templateName}": lambda w: Request(
        {"templateName": w.template("reset_email")}, {"subject": "Another"}
    ),
    "POST /jobs/users-imports": _import,
    "POST /jobs/users-exports": lambda w: Request(body={"format": "csv"}),
    "POST /jobs/mfa-reset": lambda w: Request(body={"user_ids": [w.user()], "reason": "lost"}),
    "POST /jobs/verification-email": lambda w: Request(body={"user_id": w.user()}),
    "POST /jobs/mfa-rehearsal": lambda w: Request(
        body={"connection_id": w.cast.staff.id, "policy": {"mode": "always"}}
    ),
    "POST /keys/signing/rotate": lambda w: Request(),
    "PUT /keys/signing/{kid}/revoke": lambda w: _of(kid=w.signing_key()),
    "POST /log-streams": lambda w: Request(body=STREAM),
    "PATCH /log-streams/{id}": lambda w: Request(
        {"id": w.stream()}, {"name": fresh("stream"), "sink": STREAM["sink"]}
    ),
    "DELETE /log-streams/{id}": lambda w: _of(id=w.stream()),
    "PATCH /branding": _setting({"logo_url": "https://example.com/logo.png"}),
    "PUT /prompts/mfa-push": _setting({"app_name": "Till"}),
}
"""By method and path, as operations name themselves."""

NO_CHANGE = {
    "POST /connections/{id}/mfa-policy/evaluate": "asks what would be decided",
    "DELETE /users/{user_id}/sessions": "there are no sessions",
    "PATCH /sessions/{id}": "there are no sessions",
    "DELETE /sessions/{id}": "there are no sessions",
    "POST /sessions/{id}/revoke": "there are no sessions",
    "DELETE /grants": "nobody consents to anything",
    "DELETE /grants/{id}": "nobody consents to anything",
}


def _config(world: World) -> Request:
    key = f"K{next(_numbers)}"
    world.admin.put(f"/rules-configs/{key}", {"value": CANARY})
    return _of(key=key)


def _by_address(world: World) -> Request:
    address = f"{fresh('person')}@example.com"
    world.user(email=address)
    return Request({"id": world.cast.staff.id}, query={"email": address})


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def send(admin: Admin, name: str, request: Request) -> TestResponse:
    method, path = name.split()
    for member, value in request.path.items():
        path = path.replace(f"{{{member}}}", quote(value, safe=""))
    if request.parts is None:
        return admin.ask(method, path, request.body, **request.query)
    head = "--limit\r\nContent-Disposition: form-data; name={0}\r\n\r\n"
    body = b"".join(
        head.format(f'"{part}"' + ('; filename="f.json"' if part == "users" else "")).encode()
        + value
        + b"\r\n"
        for part, value in request.parts.items()
    )
    headers = bearer(admin.token) | {"Content-Type": "multipart/form-data; boundary=limit"}
    return admin.wire.client.open(
        f"/api/v2{path}", method=method, data=body + b"--limit--\r\n", headers=headers
    )
