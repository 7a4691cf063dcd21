"""Calls that read a text aloud."""

from functools import partial

from app.channels import phone
from app.channels.channel import Channel

CHANNEL = Channel(
    "voice",
    partial(phone.deliver, channel="voice"),
    partial(phone.is_ready, channel="voice"),
    "gd_send_voice",
    "gd_send_voice_failure",
    reaches="phone_number",
)
