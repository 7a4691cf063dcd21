"""Backends that know the users of a realm, one file a kind. A new kind is its file and a line here."""

from app.directories.database import DatabaseDirectory
from app.directories.directory import Directory
from app.directories.http import HttpDirectory
from app.directories.ldap import LdapDirectory
from app.directories.ldap_vendors import ACTIVE_DIRECTORY, OPENLDAP

DIRECTORIES: dict[str, Directory] = {
    "database": DatabaseDirectory(),
    "ldap": LdapDirectory(OPENLDAP),
    "ad": LdapDirectory(ACTIVE_DIRECTORY),
    "http": HttpDirectory(),
}
