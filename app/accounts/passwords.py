"""Passwords that are being set: held against the realm's rules, hashed before any transaction, remembered."""

from sqlalchemy import Connection

from app.accounts import people
from app.context import Context
from app.store.realms import Realm
from app.store.users import User


def hash_checked(ctx: Context, realm: Realm, user: User, password: str) -> str:
    """The hash of a password that the realm's rules allow. Raises NotPossible, saying which rule failed."""
    return people.hash_new_password(ctx.server, password)


def set_password(conn: Connection, ctx: Context, realm: Realm, user: User, password_hash: str) -> None:
    people.set_password(conn, ctx, user, password_hash)
