"""Exceptions that callers of the API may catch. Their texts are written for users."""

from outbox.reason_codes import ReasonCode
from outbox.texts import Translate, Value, fill


class TranslatableError(Exception):
    """An error whose text is a template and its values, so that a page can translate it."""

    def __init__(self, template: str, /, **values: Value) -> None:
        super().__init__(fill(template, values))
        self.template = template
        self.values = values

    def in_words(self, translate: Translate = str) -> str:
        """Return the text; `translate` maps the English template to the reader's language."""
        return fill(self.template, self.values, translate)


class OutboxError(Exception):
    """Base of the errors below."""


class InvalidMessageError(OutboxError, TranslatableError, ValueError):
    """The message cannot be queued as it is. `field` names the argument to correct."""

    def __init__(self, field: str, text: str | TranslatableError, /, **values: Value) -> None:
        """Store the text of another error, or a template and its values."""
        if isinstance(text, TranslatableError):
            values, text = text.values, text.template
        TranslatableError.__init__(self, text, **values)
        self.field = field


class QuotaExceededError(InvalidMessageError):
    """A quota of the message's owner does not allow it at present."""


class DraftConflictError(OutboxError):
    """The draft was changed elsewhere since it was opened; nothing was overwritten."""


class NotADraftError(OutboxError):
    """The draft was already sent or discarded."""


class NotScheduledError(OutboxError):
    """The message is no longer scheduled: a worker claimed it, or it was cancelled."""


class ContentErasedError(OutboxError, TranslatableError):
    """The content was erased, since the message is sensitive, or removed: it cannot be sent again.

    The text says why.
    """

    def __init__(self, template: str = ReasonCode.CONTENT_ERASED.template) -> None:
        super().__init__(template)


class NoAccountError(OutboxError):
    """The account does not exist, or none was named and none is the default for apps."""


class AccountNotUsableError(OutboxError, TranslatableError):
    """The author may not send with the account: access ended, or one of the two is disabled."""


class MessageNotFoundError(OutboxError, LookupError):
    """The message of a handle was deleted."""


class StorageWriteError(OutboxError, TranslatableError, OSError):
    """The storage cannot store a file, because it is full or unavailable; nothing was queued.

    `errno` is that of the operating system, if there is one.
    """

    def __init__(self, template: str, /, *, number: int | None = None, **values: Value) -> None:
        TranslatableError.__init__(self, template, **values)
        self.errno = number
