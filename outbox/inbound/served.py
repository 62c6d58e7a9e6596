"""The messages that what comes to a mailbox may be about (docs/decisions/0032).

Each rule is also a condition for a query: a lookup with a limit must not count other messages.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import Protocol

from django.db.models import Q

from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Account, Message
from outbox.models.suppression import folded_address
from outbox.texts import storable


class Reportable(Container[object], Protocol):
    """The messages that reports may be about."""

    def reported(self, prefix: str = "") -> Q:
        """Return a condition that each of these messages meets; `prefix` is the path to them.

        A message that meets it is checked again, by `in`.
        """


class Served:
    """The messages that reports in the mailbox of an account may be about."""

    def __init__(self, account: Account) -> None:
        self._account = account
        addresses = (account.from_address, account.return_path)
        self._addresses = {folded_address(one) for one in addresses if one}

    def __contains__(self, message: object) -> bool:
        """Return whether bounces of the message come to the mailbox.

        They do if its account has the mailbox. They do as well if they are returned to an address
        of it, and its owner, or the site, owns both accounts. Otherwise a user could enter the
        address of another account, and bounce its messages.
        """
        if not isinstance(message, Message):
            return False
        if message.account_id == self._account.pk:
            return True
        account = message.account
        owner = account.owner_id if account is not None else message.owner_id
        if self._account.owner_id is not None and self._account.owner_id != owner:
            return False
        return_path = account.return_path if account and not message.is_sender_given else ""
        returned_to = return_path or message.envelope_sender
        return bool(returned_to) and folded_address(returned_to) in self._addresses

    def reported(self, prefix: str = "") -> Q:
        """Return a condition that each message meets that bounces to the mailbox."""
        account, owner = self._account.pk, self._account.owner_id
        found = Q((f"{prefix}account", account))
        if owner is not None:
            found |= Q((f"{prefix}account__owner", owner))
            return found | Q((f"{prefix}account", None), (f"{prefix}owner", owner))
        for address in spellings_of(self._addresses):
            found |= Q((f"{prefix}account__return_path__iexact", address))
            found |= Q((f"{prefix}envelope_sender__iexact", address))
        return found

    def own(self, prefix: str = "") -> Q:
        """Return the condition that `is_own` checks; `prefix` is the path to the message."""
        account, owner = self._account.pk, self._account.owner_id
        found = Q((f"{prefix}account", account))
        return found if owner is None else found | Q((f"{prefix}owner", owner))

    def is_own(self, message: Message) -> bool:
        """Return whether a reply to the message may come to the mailbox.

        It may if the message has the same account or the same owner. The accounts of the site have
        no owner, and each may be visible to other staff.
        """
        owner = self._account.owner_id
        return message.account_id == self._account.pk or (
            owner is not None and message.owner_id == owner
        )


class _Every:
    def __contains__(self, message: object) -> bool:
        return True

    def reported(self, prefix: str = "") -> Q:
        return Q()


EVERY_MESSAGE: Reportable = _Every()  # for a provider, which has proved who it is


def spellings_of(addresses: Collection[str]) -> set[str]:
    """Return the ways in which recipients may have the domains: in Unicode or in A-labels."""
    found = set(map(storable, addresses))
    for address in list(found):
        try:
            parsed = parse_address(address)
            found |= {parsed.spec, parsed.wire}
            local, _, domain = parsed.wire.rpartition("@")
            found.add(f"{local}@{domain.encode().decode('idna')}")
        except (AddressError, UnicodeError):
            continue
    return found
