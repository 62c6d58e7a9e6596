"""What an account allows: the users who may send with it, and the domains of its senders."""

from django.contrib.auth.models import AbstractBaseUser

from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address_header
from outbox.mail.source import from_header_of
from outbox.models import Account
from outbox.models.account import restricted_default
from outbox.models.senders import may_send_for
from outbox.reasons import ReasonCode
from outbox.texts import gettext_noop


def check_account_allows(account: Account, owner: AbstractBaseUser | None) -> None:
    """Raise InvalidMessageError if messages of this owner may not be sent with an account.

    Apps send with the accounts of the site for every user, but with the account of a user only for
    the users who may send with it.
    """
    if not account.is_active:
        raise InvalidMessageError("account", ReasonCode.ACCOUNT_DISABLED.template)
    if owner is None or account.owner_id in {None, owner.pk}:
        return
    if not may_send_for(owner, account, get_conf().database):
        template = gettext_noop("The owner of the message may not send with this account.")
        raise InvalidMessageError("account", template)


def check_sender_domains(account: Account | None, envelope_sender: str, source: bytes) -> None:
    """Raise InvalidMessageError if an account may not send from the domains of a valid source.

    None is the default account for apps.
    """
    if account is None:
        account = restricted_default(get_conf().database)
    if account is None or not account.allowed_domains:
        return
    for address in (envelope_sender, *_authors(source)):
        if not account.may_send_as(address):
            template = gettext_noop("This account may only send from these domains: %(domains)s.")
            domains = ", ".join(sorted(account.allowed_domains))
            raise InvalidMessageError("from", template, domains=domains)


def _authors(source: bytes) -> list[str]:
    try:
        return [address.spec for address in parse_address_header(from_header_of(source))]
    except AddressError:
        return ["unreadable"]
