"""How pages name the sender of a received message, whose header may be any text."""

from outbox.mail.addresses import AddressError, parse_entry
from outbox.models import InboundMessage

_HEADER_READ = 1_000  # characters


def sender_name(message: InboundMessage) -> str:
    """Return the name in the From header, else the address, else the header as it is."""
    header = message.from_header[:_HEADER_READ]
    try:
        found = parse_entry(header)
    except AddressError:
        return header.strip() or message.from_address
    return found.name or found.spec
