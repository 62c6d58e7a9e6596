"""The rows of a bulk send. Each one is rendered as a message."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from django.db.models import Model

from outbox.api.accounts import account_named
from outbox.api.attachments import Attachable, read_attachments
from outbox.api.limits import check_size
from outbox.api.options import KEY_MAX, SendOptions, check_names, read_options
from outbox.api.outgoing import Checked, check_finished
from outbox.api.rendering import Content, identity_of, render_outgoing
from outbox.api.sending import Addresses, read_all, read_wording
from outbox.api.templates import Fill, filling
from outbox.api.unsubscribing import lacks_link, make_link, tag_of
from outbox.api.values import read_headers, read_mapping, wrong_type
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import Address
from outbox.mail.mime_writer import HeaderError, SharedPart, check_headers
from outbox.models import Account, Template


@dataclass(frozen=True, slots=True)
class MergeRow:
    """One message of a bulk send: recipients, values for the template, and more."""

    to: Addresses
    context: Mapping[str, Any] | None = None  # added to that of all rows
    _: KW_ONLY
    cc: Addresses = ()
    bcc: Addresses = ()
    attachments: Sequence[Attachable] | None = ()  # after those of all rows
    headers: Mapping[str, str] | None = None  # replacing those of all rows
    metadata: Mapping[str, Any] | None = None  # added to that of all rows
    related: Model | None = None  # instead of that of all rows
    idempotency_key: str | None = None  # appended to that of all rows, instead of To


class Common(SendOptions, total=False):
    """The arguments that all messages share, besides their content."""

    reply_to: Addresses
    attachments: Sequence[Attachable] | None
    headers: Mapping[str, str] | None
    account: Account | str | int | None


@dataclass(frozen=True, slots=True)
class Words:
    """The content of all messages, as the caller gave it."""

    subject: str | None = ""
    text: str | None = ""
    html: str | None = ""
    template: Template | str | None = None
    context: Mapping[str, Any] | None = None


class Merger:
    """Renders rows. Everything that the rows share is read and encoded once.

    Raise InvalidMessageError for an argument that is wrong for all rows, and NoAccountError.
    """

    def __init__(self, words: Words, common: Common) -> None:
        given: dict[str, Any] = dict(common)
        self._account = account_named(given.pop("account", None))
        self._reply_to = read_all("reply_to", given.pop("reply_to", ()))
        self._headers = _common_headers(given.pop("headers", None))
        files = read_attachments(given.pop("attachments", ()))
        self._files = [SharedPart.of(file) for file in files]
        check_names("send_many", given)
        self._options = read_options(given)
        identity_of(self._account)
        if self._options.get("unsubscribe") and lacks_link({}, self._headers):
            make_link(self._account, "", tag_of(self._options))  # raises if the settings allow none
        check_size(sum(len(file.data) for file in files))
        self._context = read_mapping("context", words.context)
        self._template = words.template
        self._wording = read_wording(words.subject, words.text, words.html)
        self._fill: Fill | None = None
        if words.template is not None or words.context is not None:
            self._prepare(has_values=True)
        self.without_link = 0  # rendered messages without a link to unsubscribe
        self._keys: set[int] = set()  # hashes of those that were used; the keys would be long

    @property
    def owner(self) -> Model | None:
        """The user who owns all messages."""
        return self._options.get("owner")

    def prepare(self, rows: Sequence[object]) -> None:
        """Compile the content as templates if one of the first rows has values."""
        if self._fill is None:
            self._prepare(has_values=any(isinstance(row, MergeRow) and row.context for row in rows))

    def _prepare(self, *, has_values: bool) -> None:
        self._fill = filling(self._template, self._wording, has_values=has_values)

    def finished(self, row: object) -> Checked:
        """Return the message of a row. Raise InvalidMessageError if it cannot be sent."""
        if not isinstance(row, MergeRow):
            raise wrong_type("rows", "a list of MergeRow", row)
        assert self._fill is not None
        to = read_all("to", row.to)
        options = self._options_of(row, to)
        words = self._fill({**self._context, **read_mapping("context", row.context)})
        content = Content(
            account=self._account,
            to=to,
            cc=read_all("cc", row.cc),
            bcc=read_all("bcc", row.bcc),
            reply_to=self._reply_to,
            subject=words.subject,
            text=words.text,
            html=words.html,
            files=[*self._files, *read_attachments(row.attachments)],
            headers={**self._headers, **read_headers("headers", row.headers)},
        )
        checked = check_finished(render_outgoing(content, **options))
        self.without_link += lacks_link(options, content.headers)
        if checked.item.idempotency_key is not None:
            self._keys.add(hash(checked.item.idempotency_key))
        return checked

    def _options_of(self, row: MergeRow, to: Sequence[Address]) -> SendOptions:
        options = self._options.copy()
        own = read_options(
            {
                "metadata": row.metadata,
                "related": row.related,
                "idempotency_key": row.idempotency_key,
            }
        )
        if "metadata" in own and "metadata" in options:
            own["metadata"] = {**options["metadata"], **own["metadata"]}
        options.update(own)
        key = _key_of(self._options.get("idempotency_key"), own.get("idempotency_key"), to)
        if key is not None:
            if hash(key) in self._keys:
                problem = "Another row has the same key: give each an idempotency_key of its own."
                raise InvalidMessageError("idempotency_key", problem)
            options["idempotency_key"] = key
        return options


def _common_headers(given: object) -> dict[str, str]:
    headers = read_headers("headers", given)
    try:
        check_headers(headers)
    except HeaderError as error:
        raise InvalidMessageError(error.field, error) from error
    return headers


def _key_of(of_all: str | None, of_row: str | None, to: Sequence[Address]) -> str | None:
    """Return the idempotency key of one row. A long key is replaced by its beginning and digest."""
    if of_all is None:
        return of_row
    own = [of_row] if of_row is not None else [address.key for address in to]
    whole = " ".join([of_all, *own])
    if len(whole) <= KEY_MAX:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return f"{of_all[: KEY_MAX - len(digest) - 1]} {digest}"
