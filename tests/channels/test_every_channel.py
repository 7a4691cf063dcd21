"""What holds for every way to reach a person; a new channel is tested the moment it is listed."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.channels import CHANNELS
from app.channels.channel import Channel, DeliveryFailed, Message
from app.context import Context
from tests.gateways import Gateway, http_gateway

every_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=lambda channel: channel.name)
SETTING = {"sms": "sms_url", "voice": "voice_url", "email": "smtp_url", "push": "push_url"}
DESTINATION = {"email": "ana@example.com", "push": "GCM:fcm:1"}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with http_gateway() as found:
        yield found


def through(ctx: Context, channel: Channel, address: str) -> Context:
    settings = ctx.settings.model_copy(update={SETTING[channel.name]: address})
    return replace(ctx, server=replace(ctx.server, settings=settings))


def message_for(channel: Channel, **changes: str) -> Message:
    given: dict[str, object] = {
        "id": "msg_1",
        "destination": DESTINATION.get(channel.name, "+491701234567"),
        "text": "123456 is it",
    }
    if channel.name == "push":
        given["payload"] = {"dai": "dev_1", "txtkn": "cha_1.x", "c": "nonce"}
    return Message(**(given | {"subject": "Your code", "code": "123456"} | changes))  # type: ignore[arg-type]


@every_channel
def test_without_a_gateway_it_is_not_ready_and_says_so(ctx: Context, channel: Channel) -> None:
    ctx = through(ctx, channel, "")
    with ctx.db.read() as conn:
        assert not channel.is_ready(ctx, conn)
    with pytest.raises(DeliveryFailed, match="no_gateway"):
        channel.deliver(ctx, message_for(channel))


@every_channel
def test_on_the_terminal_a_developer_reads_the_code(
    ctx: Context, channel: Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = through(ctx, channel, "terminal:")
    with ctx.db.read() as conn:
        assert channel.is_ready(ctx, conn)
    channel.deliver(ctx, message_for(channel))
    assert "123456 is it" in capsys.readouterr().err


@every_channel
def test_a_gateway_that_is_not_there_is_tried_again(ctx: Context, channel: Channel) -> None:
    address = "smtp://127.0.0.1:9" if channel.name == "email" else "webhook+http://127.0.0.1:9/"
    with pytest.raises(DeliveryFailed) as failure:
        channel.deliver(through(ctx, channel, address), message_for(channel))
    assert failure.value.may_repeat
    assert "127.0.0.1" not in str(failure.value)


@every_channel
def test_a_gateway_that_breaks_off_is_not_asked_twice(
    ctx: Context, channel: Channel, gateway: Gateway
) -> None:
    """It may have sent the message before it broke off."""
    if channel.name == "email":
        return  # tests/channels/test_email.py
    gateway.answers = [lambda handler: handler.connection.close()]
    with pytest.raises(DeliveryFailed) as failure:
        channel.deliver(through(ctx, channel, f"webhook+http://{gateway.host}/"), message_for(channel))
    assert not failure.value.may_repeat and len(gateway.received) == 1


@every_channel
@pytest.mark.parametrize(
    "text", ["a\r\nBcc: everybody@example.com", "\0", "<Say>", "&amp; 'quotes'", "é😀" * 50]
)
def test_odd_text_stays_text(ctx: Context, channel: Channel, gateway: Gateway, text: str) -> None:
    if channel.name in ("email", "push"):
        return  # tests/channels/test_email.py, test_push.py
    ctx = through(ctx, channel, f"webhook+http://{gateway.host}/in?key=1")
    channel.deliver(ctx, message_for(channel, text=text))
    (received,) = gateway.received
    assert received.path == "/in?key=1"
    assert received.json == {
        "to": "+491701234567",
        "channel": channel.name,
        "text": text,
        "code": "123456",
        "message_id": "msg_1",
    }
