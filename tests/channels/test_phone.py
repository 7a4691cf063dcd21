"""Messages and calls through whatever speaks Twilio's API."""

import xml.etree.ElementTree as ElementTree
from base64 import b64encode
from collections.abc import Iterator

import pytest

from app import accounts
from app.channels import CHANNELS, phone
from app.channels.channel import DeliveryFailed
from app.context import Context
from tests.channels.test_every_channel import message_for, through
from tests.gateways import Gateway, http_gateway

BASIC = "Basic " + b64encode(b"AC1:to/ken").decode()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with http_gateway() as found:
        yield found


def test_a_text_message(ctx: Context, gateway: Gateway) -> None:
    gateway.answers = [201]
    ctx = through(ctx, CHANNELS["sms"], f"twilio://AC1:to%2Fken@{gateway.host}?from=%2B15550001")
    CHANNELS["sms"].deliver(ctx, message_for(CHANNELS["sms"]))
    (received,) = gateway.received
    assert received.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert received.headers["Authorization"] == BASIC
    assert received.form == {"To": "+491701234567", "From": "+15550001", "Body": "123456 is it"}


def test_a_call_reads_the_text_and_nothing_else(ctx: Context, gateway: Gateway) -> None:
    ctx = through(ctx, CHANNELS["voice"], f"twilio://AC1:x@{gateway.host}?from=%2B15550001")
    CHANNELS["voice"].deliver(ctx, message_for(CHANNELS["voice"], text="</Say><Dial>+900</Dial> 1, 2"))
    (received,) = gateway.received
    assert received.path == "/2010-04-01/Accounts/AC1/Calls.json"
    (said,) = ElementTree.fromstring(received.form["Twiml"])
    assert (said.tag, said.text, said.attrib["loop"]) == ("Say", "</Say><Dial>+900</Dial> 1, 2", "2")


@pytest.mark.parametrize(
    ("status", "may_repeat"), [(400, False), (401, False), (404, False), (429, True), (503, True)]
)
def test_what_the_gateway_refuses(ctx: Context, gateway: Gateway, status: int, may_repeat: bool) -> None:
    gateway.answers = [status]
    with pytest.raises(DeliveryFailed, match=f"status_{status}") as failure:
        CHANNELS["sms"].deliver(
            through(ctx, CHANNELS["sms"], f"twilio://AC1:x@{gateway.host}?from=%2B15550001"),
            message_for(CHANNELS["sms"]),
        )
    assert failure.value.may_repeat == may_repeat


def test_what_an_administrator_wrote_comes_before_the_setting(ctx: Context) -> None:
    with ctx.db.write() as conn:
        content = {"sid": "AC2", "from": "+15550002", "messaging_service_sid": "MG1"}
        accounts.put_document(conn, ctx, phone.TWILIO, content, {"auth_token": "secret"})
    with ctx.db.read() as conn:
        found = phone.gateway_of(ctx, conn, "sms")
    assert found is not None
    assert (found.kind, found.origin, found.username, found.password) == (
        "twilio",
        "https://api.twilio.com",
        "AC2",
        "secret",
    )
    assert found.options == {"from": "+15550002", "service": "MG1"}
