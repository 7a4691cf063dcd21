"""Backends that know the users of a realm, one file a kind. A new kind is its file and a line here."""

from app.directories.database import DatabaseDirectory
from app.directories.directory import Directory

DIRECTORIES: dict[str, Directory] = {
    "database": DatabaseDirectory(),
}
