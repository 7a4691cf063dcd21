"""People whose passwords are kept here."""

from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta

from sqlalchemy import Connection

from app.context import Context
from app.directories import decoys
from app.directories.directory import Found
from app.errors import TemporarilyUnavailable
from app.identifiers import normal_key
from app.store.realms import Realm
from app.store.users import User, find_user_by_key


class DatabaseDirectory:
    def place(self, ctx: Context, realm: Realm, user: User | None) -> AbstractContextManager[None]:
        return nullcontext()

    def look_up(self, conn: Connection, realm: Realm, username: str) -> User | None:
        # A name that cannot exist is looked up all the same: the work must not tell.
        return find_user_by_key(conn, realm.id, normal_key(username) or "")

    def authenticate(
        self, ctx: Context, realm: Realm, user: User | None, username: str, password: str
    ) -> Found:
        passwords = ctx.server.passwords
        verdict = passwords.verify(
            password,
            user.password_hash if user else None,
            decoys.decoy_for(ctx, realm, normal_key(username) or username),
            tells_nothing=realm.mfa_policy is not None and realm.mfa_policy.terms.blind,
        )
        if user is None or not verdict.is_right:
            return Found(user, False, reason="wrong_password" if user else "unknown_user")
        new_hash = None
        if verdict.is_stale:
            with suppress(TemporarilyUnavailable):  # the next login makes it anew
                new_hash = passwords.hash(password)
        return Found(user, True, new_hash)

    def find(self, ctx: Context, realm: Realm, user: User) -> bool:
        return True

    def asks_again_after(self, realm: Realm) -> timedelta | None:
        return None

    def check(self, ctx: Context, realm: Realm) -> str:
        return "kept here"
