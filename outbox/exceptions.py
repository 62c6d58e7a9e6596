"""What callers of the outbox may catch. A message is written for the person who reads it."""


class OutboxError(Exception):
    """Base of the errors below."""


class InvalidMailError(OutboxError, ValueError):
    """This mail cannot be queued as it is; nothing was saved. `field` names what to mend."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class DraftConflictError(OutboxError):
    """The draft was changed elsewhere since it was opened; nothing was overwritten."""


class NotADraftError(OutboxError):
    """It was sent or discarded meanwhile."""


class NoAccountError(OutboxError):
    """No account was named and none is the default for apps."""
