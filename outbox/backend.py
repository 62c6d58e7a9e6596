"""Django's mail API, queued: `send_mail` and `EmailMessage.send()` end as rows, not as a call.

What is queued is what `EmailMessage.message()` gave, byte for byte with CRLF, less a Bcc header.
A call is queued whole or not at all: every message of it is rendered and checked before the rows
are committed, and a bad header or address raises in the caller's stack, `fail_silently` or not.
It never talks to a mail server and never reads a body as a template.
"""

import copy
import email.message
import email.policy
import inspect
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
    has_options,
    read_message_options,
    with_header_options,
)
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.addresses import Address, AddressError, parse_address, parse_address_header
from outbox.mail.flatten import flatten
from outbox.mail.headers import HeaderError, check_name
from outbox.mail.source import SourceError, normalise, strip_bcc
from outbox.mail.words import decode_words
from outbox.models import Account, Origin, Role

# What RFC 5322 calls a dot-atom, alone: the mailbox of a host's own user, such as "root".
_LOCAL_MAILBOX = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
SNIPPET_OF = 800  # characters of a body that a list's snippet is made of
_PRIORITY = re.compile(r"\s*([1-5])\b")


class EmailBackend(BaseEmailBackend):
    """Queue instead of sending.

    A message may carry an attribute `outbox`, a dict with options of `outbox.api.send`, and
    Anymail's attributes tags, metadata, send_at and envelope_sender; one with those that would
    make several mails of it, or fill in a provider's template, is refused.
    Options, by keyword or as `OPTIONS` of a MAILERS entry:

    - `account`: name or id of the account to send with; without it the default for apps.
    - `using`: alias of a database whose transaction decides too. Without it the rows join the
      caller's transaction on the outbox's own database, and OUTBOX["ON_OTHER_DATABASE"] says what
      a transaction on another one means. With another one they are written after its commit, and
      a process killed between the two commits loses them.
    - `fail_silently`: answer 0 instead of raising when the database or the storage cannot take
      the mail. Mistakes in the mail or in the configuration raise all the same.
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
        """Queue every message that has a recipient; return how many those were."""
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

    def _queue(self, mails: Iterable[api.Outgoing]) -> None:
        others = self._other_transactions()
        if others:
            _once_committed({*others, get_conf().database}, partial(api.queue_ids, list(mails)))
        else:
            api.queue_ids(mails)

    def _other_transactions(self) -> set[str]:
        conf = get_conf()
        if self.using is not None:
            return {self.using} - {conf.database}
        if conf.on_other_database != "wait":
            return set()
        opened = connections.all(initialized_only=True)
        return {one.alias for one in opened if one.in_atomic_block} - {conf.database}


def _once_committed(aliases: Iterable[str], act: Callable[[], object]) -> None:
    """Act when the present transactions of all these have committed; one rollback prevents it."""
    waiting = set(aliases)

    def committed(alias: str) -> None:
        waiting.discard(alias)
        if not waiting:
            act()

    for alias in sorted(waiting):
        transaction.on_commit(partial(committed, alias), using=alias)


def _rendering(messages: Sequence[EmailMessage], account: Account | None) -> Iterable[api.Outgoing]:
    """Render them: those of Django's own classes when it is their turn, while others are written.

    A subclass may ask the database something, which is then amid a statement; so may an option.
    """
    rendered = (outgoing(message, account) for message in messages)
    return rendered if all(map(_is_plain, messages)) else list(rendered)


def _is_plain(message: EmailMessage) -> bool:
    return type(message) in (EmailMessage, EmailMultiAlternatives) and not has_options(message)


def outgoing(message: EmailMessage, account: Account | None) -> api.Outgoing:
    """Render a message and read its envelope. Raises InvalidMailError for what cannot be sent."""
    options = read_message_options(message)
    rendered = _rendered(with_header_options(message, options) if options else message)
    recipients = [*_recipients(message), *_header_bcc(rendered)]
    sender = options.pop("envelope_sender", None)
    return api.Outgoing(
        source=_source(rendered),
        envelope_sender=_envelope_sender(message) if sender is None else sender,
        recipients=_first_of_each(recipients),
        account=options.pop("account", account),
        origin=Origin.BACKEND,
        priority=_priority(rendered),
        from_header=decode_words(str(rendered.get("From", ""))),
        text=_searchable(str(message.body)[:SNIPPET_OF]),
        attachment_count=len(message.attachments),
        **options,
    )


# --- the bytes ------------------------------------------------------------------------------------


def _searchable(text: str) -> str:
    """Return text that every database stores; bytes that Django could not decode are replaced."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _rendered(message: EmailMessage) -> email.message.Message:
    """Call the message's own `message()`, with the policy of the wire where it takes one."""
    own = _with_parts_of_its_own(message)
    if _takes_policy(EmailMessage.message) and _takes_policy(type(message).message):
        return own.message(policy=email.policy.SMTP)
    return own.message()


@lru_cache(maxsize=64)
def _takes_policy(method: Callable[..., object]) -> bool:
    """Tell Django 6's `message(policy=…)` from Django 5.2's, which a subclass may still have."""
    parameters = inspect.signature(method).parameters
    return "policy" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _with_parts_of_its_own(message: EmailMessage) -> EmailMessage:
    """Copy the MIME objects that a caller attached: writing one out gives it a boundary."""
    if not any(_holds_mime(attachment) for attachment in message.attachments):
        return message
    own = copy.copy(message)
    own.attachments = copy.deepcopy(message.attachments)
    return own


def _holds_mime(attachment: Any) -> bool:
    parts = attachment if isinstance(attachment, tuple) else (attachment,)
    return any(isinstance(part, email.message.Message) for part in parts)


def _source(rendered: email.message.Message) -> bytes:
    try:
        for name in rendered.keys():  # noqa: SIM118  # a message is no mapping: names may repeat
            check_name(name)  # a line break in one would begin another header
        source = normalise(_bytes_of(rendered))
    except (HeaderError, SourceError) as error:
        raise InvalidMailError("source", f"The message cannot be sent: {error}.") from error
    return strip_bcc(source)


def _bytes_of(rendered: email.message.Message) -> bytes:
    """Write it out; in a shorter way where nobody but Django 5.2 says how."""
    if type(rendered).as_bytes.__module__ == "django.core.mail.message":
        return flatten(rendered)
    return rendered.as_bytes()


def _priority(rendered: email.message.Message) -> int:
    found = _PRIORITY.match(str(rendered.get("X-Priority", "")))
    return int(found[1]) if found else 3


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
    """Read a Bcc given as a header: it leaves the header, and its addresses are not forgotten."""
    for value in rendered.get_all("Bcc", ()):
        for address in parse_address_header(str(value)):
            yield api.OutgoingRecipient(
                address=_spec(address, str(value), Role.BCC),
                role=Role.BCC,
                name=address.name,
            )


def _first_of_each(recipients: Iterable[api.OutgoingRecipient]) -> list[api.OutgoingRecipient]:
    first: dict[str, api.OutgoingRecipient] = {}
    for recipient in recipients:
        local, _, domain = recipient.address.rpartition("@")
        first.setdefault(f"{local}@{domain.lower()}", recipient)
    return list(first.values())


def _envelope_sender(message: EmailMessage) -> str:
    """Return Anymail's `envelope_sender` where the caller set it ("" is the null sender)."""
    given = anymail_sender(message)
    if given == "":
        return ""
    _, address = _mailbox(str(message.from_email if given is None else given), "from")
    return address


@lru_cache(maxsize=256)  # one sender writes much of the mail
def _mailbox(text: str, field: str) -> tuple[str, str]:
    """Return display name and addr-spec of one address. Raises InvalidMailError, a ValueError.

    A local part alone passes, as it does through Django's own backends: a host's server knows
    its users by it.
    """
    if _LOCAL_MAILBOX.fullmatch(text):
        return "", text
    try:
        address = _parsed(text)
    except (AddressError, UnicodeError) as error:
        raise InvalidMailError(field, f"Invalid address {text!r}: {error}.") from error
    return address.name, _spec(address, text, field)


def _parsed(text: str) -> Address:
    if _QUOTED.sub("", text).count("@") > 1:  # "a@x.example <b@y.example>" says two things
        raise AddressError("it has more than one @ outside quotes")
    return parse_address(text)


def _spec(address: Address, text: str, field: str) -> str:
    """Return the addr-spec, which must name the domain that Django writes into the headers."""
    if address.needs_smtputf8:  # Django's headers have no form for such a local part
        problem = "local-part contains non-ASCII characters"
        raise InvalidMailError(field, f"Invalid address {text!r}: {problem}.")
    if address.domain.isascii():
        return address.spec
    local = address.spec.rpartition("@")[0]
    in_headers = f"{local}@{punycode(address.domain)}"
    return address.spec if in_headers == address.wire else in_headers
