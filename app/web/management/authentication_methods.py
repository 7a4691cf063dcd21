"""`/users/{id}/authentication-methods` and the older ways to somebody's second factors."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.accounts import changes, factors
from app.errors import Forbidden, Missing, NotPossible
from app.factors import FACTORS, ways
from app.factors.vocabulary import BY_KIND
from app.store import authenticators, passkeys
from app.store.authenticators import Authenticator
from app.store.passkeys import Passkey
from app.web.management.operation import Call, operation
from app.web.management.paging import Paged, whole_page
from app.web.management.schema import Body, Email, Phone, Text300
from app.web.management.users import get_user
from app.web.management.wire import timestamp

UNKNOWN = "The authentication method could not be found."
NOT_SERVED = "Authentication methods of this type cannot be made by this server yet."


DEVICE_TYPES: dict[object, str | None] = {None: None, False: "single_device", True: "multi_device"}


def view(known: Authenticator, on: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Never the secret; what a security key tells of itself is none. `on`: the kinds by which it may be asked, too."""
    return _told_of(known, on) | {
        "id": known.id,
        "type": BY_KIND[known.kind].method,
        "confirmed": known.confirmed_at is not None,
        "name": known.name,
        "created_at": timestamp(known.created_at),
        "enrolled_at": timestamp(known.confirmed_at),
        "last_auth_at": timestamp(known.last_used_at),
    }


def passkey_view(known: Passkey) -> dict[str, Any]:
    return {
        "id": known.id,
        "type": "passkey",
        "confirmed": True,
        "name": known.name,
        "created_at": timestamp(known.created_at),
        "enrolled_at": timestamp(known.created_at),
        "last_auth_at": timestamp(known.last_used_at),
        "key_id": known.credential_id,
        "public_key": known.public_key,
        "relying_party_identifier": known.rp_id,
        "aaguid": known.details["aaguid"],
        "credential_device_type": DEVICE_TYPES[known.details["is_synced"]],
        "credential_backed_up": known.details["is_backed_up"],
        "identity_user_id": known.user_id.partition("|")[2],
        "user_agent": known.details["user_agent"],
    }


def _views(call: Call, conn: Connection, found: Sequence[Authenticator | Passkey]) -> list[dict[str, Any]]:
    on = ways.kinds_on(call.ctx, conn, [known for known in found if isinstance(known, Authenticator)])
    return [passkey_view(known) if isinstance(known, Passkey) else view(known, on) for known in found]


def _view(call: Call, conn: Connection, known: Authenticator | Passkey) -> dict[str, Any]:
    return _views(call, conn, [known])[0]


def _told_of(known: Authenticator, on: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Where codes go, masked as its owner sees it, or what a key is known by."""
    if known.credential_id is not None:
        return {
            "key_id": known.credential_id,
            "public_key": known.details["public_key"],
            "relying_party_identifier": known.details["rp_id"],
            "aaguid": known.details["aaguid"],
            "credential_device_type": DEVICE_TYPES[known.details["is_synced"]],
            "credential_backed_up": known.details["is_backed_up"],
        }
    if known.kind == "email":
        return {"email": FACTORS["email"].shown_name(known)}
    if BY_KIND[known.kind].method == "phone":
        return {
            "phone_number": FACTORS[known.kind].shown_name(known),
            "preferred_authentication_method": known.kind,
            "authentication_methods": [
                {"type": way.kind, "id": ways.shown_id(way)} for way in ways.ways_to(known, on)
            ],
        }
    if known.kind == "push":  # beside no one-time password: enrolling one makes none
        link_id = known.id.partition("|")[2]
        return {"authentication_methods": [{"type": "push", "id": known.id}], "link_id": link_id}
    return {}


def _listed(conn: Connection, user_id: str) -> list[Authenticator]:
    get_user(conn, user_id)
    return [
        a
        for a in authenticators.list_authenticators(conn, user_id)
        if a.kind != "recovery_code" or a.confirmed_at is not None
    ]


def _methods_of(conn: Connection, user_id: str) -> list[Authenticator | Passkey]:
    return [*_listed(conn, user_id), *passkeys.list_passkeys(conn, user_id)]


def _without_passkeys(conn: Connection, user_id: str) -> None:
    """All methods are put aside at once only where nobody loses the way in by it. Raises Forbidden."""
    if passkeys.list_passkeys(conn, user_id):
        text = "Operation not permitted when the user has registered at least 1 passkey"
        raise Forbidden(text, reason="operation_not_supported")


def _find(conn: Connection, call: Call) -> Authenticator | Passkey:
    """Raises Missing."""
    for known in _methods_of(conn, call.id):
        wanted = call.path["authentication_method_id"]
        if known.id == wanted or (isinstance(known, Authenticator) and ways.is_called(known, wanted)):
            return known
    raise Missing(UNKNOWN, reason="inexistent_authentication_method")


@operation("GET", "/users/{id}/authentication-methods", scopes="read:authentication_methods", query=Paged)
def list_methods(call: Call) -> object:
    """Second factors and passkeys of a user, those that wait for their confirmation included"""
    with call.ctx.db.read() as conn:
        found = _views(call, conn, _methods_of(conn, call.id))
        return whole_page(call.query, "authenticators", found, dict)


@operation(
    "GET",
    "/users/{id}/authentication-methods/{authentication_method_id}",
    scopes="read:authentication_methods",
)
def show_method(call: Call) -> object:
    """A second factor of a user"""
    with call.ctx.db.read() as conn:
        return _view(call, conn, _find(conn, call))


class Method(Body):
    type: Literal["phone", "email", "totp"]
    name: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    totp_secret: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    phone_number: Phone | None = None
    email: Email | None = None
    preferred_authentication_method: Literal["voice", "sms"] | None = None


class NewMethod(Method):
    type: Literal["phone", "email", "totp", "webauthn-roaming", "passkey"]  # type: ignore[assignment]
    key_id: Annotated[str, Field(max_length=2000)] | None = None
    public_key: Annotated[str, Field(max_length=2000)] | None = None
    relying_party_identifier: Annotated[str, Field(max_length=253)] | None = None


def _made(call: Call, conn: Connection, given: Method) -> dict[str, Any]:
    user = get_user(conn, call.id)
    if given.type in ("phone", "email"):
        kind = "email" if given.type == "email" else given.preferred_authentication_method or "sms"
        member = "email" if kind == "email" else "phone_number"
        device = factors.destination(kind, getattr(given, member) or "")
        added = factors.add_device(conn, call.ctx, user, device, given.name)
        return _view(call, conn, added) | {member: device.value}
    if isinstance(given, NewMethod) and given.type == "webauthn-roaming":
        new_key = factors.add_security_key(
            conn,
            call.ctx,
            user,
            key_id=given.key_id or "",
            public_key=given.public_key or "",
            rp_id=given.relying_party_identifier,
            name=given.name,
        )
        return view(new_key) | {"authentication_methods": []}
    if given.type != "totp":
        raise NotPossible(NOT_SERVED, reason="operation_not_supported")
    secret = factors.checked_secret(given.totp_secret)
    new = factors.add_device(conn, call.ctx, user, factors.Device("totp", secret), given.name)
    return view(new) | {"totp_secret": secret, "authentication_methods": []}


@operation(
    "POST",
    "/users/{id}/authentication-methods",
    scopes="create:authentication_methods",
    ok=201,
    body=NewMethod,
)
def create_method(call: Call) -> object:
    """Give a user a second factor, confirmed from the start"""
    with call.ctx.db.write() as conn:
        return _made(call, conn, call.body)


@operation(
    "PUT",
    "/users/{id}/authentication-methods",
    scopes="update:authentication_methods",
    body=Annotated[list[Method], Field(max_length=20)],
)
def replace_methods(call: Call) -> object:
    """Put these second factors in the place of all that a user has"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        _without_passkeys(conn, user.id)
        accounts.reset_factors(conn, call.ctx, user)
        return [_made(call, conn, given) for given in call.body]


class Changes(Body):
    name: Text300 | None = None
    preferred_authentication_method: Literal["voice", "sms"] | None = None


@operation(
    "PATCH",
    "/users/{id}/authentication-methods/{authentication_method_id}",
    scopes="update:authentication_methods",
    body=Changes,
)
def update_method(call: Call) -> object:
    """Name a second factor, or say whether a telephone is written to or called where nobody chooses"""
    with call.ctx.db.write() as conn:
        known, user, name = _find(conn, call), get_user(conn, call.id), call.body.name
        if name is not None and isinstance(known, Passkey):
            known = factors.rename_passkey(conn, call.ctx, user, known, name)
        elif name is not None and isinstance(known, Authenticator):
            known = factors.rename(conn, call.ctx, user, known, name)
        preferred = call.body.preferred_authentication_method
        if preferred is not None and isinstance(known, Authenticator):
            known = factors.prefer(conn, call.ctx, user, known, preferred)
        return _view(call, conn, known)


@operation(
    "DELETE",
    "/users/{id}/authentication-methods/{authentication_method_id}",
    scopes="delete:authentication_methods",
    ok=204,
)
def delete_method(call: Call) -> object:
    """Remove a second factor"""
    with call.ctx.db.write() as conn:
        known, user = _find(conn, call), get_user(conn, call.id)
        if isinstance(known, Passkey):
            factors.remove_passkey(conn, call.ctx, user, known)
        else:
            factors.remove(conn, call.ctx, user, known.id)
    return None


def _reset(call: Call) -> None:
    with call.ctx.db.write() as conn:
        accounts.reset_factors(conn, call.ctx, get_user(conn, call.id))


@operation("DELETE", "/users/{id}/authentication-methods", scopes="delete:authentication_methods", ok=204)
def delete_methods(call: Call) -> object:
    """Remove every second factor of a user, and end what was opened with them"""
    with call.ctx.db.read() as conn:
        _without_passkeys(conn, call.id)
    _reset(call)
    return None


@operation("DELETE", "/users/{id}/authenticators", scopes="delete:guardian_enrollments", ok=204)
def delete_authenticators(call: Call) -> object:
    """Remove every second factor of a user, and end what was opened with them"""
    _reset(call)
    return None


@operation("DELETE", "/users/{id}/multifactor/{provider}", scopes="update:users", ok=204)
def delete_multifactor(call: Call) -> object:
    """Remove a user's authenticator apps (google-authenticator); duo has nothing to remove"""
    if call.path["provider"] not in ("duo", "google-authenticator"):
        text = "Path validation error: 'No enum match, expected duo or google-authenticator' on property provider."
        raise NotPossible(text, reason="invalid_uri")
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        if call.path["provider"] == "google-authenticator":
            factors.remove_kinds(conn, call.ctx, user, ("totp",))
    return None


@operation("POST", "/users/{id}/recovery-code-regeneration", scopes="update:users")
def regenerate_recovery_code(call: Call) -> object:
    """A new recovery code, shown this once"""
    with call.ctx.db.write() as conn:
        return {"recovery_code": factors.regenerate_recovery_code(conn, call.ctx, get_user(conn, call.id))}


@operation(
    "POST", "/users/{id}/multifactor/actions/invalidate-remember-browser", scopes="update:users", ok=204
)
def invalidate_remembered(call: Call) -> object:
    """Forget remembered browsers; this server remembers none"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        changes.record(conn, call.ctx, "remembered_browsers_forgotten", user.id, after={"remembered": 0})
    return None


# --- guardian enrolments -------------------------------------------------------------------------------------------


def enrollment_view(known: Authenticator) -> dict[str, Any]:
    said = {"identifier": known.details["identifier"]} if "identifier" in known.details else {}
    return said | {
        "id": known.id.partition("|")[2],
        "status": "confirmed" if known.confirmed_at else "pending",
        "type": BY_KIND[known.kind].enrollment_type or BY_KIND[known.kind].enrollment,
        "name": (known.name or "")[:20] or None,
        "auth_method": BY_KIND[known.kind].enrollment,
        "phone_number": _told_of(known).get("phone_number"),
        "enrolled_at": timestamp(known.confirmed_at),
        "last_auth": timestamp(known.last_used_at),
    }


@operation("GET", "/users/{id}/enrollments", scopes="read:users read:current_user")
def list_enrollments(call: Call) -> object:
    """Guardian enrolments of a user"""
    with call.ctx.db.read() as conn:
        return [enrollment_view(a) for a in _listed(conn, call.id) if a.kind != "recovery_code"]


def _enrollment(conn: Connection, enrollment_id: str) -> Authenticator:
    """By `dev_…` or `kind|dev_…`. Raises Missing."""
    prefixes = {factor.id_prefix for factor in FACTORS.values()}
    _, bar, device = enrollment_id.rpartition("|")
    known = authenticators.find_by_device(conn, device, prefixes)
    if known is None or (bar and not ways.is_called(known, enrollment_id)):
        raise Missing("Enrollment not found.", reason="inexistent_enrollment")
    return known


@operation("GET", "/guardian/enrollments/{id}", scopes="read:guardian_enrollments")
def show_enrollment(call: Call) -> object:
    """A guardian enrolment"""
    with call.ctx.db.read() as conn:
        return enrollment_view(_enrollment(conn, call.id))


@operation("DELETE", "/guardian/enrollments/{id}", scopes="delete:guardian_enrollments", ok=204)
def delete_enrollment(call: Call) -> object:
    """Remove a guardian enrolment"""
    with call.ctx.db.write() as conn:
        known = _enrollment(conn, call.id)
        factors.remove(conn, call.ctx, get_user(conn, known.user_id), known.id)
    return None


OPERATIONS = (
    list_methods,
    show_method,
    create_method,
    replace_methods,
    update_method,
    delete_method,
    delete_methods,
    delete_authenticators,
    delete_multifactor,
    regenerate_recovery_code,
    invalidate_remembered,
    list_enrollments,
    show_enrollment,
    delete_enrollment,
)
