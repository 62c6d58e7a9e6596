"""Recipients without a domain, in the notifications of servers that name only the mailbox."""

import re

from outbox.inbound.address_text import first_address
from outbox.inbound.notification import Notification

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}+")
_NOT_ACCEPTING = "because they are not accepting mail"  # AOL
_NAMESERVER = re.compile(
    r"\s{1,4}([A-Za-z0-9][A-Za-z0-9._-]{0,63}+)\s{2,8}No matches to nameserver"
)


def bare_recipients(notification: Notification, sender: str) -> dict[str, str]:
    """Return the addresses of recipients that are named without a domain, with the text."""
    domain = first_address(sender).rpartition("@")[2].lower()
    if not domain:
        return {}
    if _NOT_ACCEPTING in notification.low:
        names = [line.strip() for line in notification.lines if _NAME.fullmatch(line.strip())]
        return {f"{name}@{domain}": _NOT_ACCEPTING for name in names}
    found: dict[str, str] = {}
    for line in notification.lines:
        if match := _NAMESERVER.match(line):  # "phquery" of Yale: two forms are in use
            site = ".".join(domain.split(".")[-2:])
            found |= dict.fromkeys((f"{match[1]}@{site}", f"{match[1]}@cs.{site}"), line.strip())
    return found
