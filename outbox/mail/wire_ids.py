"""The Message-ID on the wire: Outlook.com, Microsoft 365 and Amazon SES replace that of a message.

The new one is in the reply to the final dot, where it is found as the queue id. Recipients'
programs and bounces name it, and the original one is in no header that they read.
"""

import re

_OUTLOOK = re.compile(
    # The second domain is that of Microsoft 365 operated by 21Vianet.
    r"[^@\s<>]{1,80}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.prod\.(?:outlook\.com|partner\.outlook\.cn)",
    re.IGNORECASE,
)
_SES_HOST = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]{1,40})\.amazonaws\.com", re.IGNORECASE)
_SES_ID = re.compile(r"([\w-]{20,100})@(?:email|[a-z0-9-]{1,40})\.amazonses\.com", re.IGNORECASE)
_SES_FIRST = "us-east-1"  # its domain has no region


def wire_message_id(host: str, queue_id: str) -> str:
    """Return the Message-ID that a server gave a message, without brackets; "" if it kept it.

    `host` is the server, and `queue_id` is what it named in its reply.
    """
    if _OUTLOOK.fullmatch(queue_id):
        return queue_id
    region = _SES_HOST.fullmatch(host)
    if region is None or not queue_id or "@" in queue_id:
        return ""
    domain = "email" if region[1].lower() == _SES_FIRST else region[1].lower()
    return f"{queue_id}@{domain}.amazonses.com"


def queue_id_of(message_id: str) -> str:
    """Return the queue id of a Message-ID that a server gave; "" for any other."""
    if _OUTLOOK.fullmatch(message_id):
        return message_id
    found = _SES_ID.fullmatch(message_id)
    return found[1] if found else ""
