"""A real OpenLDAP server of our own, on free ports, with people in it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ldap3
import trustme

from tests.databases import free_port, missing

BASE = "dc=corp,dc=example"
SERVICE = f"cn=reader,{BASE}"
SERVICE_PASSWORD = "reader-password-of-the-service"
PASSWORD = "queen of hearts 7"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
ODD_NAME = 'Smith, John + "Q" #1 \\ <x>;='
ADMINS = f"cn=admins,{GROUPS}"

# It allows a bind with a name and no password, as many directories do: that must not be a login.
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
allow bind_anon_cred bind_anon_dn
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient never
database mdb
maxsize 16777216
envflags nosync
suffix "{base}"
rootdn "cn=root,{base}"
rootpw root-password
directory {folder}/data
index objectClass,entryUUID,uid,mail eq
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by dn.exact="cn=root,{base}" write by anonymous auth by * none
"""


@dataclass(frozen=True)
class Certificate:
    key: bytes
    pem: bytes

    @classmethod
    def of(cls, issued: trustme.LeafCert) -> "Certificate":
        return cls(issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())


class Slapd:
    def __init__(self, folder: Path, certificate: Certificate, authority: trustme.CA) -> None:
        program = shutil.which("slapd") or "/usr/sbin/slapd"
        if not Path(program).exists():
            missing("slapd")
        self.folder, self.program = folder, program
        self.port, self.tls_port = free_port(), free_port()
        self.ca = authority.cert_pem.bytes().decode()
        (folder / "data").mkdir(parents=True)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        (folder / "server.key").write_bytes(certificate.key)
        (folder / "server.pem").write_bytes(certificate.pem)
        text = CONFIGURATION.format(folder=folder, base=BASE, service=SERVICE)
        (folder / "slapd.conf").write_text(text)
        self.start()

    def start(self) -> None:
        addresses = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command = [self.program, "-d", "0", "-h", addresses, "-f", str(self.folder / "slapd.conf")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
        raise TimeoutError((self.folder / "log").read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    @contextmanager
    def root(self) -> Iterator[ldap3.Connection]:
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        root = ldap3.Connection(
            server, f"cn=root,{BASE}", "root-password", check_names=False, raise_exceptions=True
        )
        try:
            root.bind()
            yield root
        finally:
            root.unbind()

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def options(self, **changes: object) -> dict[str, object]:
        return {
            "urls": [self.url],
            "base_dn": BASE,
            "bind_dn": SERVICE,
            "bind_password": SERVICE_PASSWORD,
        } | changes

    def fill(self) -> None:
        """Entries are loaded over LDAP: the memberof overlay does not see what slapadd writes."""
        with self.root() as root:
            root.add(BASE, ["dcObject", "organization"], {"dc": "corp", "o": "Corp"})
            for name in ("people", "groups"):
                root.add(f"ou={name},{BASE}", "organizationalUnit", {"ou": name})
            role = ["organizationalRole", "simpleSecurityObject"]
            root.add(SERVICE, role, {"cn": "reader", "userPassword": SERVICE_PASSWORD})
            for uid in ("alice", "bob", "dora"):
                self.add_person(root, uid)
            for uid in ("twin1", "twin2"):
                self.add_person(root, uid, mail="twins@corp.example")
            self.add_person(
                root, "jsmith", dn=f"cn={ldap3.utils.dn.escape_rdn(ODD_NAME)},{PEOPLE}", cn=ODD_NAME
            )
            root.add(ADMINS, "groupOfNames", {"cn": "admins", "member": f"uid=alice,{PEOPLE}"})

    @staticmethod
    def add_person(root: ldap3.Connection, uid: str, *, dn: str | None = None, **changes: object) -> None:
        attributes = {
            "uid": uid,
            "cn": f"{uid.capitalize()} Liddell",
            "sn": "Liddell",
            "givenName": uid.capitalize(),
            "mail": f"{uid}@corp.example",
            "userPassword": PASSWORD,
        } | changes
        root.add(dn or f"uid={uid},{PEOPLE}", "inetOrgPerson", attributes)


@contextmanager
def running(folder: Path, certificate: Certificate, authority: trustme.CA) -> Iterator[Slapd]:
    slapd = Slapd(folder, certificate, authority)
    try:
        yield slapd
    finally:
        slapd.stop()
