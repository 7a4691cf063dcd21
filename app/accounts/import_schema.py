"""One record of an import: Auth0's closed schema, its error codes, and what of a record may be shown again."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from app import foreign_hashes
from app.accounts.factors import Device, checked_secret
from app.errors import InvalidRequest, NotPossible
from app.factors import oob_code
from app.identifiers import is_phone_number, normal_key

MASK = "*****"
MAX_METADATA_BYTES = 16 * 1024

# The members of a record and of its hash that say nothing about a password or a factor.
PLAIN = frozenset(
    "email email_verified phone_number phone_verified user_id username given_name family_name name nickname picture "
    "blocked app_metadata user_metadata".split()
)
PLAIN_IN_HASH = frozenset("algorithm encoding digest position keylen cost blockSize parallelization".split())
NOT_IN_APP_METADATA = frozenset(
    "__tenant _id blocked clientID created_at email_verified email globalClientID global_client_id identities lastIP "
    "lastLogin loginsCount metadata multifactor_last_modified multifactor updated_at user_id".split()
)


@dataclass(frozen=True)
class Problem:
    code: str
    message: str
    path: str = ""

    def shown(self) -> dict[str, str]:
        found = {"code": self.code, "message": self.message, "path": self.path}
        return {name: text for name, text in found.items() if text}


class Rejected(Exception):
    """A record that is not taken, with everything that is wrong with it."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(problems[0].code)


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not (local and at and domain) or normal_key(text) is None:
        raise ValueError("Object didn't pass validation for format email")
    return text.lower()


def _username(text: str) -> str:
    if normal_key(text) is None:
        raise ValueError("It cannot be used")
    return text


def _phone(text: str) -> str:
    if not is_phone_number(text):
        raise ValueError("A phone number is written like +491701234567")
    return text


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value)) > MAX_METADATA_BYTES:
        raise PydanticCustomError(
            "object_too_long", f"Object is too large, maximum {MAX_METADATA_BYTES} bytes"
        )
    return value


def _own(value: dict[str, Any]) -> dict[str, Any]:
    strange = sorted(NOT_IN_APP_METADATA & set(value))
    if strange:
        raise PydanticCustomError("extra_forbidden", f"Additional properties not allowed: {strange[0]}")
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_small)]


# Not `| None`: a member may be absent, and null is no value of any.
ABSENT: Any = None


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Totp(_Closed):
    """Auth0 knows the secret alone; what other systems set otherwise comes along here."""

    secret: str = Field(pattern="^[A-Z2-7]+$", max_length=256)
    algorithm: Literal["SHA1", "SHA256", "SHA512"] = Field(ABSENT)
    digits: Literal[6, 8] = Field(ABSENT)
    period: Literal[30, 60] = Field(ABSENT)


class _Phone(_Closed):
    value: str = Field(pattern=r"^\+[0-9]{1,15}$")


class _Mail(_Closed):
    value: Annotated[str, AfterValidator(_email)]


class _Factor(_Closed):
    totp: _Totp = Field(ABSENT)
    phone: _Phone = Field(ABSENT)
    email: _Mail = Field(ABSENT)


class Record(_Closed):
    """As Auth0 has it, e-mail addresses and phone numbers read more strictly where logins could not find them."""

    email: Annotated[str, AfterValidator(_email)] = Field(max_length=320)
    email_verified: bool = Field(ABSENT)
    phone_number: Annotated[str, AfterValidator(_phone)] = Field(ABSENT)
    phone_verified: bool = Field(ABSENT)
    user_id: str = Field(ABSENT, min_length=1, max_length=249, pattern=r"^[^\s/]+$")
    username: Annotated[str, AfterValidator(_username)] = Field(ABSENT, min_length=1, max_length=128)
    given_name: str = Field(ABSENT, max_length=150)
    family_name: str = Field(ABSENT, max_length=150)
    name: str = Field(ABSENT, max_length=300)
    nickname: str = Field(ABSENT, max_length=300)
    picture: str = Field(ABSENT, max_length=2000)
    blocked: bool = Field(ABSENT)
    password_hash: str = Field(ABSENT)
    custom_password_hash: dict[str, Any] = Field(ABSENT)
    app_metadata: Annotated[Metadata, AfterValidator(_own)] = Field(ABSENT)
    user_metadata: Metadata = Field(ABSENT)
    mfa_factors: list[_Factor] = Field(ABSENT, min_length=1, max_length=10)


@dataclass(frozen=True)
class Entry:
    """A record that is in order by itself; whether it fits among the others is not known yet."""

    number: int
    given: Any
    record: Record
    stored_hash: str | None
    is_custom_hash: bool
    devices: tuple[Device, ...]


def checked(number: int, given: Any) -> Entry:
    """Raises Rejected."""
    try:
        record = Record.model_validate(given)
    except ValidationError as error:
        raise Rejected(*map(_problem_of, error.errors(include_input=False, include_url=False))) from None
    stored_hash = _stored_hash(record)
    is_custom = record.custom_password_hash is not None
    return Entry(number, given, record, stored_hash, is_custom, _devices(record))


def _stored_hash(record: Record) -> str | None:
    if record.password_hash is not None and record.custom_password_hash is not None:
        text = "password_hash and custom_password_hash exclude each other"
        raise Rejected(Problem("NOT_PASSED", text, "password_hash"))
    try:
        if record.custom_password_hash is not None:
            return foreign_hashes.read(record.custom_password_hash)
        return foreign_hashes.read_bcrypt(record.password_hash) if record.password_hash is not None else None
    except foreign_hashes.BadHash as error:
        if record.password_hash is not None:
            raise Rejected(Problem("PATTERN", str(error), "password_hash")) from None
        raise Rejected(Problem("FORMAT", str(error), "custom_password_hash")) from None


IMPORTED = {"phone": "sms", "email": "email"}


def _devices(record: Record) -> tuple[Device, ...]:
    found: list[Device] = []
    for number, factor in enumerate(record.mfa_factors or ()):
        path = f"mfa_factors[{number}]"
        if len(factor.model_fields_set) != 1:
            text = "A factor is exactly one of totp, phone and email"
            raise Rejected(Problem("ANY_OF_MISSING", text, path))
        (kind,) = factor.model_fields_set
        try:
            if kind == "totp":
                details = factor.totp.model_dump(exclude={"secret"}, exclude_unset=True)
                found.append(Device("totp", checked_secret(factor.totp.secret), details))
            else:
                value = getattr(factor, kind).value
                found.append(Device(IMPORTED[kind], oob_code.checked(IMPORTED[kind], value)))
        except InvalidRequest as refusal:
            text = f"Unable to import factors: {refusal.description}"
            raise Rejected(Problem("MFA_FACTORS_FAILED", text, f"{path}.{kind}.value")) from None
        except NotPossible:
            text = "Unable to import factors: a secret is at least 16 characters of base32"
            raise Rejected(Problem("MFA_FACTORS_FAILED", text, f"{path}.totp.secret")) from None
    return tuple({(device.kind, device.value): device for device in found}.values())


_CODES = {
    "missing": "OBJECT_REQUIRED",
    "extra_forbidden": "NOT_PASSED",
    "string_pattern_mismatch": "PATTERN",
    "string_too_short": "MIN_LENGTH",
    "string_too_long": "MAX_LENGTH",
    "object_too_long": "MAX_LENGTH",
    "too_long": "ARRAY_LENGTH_LONG",
    "too_short": "ARRAY_LENGTH_SHORT",
    "literal_error": "ENUM_MISMATCH",
    "value_error": "FORMAT",
}


def _problem_of(error: Any) -> Problem:
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = path.removeprefix(".")[:200]
    code = _CODES.get(error["type"], "INVALID_TYPE")
    text = str(error["msg"]).removeprefix("Value error, ")
    return Problem(code, f"Error in {path} property - {text}" if path else text, path)


def masked(given: Any) -> Any:
    """A record as it may be shown again: of hashes and secrets, and of members that nobody knows, the names alone."""
    if not isinstance(given, dict):
        return {}
    return {str(name)[:100]: part if _is_plain(name, part) else _hidden(part) for name, part in given.items()}


def _is_plain(name: str, part: Any) -> bool:
    return name in PLAIN and (name.endswith("_metadata") or not isinstance(part, dict | list))


def _hidden(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {str(inner)[:100]: _hidden(part, str(inner)) for inner, part in value.items()}
    if isinstance(value, list):
        return [_hidden(part) for part in value]
    is_word = isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 16)
    return value if name in PLAIN_IN_HASH and is_word else MASK
