"""A phone with an app built on the Guardian SDKs, written from their protocol: it scans, is rung, answers, moves on.

Its quirks are the SDKs' own: Android writes a zero before the modulus and leaves push credentials out when it has
none, iOS writes fractions of seconds, and both sign with their own name for themselves and not the enrolment's id.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.wire import Wire


@cache
def key(number: int = 0) -> rsa.RSAPrivateKey:
    """Making one takes a tenth of a second, so tests share them; `number` for a foreign one."""
    return rsa.generate_private_key(65537, 2048)


def encoded(number: int, *, leads_with_zero: bool = False) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(b"\0" * leads_with_zero + raw).rstrip(b"=").decode()


def public_key(private: rsa.RSAPrivateKey, *, leads_with_zero: bool = False) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    n, e = encoded(numbers.n, leads_with_zero=leads_with_zero), encoded(numbers.e)
    return {"kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e}


@dataclass
class Phone:
    private: rsa.RSAPrivateKey = field(default_factory=key)
    identifier: str = "4F0D8A5E-77A5-4A5C-9C0E-0C6B4B6C2F11"
    name: str = "Bob's phone"
    credentials: Mapping[str, str] | None = field(
        default_factory=lambda: {"service": "GCM", "token": "fcm:token-1"}
    )
    matches_numbers: bool = False
    is_android: bool = True
    leads_with_zero: bool = True
    base: str = ""
    """What the QR code or the enrolment says, with /appliance-mfa."""
    id: str = ""
    user_id: str = ""
    token: str = field(default="", repr=False)

    def scan(self, barcode_uri: str) -> tuple[str, dict[str, Any]]:
        """The header and the body that it sends for a QR code."""
        uri = urlsplit(barcode_uri)
        assert (uri.scheme, uri.netloc) == ("otpauth", "totp")  # iOS insists
        found = parse_qs(uri.query, strict_parsing=True)
        self.base = found["base_url"][0]
        (ticket,) = found["enrollment_tx_id"]
        body: dict[str, Any] = {
            "identifier": self.identifier,
            "name": self.name,
            "public_key": public_key(self.private, leads_with_zero=self.leads_with_zero),
        }
        if self.credentials is not None:
            body["push_credentials"] = dict(self.credentials)
        if self.matches_numbers:
            body["binding_methods"] = ["transfer"]
        return f'Ticket id="{ticket}"', body

    def take(self, enrolled: Mapping[str, Any]) -> None:
        """The answer to an enrolment: Android needs all five, and reads `totp` wherever there is such a member."""
        assert all(isinstance(enrolled[name], str) for name in ("id", "url", "issuer", "user_id", "token"))
        assert "totp" not in enrolled
        self.id, self.user_id, self.token = enrolled["id"], enrolled["user_id"], enrolled["token"]

    def answer_to(self, payload: Mapping[str, Any], *, at: float, **claims: Any) -> str:
        """The signed answer to a push; a claim that is None is left out."""
        iat = int(at) if self.is_android else round(at, 6)
        said = {
            "iat": iat,
            "exp": iat + 30,
            "aud": f"{self.base}/api/resolve-transaction",
            "iss": self.identifier,
            "sub": payload["c"],
            "auth0_guardian_method": "push",
            "auth0_guardian_accepted": True,
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.private, algorithm="RS256")

    def own_token(self, *, at: float, **claims: Any) -> str:
        """What newer apps show instead of the token that the enrolment gave them."""
        said = {
            "iat": int(at),
            "exp": int(at) + 7200,
            "aud": f"{self.base}/api/device-accounts",
            "iss": self.id,
            "sub": self.user_id,
        }
        return jwt.encode(said | claims, self.private, algorithm="RS256")

    def proof(self, payload: Mapping[str, Any], *, at: float, **changes: Any) -> dict[str, str]:
        """The headers by which an app asks what a login is about; `header` and claims may be changed."""
        hashed = hashlib.sha256(str(payload["txtkn"]).encode()).digest()
        header = {
            "typ": "dpop+jwt",
            "jwk": public_key(self.private, leads_with_zero=self.leads_with_zero),
        } | changes.pop("header", {})
        said = {
            "htu": self.base.removesuffix("appliance-mfa") + f"rich-consents/{payload['txlnkid']}",
            "htm": "GET",
            "ath": base64.urlsafe_b64encode(hashed).rstrip(b"=").decode(),
            "jti": str(uuid.uuid4()),
            "iat": int(at) if self.is_android else round(at, 6),
        } | changes
        said = {name: value for name, value in said.items() if value is not None}
        signed = jwt.encode(said, self.private, algorithm="RS256", headers=header)
        return {"Authorization": f"MFA-DPoP {payload['txtkn']}", "MFA-DPoP": signed}


def read_consent(found: Mapping[str, Any]) -> dict[str, Any]:
    """What both SDKs make of the answer: texts where iOS insists on them, lists where Android does."""
    details = found["requested_details"]
    texts = [found["id"], found["created_at"], found["expires_at"], details["audience"]]
    assert all(isinstance(text, str) for text in [*texts, details["binding_message"], *details["scope"]])
    assert isinstance(details["scope"], list) and details["authorization_details"] == []
    return dict(details)


def read_apns(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the iOS SDK makes of a notification; anything else it ignores."""
    assert body["aps"]["category"] == "com.auth0.notification.authentication"
    assert body["aps"]["alert"]
    return _checked(dict(body["mfa"]))


def read_fcm(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the Android SDK makes of a data message: a flat map of texts, two of which are JSON."""
    assert all(isinstance(value, str) for value in data.values())
    return _checked(dict(data) | {name: json.loads(data[name]) for name in ("s", "l")})


def _checked(payload: dict[str, Any]) -> dict[str, Any]:
    assert all(payload[name] for name in ("sh", "dai", "txtkn", "c"))
    day, clock = payload["d"][:-1].split("T")
    assert payload["d"][-1] == "Z" and len(day) == 10 and len(clock) == len("12:00:00.000")
    assert set(payload["s"]) <= {"b", "os"} and set(payload["l"]) <= {"n", "lat", "long"}
    return payload


def enroll(wire: "Wire", phone: Phone, mfa_token: str) -> dict[str, Any]:
    """Enrol a phone in a login; the answer of `/mfa/associate`."""
    shown = wire.ok(associate(wire, mfa_token))
    scanned(wire, phone, shown["barcode_uri"])
    return shown


def associate(wire: "Wire", mfa_token: str) -> Any:
    body = {"authenticator_types": ["oob"], "oob_channels": ["auth0"]}
    return wire.client.post("/mfa/associate", json=body, headers={"Authorization": f"Bearer {mfa_token}"})


def scanned(wire: "Wire", phone: Phone, barcode_uri: str) -> None:
    ticket, body = phone.scan(barcode_uri)
    phone.take(wire.ok(post(wire, "enroll", ticket, body)))


def post(wire: "Wire", path: str, authorization: str, body: object) -> Any:
    return wire.client.post(f"/appliance-mfa/api/{path}", json=body, headers={"Authorization": authorization})


def resolve(wire: "Wire", payload: Mapping[str, Any], response: str) -> Any:
    return post(wire, "resolve-transaction", f"Bearer {payload['txtkn']}", {"challenge_response": response})
