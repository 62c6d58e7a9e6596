"""An email backend that queues: `send_mail` and `EmailMessage.send()` write rows.

What is queued are the bytes of `EmailMessage.message()` with CRLF and without a Bcc header.
A call is queued whole or not at all: every message of it is rendered and checked before the rows
are committed, and a wrong header or address raises in the caller's stack, `fail_silently` or not.
It connects to no server and never renders a body as a template.
"""

import email.message
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, connections, transaction
from django.utils.encoding import punycode

from outbox import api
from outbox.api.django_messages import (
    anymail_sender,
    check_message_limits,
    has_options,
    read_message_options,
    with_header_options,
)
from outbox.api.django_rendering import render_message, source_of
from outbox.api.sensitivity import HEADER, is_sensitive, read_mark
from outbox.api.unsubscribing import warn_of_many
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import (
    Address,
    AddressError,
    is_usual,
    mailbox_key,
    parse_address,
    parse_addresses,
)
from outbox.mail.encoded_words import decode_words
from outbox.models import Account, Importance, Origin, Role
from outbox.texts import storable

# What RFC 5322 calls a dot-atom, alone: the mailbox of a host's own user, such as "root".
_LOCAL_MAILBOX = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
SNIPPET_OF = 800  # characters of a body that a list's snippet is made of
_X_PRIORITY = re.compile(r"\s*([1-5])\b")
_IMPORTANCE_OF = {
    1: Importance.HIGH,
    2: Importance.HIGH,
    3: Importance.NORMAL,
    4: Importance.LOW,
    5: Importance.LOW,
}


class EmailBackend(BaseEmailBackend):
    """An email backend that queues messages.

    A message may have an attribute `outbox`, a dict with options of `outbox.api.send`, and
    Anymail's attributes tags, metadata, send_at and envelope_sender; attributes that would
    send several messages, or fill in a provider's template, are rejected.
    Options, by keyword or as `OPTIONS` of a MAILERS entry:

    - `account`: name or id of the account to send with; without it the default for apps.
    - `using`: alias of a database whose transaction decides too. Without it the rows join the
      caller's transaction on the outbox's own database, and OUTBOX["ON_OTHER_DATABASE"] says what
      a transaction on another one means. With another one they are written after its commit, and
      a process killed between the two commits loses them.
    - `fail_silently`: return 0 instead of raising if the database or the storage fails. Mistakes
      in the message or in the configuration raise all the same.
    """

    def __init__(
        self,
        fail_silently: bool = False,  # noqa: FBT001, FBT002  # Django passes it by position
        *,
        account: str | int | None = None,
        using: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alias = options.get("alias")  # Django 5.2's own base keeps none
        self.fail_silently = fail_silently
        self.account = account
        self.using = using

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Queue every message that has a recipient, and return their number."""
        messages = [message for message in email_messages or () if message.recipients()]
        if not messages:
            return 0
        try:
            account = None if self.account is None else api.account_named(self.account)
            self._queue(_rendering(messages, account))
        except (DatabaseError, OSError):
            if not self.fail_silently:
                raise
            return 0
        return len(messages)

    def _queue(self, items: Iterable[api.Outgoing]) -> None:
        others = self._other_transactions()
        if others:
            _call_after_commits({*others, get_conf().database}, partial(api.queue_ids, list(items)))
        else:
            api.queue_ids(items)

    def _other_transactions(self) -> set[str]:
        conf = get_conf()
        if self.using is not None:
            return {self.using} - {conf.database}
        if conf.on_other_database != "wait":
            return set()
        opened = connections.all(initialized_only=True)
        return {one.alias for one in opened if one.in_atomic_block} - {conf.database}


def _call_after_commits(aliases: Iterable[str], callback: Callable[[], object]) -> None:
    """Call back once the present transactions of all these databases have committed."""
    waiting = set(aliases)

    def committed(alias: str) -> None:
        waiting.discard(alias)
        if not waiting:
            callback()

    for alias in sorted(waiting):
        transaction.on_commit(partial(committed, alias), using=alias)


def _rendering(messages: Sequence[EmailMessage], account: Account | None) -> Iterable[api.Outgoing]:
    """Render messages; those of Django's own classes lazily, while the database writes others.

    A subclass or an option may query the database, which is impossible during a statement.
    """
    rendered = (outgoing(message, account) for message in messages)
    return rendered if all(map(_is_plain, messages)) else list(rendered)


def _is_plain(message: EmailMessage) -> bool:
    return type(message) in (EmailMessage, EmailMultiAlternatives) and not has_options(message)


def outgoing(message: EmailMessage, account: Account | None) -> api.Outgoing:
    """Render a message and read its envelope. Raise InvalidMessageError if it cannot be sent."""
    check_message_limits(message)
    options = read_message_options(message)
    rendered = render_message(
        with_header_options(message, options, account) if options else message
    )
    sensitive = is_sensitive(
        options.pop("sensitive", None), _taken_mark(rendered), *_texts(message)
    )
    recipients = [*_recipients(message), *_header_bcc(rendered)]
    warn_of_many(0 if "List-Unsubscribe" in rendered else len(recipients))
    sender = options.pop("envelope_sender", None)
    options.setdefault("importance", _importance(rendered))
    return api.Outgoing(
        source=source_of(rendered),
        envelope_sender=_envelope_sender(message) if sender is None else sender,
        is_sender_given=sender is not None or anymail_sender(message) is not None,
        recipients=_first_of_each(recipients),
        account=options.pop("account", account),
        origin=Origin.BACKEND,
        from_header=decode_words(str(rendered.get("From", ""))),
        text=_searchable(str(message.body)[:SNIPPET_OF]),
        attachment_count=len(message.attachments),
        sensitive=sensitive,
        **options,
    )


def _taken_mark(rendered: email.message.Message) -> bool | None:
    """Remove the header that marks a message as sensitive, and return its meaning."""
    marks = rendered.get_all(HEADER, [])
    del rendered[HEADER]
    return True in [read_mark(mark) for mark in marks] if marks else None


def _texts(message: EmailMessage) -> Iterator[str]:
    yield str(message.body)
    for alternative in getattr(message, "alternatives", ()):
        yield str(alternative[0])


def _searchable(text: str) -> str:
    """Return text that every database stores; bytes that Django could not decode are replaced."""
    return storable(text)


def _importance(rendered: email.message.Message) -> Importance:
    found = _X_PRIORITY.match(str(rendered.get("X-Priority", "")))
    return _IMPORTANCE_OF[int(found[1])] if found else Importance.NORMAL


# --- the envelope ---------------------------------------------------------------------------------


def _recipients(message: EmailMessage) -> Iterator[api.OutgoingRecipient]:
    """Read `recipients()`, which a subclass may override, and find each one's role."""
    role_of: dict[str, Role] = {}
    for role, texts in (
        (Role.TO, message.to),
        (Role.CC, message.cc),
        (Role.BCC, message.bcc),
    ):
        for text in texts:
            role_of.setdefault(str(text), role)
    for text in map(str, message.recipients()):
        role = role_of.get(text, Role.BCC)
        name, address = _mailbox(text, role)
        yield api.OutgoingRecipient(address=address, role=role, name=name)


def _header_bcc(rendered: email.message.Message) -> Iterator[api.OutgoingRecipient]:
    """Yield the addresses of a Bcc header, which is removed from the message."""
    for value in rendered.get_all("Bcc", ()):
        for address in _bcc_addresses(str(value)):
            yield api.OutgoingRecipient(
                address=_spec(address, str(value), Role.BCC),
                role=Role.BCC,
                name=address.name,
            )


def _bcc_addresses(value: str) -> list[Address]:
    try:
        return parse_addresses(value)
    except AddressError as error:
        raise InvalidMessageError("bcc", error) from error


def _first_of_each(recipients: Iterable[api.OutgoingRecipient]) -> list[api.OutgoingRecipient]:
    first: dict[str, api.OutgoingRecipient] = {}
    for recipient in recipients:
        first.setdefault(mailbox_key(recipient.address), recipient)
    return list(first.values())


def _envelope_sender(message: EmailMessage) -> str:
    """Return Anymail's `envelope_sender` where the caller set it ("" is the null sender)."""
    given = anymail_sender(message)
    if given == "":
        return ""
    _, address = _mailbox(str(message.from_email if given is None else given), "from")
    return address


@lru_cache(maxsize=256)  # few senders write most messages
def _mailbox(text: str, field: str) -> tuple[str, str]:
    """Return display name and addr-spec of an address. Raise InvalidMessageError, a ValueError.

    A local part alone is valid, as with Django's own backends: the server of a host knows its users
    by it.
    """
    if is_usual(text) or _LOCAL_MAILBOX.fullmatch(text):
        return "", text
    try:
        address = _parsed(text)
    except (AddressError, UnicodeError) as error:
        raise InvalidMessageError(field, f"Invalid address {text!r}: {error}.") from error
    return address.name, _spec(address, text, field)


def _parsed(text: str) -> Address:
    if _QUOTED.sub("", text).count("@") > 1:  # "a@x.example <b@y.example>" is ambiguous
        raise AddressError("it has more than one @ outside quotes")
    return parse_address(text)


def _spec(address: Address, text: str, field: str) -> str:
    """Return the addr-spec, which must name the domain that Django writes into the headers."""
    if address.needs_smtputf8:  # Django's headers have no form for such a local part
        problem = "local-part contains non-ASCII characters"
        raise InvalidMessageError(field, f"Invalid address {text!r}: {problem}.")
    if address.domain.isascii():
        return address.spec
    local = address.spec.rpartition("@")[0]
    in_headers = f"{local}@{punycode(address.domain)}"
    return address.spec if in_headers == address.wire else in_headers
