"""Our states in the words of django-anymail, for code that was written against it.

Its words say less: several of our states are one of its own, and none says "nobody knows".
"""

from outbox.models.states import State

# Words of its `message.anymail_status`: what became of the wish to send.
_STATUS = {
    State.QUEUED: "queued",
    State.SENDING: "queued",
    State.DEFERRED: "queued",  # will be tried again
    State.HELD: "queued",
    State.SENT: "sent",  # which does not mean delivered, there and here
    State.BOUNCED: "sent",  # its event type tells
    State.FAILED: "failed",
    State.EXPIRED: "failed",
    State.CANCELLED: "failed",
    State.UNCERTAIN: "unknown",
}
# Words of its tracking events, where they differ from those above.
_EVENT = {State.DEFERRED: "deferred", State.BOUNCED: "bounced"}


def send_status(state: State, reply_command: str) -> str:
    """Return its status; a recipient refused at RCPT is "rejected"."""
    if state == State.FAILED and reply_command == "RCPT":
        return "rejected"
    return _STATUS[state]


def event_type(state: State, reply_command: str) -> str:
    """Return its tracking event type."""
    return _EVENT.get(state) or send_status(state, reply_command)
