"""A running server as an SDK sees it, and the people and clients who use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from auth0.management import ManagementClient
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from app.accounts.setup import MANAGEMENT_SCOPES
from app.crypto import random_id
from app.store import clients
from app.store.clients import ClientKey
from app.store.users import User
from app.tokens.audience import management_of
from tests import making
from tests.live import Live
from tests.making import APP_SECRET, Cast

NEW_PASSWORD = "Correct horse battery 9!"  # keeps the rules that a new password is held to


@dataclass(frozen=True)
class Site:
    live: Live
    cast: Cast

    @property
    def domain(self) -> str:
        """What an SDK is configured with: host and port."""
        return self.live.host

    @property
    def issuer(self) -> str:
        return self.live.base + "/"

    def person(self, realm: str = "staff") -> User:
        """Somebody new, so that no test meets the counters of another."""
        found = {"staff": self.cast.staff, "guests": self.cast.guests}[realm]
        return making.make_user(self.live.server, found, f"{random_id()}@example.com".lower())

    def enrolled_person(self) -> tuple[User, str]:
        """Somebody new with a confirmed authenticator app, and its secret."""
        user = self.person()
        return user, making.enroll_totp(self.live.server, user)

    def administrator(self, *scopes: str) -> tuple[str, str]:
        """A client of the management API with these scopes, or all: its id and secret."""
        client_id, audience = random_id(), management_of(self.issuer)
        making.make_client(self.live.server, client_id, secret=APP_SECRET)
        making.grant_scopes(self.live.server, client_id, audience, *(scopes or MANAGEMENT_SCOPES))
        return client_id, APP_SECRET

    @contextmanager
    def management(self, **credentials: str) -> Iterator[ManagementClient]:
        """auth0-python's management client, whose connections end with the block."""
        with httpx.Client(timeout=60) as connections:
            yield ManagementClient(domain=self.domain, httpx_client=connections, **credentials)  # type: ignore[arg-type]

    def client_with_key(self, client_id: str) -> str:
        """A client that proves itself by signed assertions; its private key."""
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        names = (self.cast.staff.name, self.cast.guests.name)
        app_type = {"app_type": "regular_web", "auth_method": "private_key_jwt"}
        client = making.make_client(self.live.server, client_id, realm_names=names, **app_type)
        with self.live.server.db.write() as conn:
            clients.add_client_key(
                conn, client.id, ClientKey(random_id(), "key", "RS256", public, making.now())
            )
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
