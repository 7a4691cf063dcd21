"""What people are written about their account, and what they are not."""

from dataclasses import replace
from typing import Any

import pytest

from app import accounts
from app.channels import notices
from app.context import Context
from tests import making
from tests.making import CAROLS_PASSWORD, Cast
from tests.wire import Wire, code_of


def subjects(wire: Wire) -> list[tuple[str, str]]:
    return [(message.destination, message.subject) for message in wire.messages() if message.subject]


def test_a_first_factor_is_told_to_its_owner(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(realm="guests", password=CAROLS_PASSWORD)
    secret = wire.ok(wire.associate(token))["secret"]
    assert subjects(wire) == [], "an enrolment that nobody confirmed is no news"
    wire.ok(wire.otp(token, code_of(secret)))
    assert subjects(wire) == [("alice@example.com", "A second factor was added to your account")]


@pytest.mark.parametrize("is_verified", [True, False])
def test_a_first_factor_is_told_by_text_as_well_where_a_telephone_is_known(
    wire: Wire, cast: Cast, is_verified: bool
) -> None:
    number: dict[str, Any] = {"phone_number": "+491709999999", "phone_verified": is_verified}
    making.make_user(wire.server, cast.guests, "fay@example.com", **number)
    token = wire.mfa_token("fay@example.com", realm="guests")
    wire.ok(wire.otp(token, code_of(wire.ok(wire.associate(token))["secret"])))
    told = [(message.destination, message.text[:26]) for message in wire.messages()]
    text = ("+491709999999", "A second factor (otp) was a")
    assert told == [(to, text[1][:26]) for to in ([text[0]] if is_verified else []) + ["fay@example.com"]]


def test_a_telephone_gets_three_texts_a_day_about_new_factors(wire: Wire, cast: Cast, ctx: Context) -> None:
    fay = making.make_user(
        wire.server, cast.guests, "fay@example.com", phone_number="+491709999999", phone_verified=True
    )
    with wire.server.db.write() as conn:
        for _ in range(5):
            notices.put(conn, ctx, fay, "factor_added", factor="otp")
    assert len(wire.messages()) == 5 + 3


def test_a_used_recovery_code_is_told(wire: Wire, cast: Cast) -> None:
    wire.ok(wire.recovery(wire.mfa_token(), cast.alice_recovery))
    assert subjects(wire) == [("alice@example.com", "Your recovery code was used")]
    (mail,) = wire.messages()
    assert cast.alice_recovery not in mail.text


def test_an_address_that_nobody_confirmed_gets_no_notice(wire: Wire, cast: Cast) -> None:
    dan = making.make_user(wire.server, cast.staff, "dan@example.com", email_verified=False)
    code = making.give_recovery_code(wire.server, dan)
    making.enroll_totp(wire.server, dan)
    wire.ok(wire.recovery(wire.mfa_token("dan@example.com"), code))
    assert subjects(wire) == []


@pytest.mark.parametrize("name", ["bob@example.com", "nobody@example.com"])
def test_a_link_for_a_new_password_comes_by_mail(wire: Wire, cast: Cast, name: str) -> None:
    answer = wire.post_json("/dbconnections/change_password", client_id="app", connection="staff", email=name)
    assert answer.status_code == 200
    mails = wire.messages()
    assert [mail.destination for mail in mails] == ([name] if name.startswith("bob") else [])
    for mail in mails:
        link = next(word for word in mail.text.split() if "/ticket/password?ticket=" in word)
        assert wire.get("/" + link.removeprefix(wire.server.settings.issuer)).status_code == 200


def test_an_administrator_s_template_is_used_if_the_link_survives_it(ctx: Context, cast: Cast) -> None:
    template = {"from": "it@example.com", "subject": "{{ friendly_name }}!", "enabled": True}
    url = "https://login.example.com/ticket/password?ticket=x"
    for body, is_used in (
        ("<p>{{ user.email }} {{ url }}</p>", True),
        ("<p>hello</p>", False),
        ("{% x %}", False),
    ):
        fresh = replace(ctx, facts=replace(ctx.facts, configuration=None))
        with ctx.db.write() as conn:
            accounts.put_document(conn, fresh, "email-templates/reset_email", template | {"body": body})
        fresh = replace(ctx, facts=replace(ctx.facts, configuration=None))
        with ctx.db.read() as conn:
            own = notices._own(fresh, conn, "reset_email", cast.bob, "Belay", {"url": url})
        assert (own is not None) == is_used
        if own is not None:
            assert own.html == f"<p>bob@example.com {url}</p>" and own.subject == "Belay!"


def test_every_notice_says_the_same_in_every_language() -> None:
    for language, texts in notices.TEXTS.items():
        assert texts.keys() == notices.TEXTS["en"].keys(), language
        for event, (subject, text) in texts.items():
            assert subject and text.format(tenant="T", url="U", factor="F", until="V", left="3")
            assert ("{url}" in text) == ("{url}" in notices.TEXTS["en"][event][1])


def test_without_mail_nothing_fails(ctx: Context, cast: Cast) -> None:
    settings = ctx.settings.model_copy(update={"smtp_url": ""})
    ctx = replace(ctx, server=replace(ctx.server, settings=settings))
    with ctx.db.write() as conn:
        assert not notices.put(conn, ctx, cast.bob, "factor_removed")
