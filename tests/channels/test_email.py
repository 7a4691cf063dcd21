"""Mail over a real SMTP server: with and without TLS, taken, refused for now, refused for good."""

import ssl
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import AuthResult

from app import accounts, http_out
from app.channels import CHANNELS, email
from app.channels.channel import DeliveryFailed
from app.context import Context, Facts
from tests.channels.test_every_channel import message_for, through
from tests.gateways import mail_server

EMAIL = CHANNELS["email"]


def sent(ctx: Context, address: str, **changes: str) -> None:
    EMAIL.deliver(through(ctx, EMAIL, address), message_for(EMAIL, **changes))


def test_a_mail_arrives_with_both_of_its_forms(ctx: Context) -> None:
    with mail_server() as mailbox:
        address = f"smtp://127.0.0.1:{mailbox.port}?from=Belay%20%3Cno-reply%40example.com%3E"
        sent(ctx, address, text="Grüße: 123456", html="<p>123456</p>", subject="Ihr Code für Bäcker")
    (mail,) = mailbox.mails
    assert mail.mail_from == "no-reply@example.com" and mail.rcpt_tos == ["ana@example.com"]
    read = message_from_bytes(mail.original_content or b"", policy=policy.default)
    assert read["Subject"] == "Ihr Code für Bäcker"
    assert read["Message-ID"].startswith("<msg_1@") and read["Auto-Submitted"] == "auto-generated"
    text, html = (read.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None and text.get_content().strip() == "Grüße: 123456"
    assert html is not None and html.get_content().strip() == "<p>123456</p>"


@pytest.mark.parametrize(
    ("says", "may_repeat"), [("451 later", True), ("550 never", False), ("554 no", False)]
)
def test_what_the_server_refuses(ctx: Context, says: str, may_repeat: bool) -> None:
    with mail_server() as mailbox:
        mailbox.refusals = [says]
        with pytest.raises(DeliveryFailed, match=f"smtp_{says[:3]}") as failure:
            sent(ctx, f"smtp://127.0.0.1:{mailbox.port}")
    assert failure.value.may_repeat == may_repeat


@pytest.mark.parametrize("field", ["subject", "destination"])
def test_a_line_break_adds_no_header(ctx: Context, field: str) -> None:
    with mail_server() as mailbox, pytest.raises(DeliveryFailed, match="not_sendable"):
        sent(ctx, f"smtp://127.0.0.1:{mailbox.port}", **{field: "a@example.com\r\nBcc: b@example.com"})
    assert mailbox.mails == []


def context_of(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that the operator of this machine trusts."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    http_out.trusted_authorities.cache_clear()
    return ca


def test_starttls_comes_before_the_password(ctx: Context, ca: trustme.CA) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def check(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
        seen.append((data.login, data.password))  # type: ignore[attr-defined]
        return AuthResult(success=True)

    options = {"authenticator": check, "auth_require_tls": True, "require_starttls": True}
    with mail_server(tls_context=context_of(ca, "127.0.0.1"), **options) as mailbox:
        sent(ctx, f"smtp://ana:s%40cret@127.0.0.1:{mailbox.port}?starttls=1")
    assert seen == [(b"ana", b"s@cret")] and len(mailbox.mails) == 1
    http_out.trusted_authorities.cache_clear()


@pytest.mark.parametrize("names", [("mail.example.com",), ("127.0.0.1",)])
def test_a_certificate_that_is_not_good_ends_the_conversation(
    ctx: Context, ca: trustme.CA, names: tuple[str, ...]
) -> None:
    """The wrong name, and the right name from an authority that nobody trusts."""
    issuer = ca if names != ("127.0.0.1",) else trustme.CA()
    with (
        mail_server(tls_context=context_of(issuer, *names)) as mailbox,
        pytest.raises(DeliveryFailed, match="tls_failed"),
    ):
        sent(ctx, f"smtp://127.0.0.1:{mailbox.port}?starttls=1")
    assert mailbox.mails == []
    http_out.trusted_authorities.cache_clear()


def test_a_server_without_tls_gets_no_mail_where_it_is_demanded(ctx: Context) -> None:
    with mail_server() as mailbox, pytest.raises(DeliveryFailed):
        sent(ctx, f"smtp://127.0.0.1:{mailbox.port}?starttls=1")
    assert mailbox.mails == []


def test_what_an_administrator_wrote_comes_before_the_setting(ctx: Context) -> None:
    with ctx.db.write() as conn:
        content = {
            "name": "smtp",
            "enabled": True,
            "default_from_address": "it@example.com",
            "credentials": {"smtp_host": "mail.example.com", "smtp_port": 465, "smtp_user": "ana"},
        }
        accounts.put_document(conn, ctx, email.PROVIDER, content, {"smtp_pass": "secret"})
    with ctx.db.read() as conn:
        found = email.gateway_of(ctx, conn)
    assert found is not None
    assert (found.kind, found.host, found.port, found.username, found.password) == (
        "smtps",
        "mail.example.com",
        465,
        "ana",
        "secret",
    )
    with ctx.db.write() as conn:
        accounts.put_document(conn, ctx, email.PROVIDER, content | {"enabled": False})
    ctx = replace(ctx, facts=Facts())  # the next request
    with ctx.db.read() as conn:
        assert email.gateway_of(ctx, conn) is None
