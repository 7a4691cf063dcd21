"""Ways to reach a person, one file each. A new channel is its file and a line here."""

from app.channels import email, push, sms, voice
from app.channels.channel import Channel

CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        sms.CHANNEL,
        voice.CHANNEL,
        email.CHANNEL,
        push.CHANNEL,
    )
}
