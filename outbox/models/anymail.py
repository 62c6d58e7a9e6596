"""The states in django-anymail's terms, for code that was written against it.

Its terms are coarser: several states share one of them, and uncertain has no term of its own.
"""

from outbox.models.states import State

# The values of its `message.anymail_status`.
_STATUS = {
    State.QUEUED: "queued",
    State.SENDING: "queued",
    State.DEFERRED: "queued",  # will be tried again
    State.HELD: "queued",
    State.SENT: "sent",  # accepted by the server, not necessarily delivered
    State.BOUNCED: "sent",  # its event type is more precise
    State.FAILED: "failed",
    State.EXPIRED: "failed",
    State.CANCELLED: "failed",
    State.UNCERTAIN: "unknown",
}
# The types of its tracking events, where they differ.
_EVENT = {State.DEFERRED: "deferred", State.BOUNCED: "bounced"}


def send_status(state: State, reply_command: str) -> str:
    """Return the anymail status; a recipient rejected at RCPT is "rejected"."""
    if state == State.FAILED and reply_command == "RCPT":
        return "rejected"
    return _STATUS[state]


def event_type(state: State, reply_command: str) -> str:
    """Return the anymail type of tracking event."""
    return _EVENT.get(state) or send_status(state, reply_command)
