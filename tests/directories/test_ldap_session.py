"""A conversation with a directory: certificates are verified, and nothing lasts or grows beyond its end."""

import datetime
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.directories.ldap_session import SUCCESS, Session, Silent, conversation
from app.directories.options import Address, tls_of
from app.http_out import LOOPBACK
from tests.directories import slapd as slapds
from tests.directories.fakes import drip, listening, nonsense, silence
from tests.directories.slapd import BASE, PASSWORD, PEOPLE, SERVICE, SERVICE_PASSWORD, Certificate, Slapd
from tests.evidence import within

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
NOW = datetime.datetime.now(datetime.UTC)


@contextmanager
def session(
    address: Address, authorities: str | None = None, *, start_tls: bool = False, seconds: float = 5
) -> Iterator[Session]:
    deadline = time.monotonic() + seconds
    tls = tls_of(authorities)
    with conversation(address, start_tls=start_tls, tls=tls, networks=LOOPBACK, deadline=deadline) as found:
        yield found


def self_signed() -> Certificate:
    """By nobody but itself, for the right address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(PAST)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(private, made.public_bytes(pem))


@pytest.fixture(scope="module")
def badly_certified(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[dict[str, Slapd]]:
    """A slapd each, with certificates that must not be accepted."""
    host = "127.0.0.1"
    wrong = {
        "wrong host": Certificate.of(authority.issue_cert("other.example")),
        "self-signed": self_signed(),
        "unknown authority": Certificate.of(trustme.CA().issue_cert(host)),
        "expired": Certificate.of(
            authority.issue_cert(host, not_before=PAST, not_after=NOW - datetime.timedelta(1))
        ),
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                slapds.running(tmp_path_factory.mktemp("slapd"), certificate, authority)
            )
            for name, certificate in wrong.items()
        }


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_right_certificate_is_accepted(slapd: Slapd, start_tls: bool) -> None:
    for host in ("127.0.0.1", "localhost"):
        port = slapd.port if start_tls else slapd.tls_port
        with session(Address(host, port, not start_tls), slapd.ca, start_tls=start_tls) as found:
            assert found.bind(SERVICE, SERVICE_PASSWORD).code == SUCCESS
            assert len(found.search(BASE, "(uid=alice)", ("mail",), limit=1)) == 1
            assert found.bind(f"uid=alice,{PEOPLE}", PASSWORD).code == SUCCESS
            assert found.bind(f"uid=alice,{PEOPLE}", "wrong").code == 49


@pytest.mark.parametrize("start_tls", [False, True])
@pytest.mark.parametrize("why", ["wrong host", "self-signed", "unknown authority", "expired"])
def test_a_wrong_certificate_ends_the_conversation(
    badly_certified: dict[str, Slapd], why: str, start_tls: bool
) -> None:
    found = badly_certified[why]
    port = found.port if start_tls else found.tls_port
    with (
        pytest.raises(Silent, match="certificate_not_trusted"),
        session(Address("127.0.0.1", port, not start_tls), found.ca, start_tls=start_tls),
    ):
        raise AssertionError("a conversation began")


def test_without_an_authority_of_its_own_the_machines_are_asked(slapd: Slapd) -> None:
    with (
        pytest.raises(Silent, match="certificate_not_trusted"),
        session(Address("127.0.0.1", slapd.tls_port, True)),
    ):
        pass


def test_a_name_without_a_password_is_never_sent(slapd: Slapd) -> None:
    """This server would answer that it went well."""
    with session(Address("127.0.0.1", slapd.port, False)) as found:
        for dn, password in ((f"uid=alice,{PEOPLE}", ""), ("", "x")):
            with pytest.raises(Silent, match="bind_without_password"):
                found.bind(dn, password)
        assert found.bind("", "").code == SUCCESS


@pytest.mark.parametrize("serve", [silence, drip, nonsense])
@pytest.mark.parametrize("is_tls", [False, True])
def test_whatever_it_says_a_conversation_ends_in_time(
    serve: Callable[[socket.socket], None], is_tls: bool
) -> None:
    started = time.monotonic()
    with (
        listening(serve) as listener,
        pytest.raises(Silent),
        session(Address("127.0.0.1", listener.port, is_tls), seconds=0.4) as found,
    ):
        found.bind("cn=x", "y")
    assert time.monotonic() - started < within(2)


def test_an_answer_without_end_is_cut_off() -> None:
    def pour(sock: socket.socket) -> None:
        sock.sendall(b"\x30\x84\x7f\xff\xff\xff")
        while True:
            sock.sendall(b"\x00" * 65536)

    with (
        listening(pour) as listener,
        pytest.raises(Silent, match="connection_broken"),
        session(Address("127.0.0.1", listener.port, False), seconds=20) as found,
    ):
        found.bind("cn=x", "y")


def test_addresses_inside_are_closed_unless_the_operator_opens_them(slapd: Slapd) -> None:
    deadline = time.monotonic() + 5
    with (
        pytest.raises(Silent, match="forbidden_address"),
        conversation(
            Address("127.0.0.1", slapd.port, False),
            start_tls=False,
            tls=ssl.create_default_context(),
            networks=(),
            deadline=deadline,
        ),
    ):
        pass
