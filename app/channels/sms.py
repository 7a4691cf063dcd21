"""Text messages to a phone."""

from functools import partial

from app.channels import phone
from app.channels.channel import Channel

CHANNEL = Channel(
    "sms",
    partial(phone.deliver, channel="sms"),
    partial(phone.is_ready, channel="sms"),
    "gd_send_sms",
    "gd_send_sms_failure",
    reaches="phone_number",
)
