"""What callers of the outbox may catch. A message is written for the person who reads it."""


class OutboxError(Exception):
    """Base of the errors below."""


class InvalidMailError(OutboxError, ValueError):
    """The message cannot be queued as it is. `field` names the argument to correct."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class DraftConflictError(OutboxError):
    """The draft was changed elsewhere since it was opened; nothing was overwritten."""


class NotADraftError(OutboxError):
    """The draft was sent or discarded meanwhile."""


class NotScheduledError(OutboxError):
    """The message is not scheduled any more: a worker claimed it, or it was cancelled."""


class NoAccountError(OutboxError):
    """There is no such account, or none was named and none is the default for apps."""


class MessageNotFoundError(OutboxError, LookupError):
    """The message of a handle does not exist any more: it was deleted."""
