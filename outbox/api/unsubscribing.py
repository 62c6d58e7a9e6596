"""Links to unsubscribe with one click (RFC 8058): the header fields, and the token of a link.

The link has the account, the address and perhaps a tag in an encrypted token. Nothing is stored for
it, so that it works after the message was removed, and it does not reveal the address. Its requests
are in `subscriptions`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from outbox.api.links import link_to
from outbox.api.options import SendOptions
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.models import Account
from outbox.models.secrets import SecretUnreadableError, make_token, read_token

logger = logging.getLogger(__name__)

BULK_FROM = 50  # recipients; to fewer, a missing link causes no warning
ONE_CLICK = ("List-Unsubscribe", "One-Click")  # name and value in the body of the request
_AUTOMATIC = {
    "Auto-Submitted": "auto-generated",  # RFC 3834 5
    "X-Auto-Response-Suppress": "OOF, AutoReply",  # the same for Exchange; bounces are wanted
}
_PURPOSE = "outbox.unsubscribe"
_LONGEST = 1_000  # characters of a token; the longest address and tag make about 690


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a link is about: messages of an account to an address, all or those with a tag."""

    account: Account
    address: str
    tag: str = ""


def headers_of_options(
    options: SendOptions, account: Account | None, addresses: Sequence[str], *, given: Iterable[str]
) -> dict[str, str]:
    """Return the header fields that `unsubscribe` and `auto_submitted` add to those given by name.

    Raise InvalidMessageError if no link can be made.
    """
    names = {name.lower() for name in given}
    added: dict[str, str] = {}
    if options.get("auto_submitted"):
        added |= _AUTOMATIC
    if options.get("unsubscribe") and "list-unsubscribe" not in names:
        assert account is not None
        added |= _link_headers(account, addresses, tag_of(options))
    return {name: value for name, value in added.items() if name.lower() not in names}


def tag_of(options: SendOptions) -> str:
    """Return the tag that `unsubscribe` names; empty for a link about all messages."""
    given = options.get("unsubscribe")
    return given if isinstance(given, str) else ""


def _link_headers(account: Account, addresses: Sequence[str], tag: str) -> Mapping[str, str]:
    if len(addresses) != 1:
        problem = "unsubscribe needs exactly one recipient, because the link names it."
        raise InvalidMessageError("unsubscribe", f"{problem} Use send_many.")
    link = make_link(account, addresses[0], tag)
    headers = {"List-Unsubscribe": f"<{link}>"}
    if link.lower().startswith("https:"):  # RFC 8058 3.1
        headers["List-Unsubscribe-Post"] = "=".join(ONE_CLICK)
    return headers


def make_link(account: Account, address: str, tag: str = "") -> str:
    """Return the link for an address. Raise InvalidMessageError if the settings allow none."""
    subject = f"{account.pk} {address}" + (f"\n{tag}" if tag else "")  # no address has a line break
    if not get_conf().secret_keys:
        raise InvalidMessageError("unsubscribe", 'unsubscribe needs OUTBOX["SECRET_KEYS"].')
    link = link_to("outbox:unsubscribe", make_token(subject, _PURPOSE))
    if not link:
        problem = 'unsubscribe needs OUTBOX["SITE_URL"], and the pages of the outbox.'
        raise InvalidMessageError("unsubscribe", problem)
    return link


def lacks_link(options: SendOptions, headers: Iterable[str]) -> bool:
    """Return whether a message with these options and headers has no link to unsubscribe."""
    return not options.get("unsubscribe") and not any(
        name.lower() == "list-unsubscribe" for name in headers
    )


def warn_of_many(count: int) -> None:
    """Log that messages without a link are sent to many recipients. They are sent all the same."""
    if count >= BULK_FROM:
        logger.warning(
            "Messages without List-Unsubscribe are sent to %d recipients or more. Large mailbox"
            " providers reject newsletters without it. send_many(unsubscribe=True) adds it.",
            BULK_FROM,
        )


def find_subscription(token: str) -> Subscription | None:
    """Return what a link is about; None for an invalid one, or one of an account that is gone."""
    conf = get_conf()
    if not conf.secret_keys or not token.isascii() or len(token) > _LONGEST:
        return None
    try:
        account_id, _, rest = read_token(token, _PURPOSE).partition(" ")
    except SecretUnreadableError:
        return None
    account = Account.objects.using(conf.database).filter(pk=int(account_id)).first()
    address, _, tag = rest.partition("\n")
    return Subscription(account, address, tag) if account else None
