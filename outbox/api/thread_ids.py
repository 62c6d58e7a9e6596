"""The Message-IDs by which recipients' programs know a message, for replies to it.

Some servers replace the Message-ID (`outbox.mail.wire_ids`). They name the new one once they have
accepted the message, so a reply that was begun earlier gets it when it is sent. Recipients of
several SMTP transactions may have different ones.
"""

from outbox.mail.replies import references_of_reply
from outbox.models import DraftKind, Message, Role, State

_ACCEPTED = (State.SENT, State.BOUNCED)
_RECIPIENTS_READ = 100  # to find the ids
_OTHERS_MAX = 2  # ids of other SMTP transactions


def thread_ids(message: Message) -> list[str]:
    """Return the ids of a message for the References of a reply, with brackets.

    The last one, for In-Reply-To, is known to the first recipient who gets the reply. The id that
    the message has here is always among them, in case that a server kept it after all.
    """
    own = f"<{message.message_id}>"
    rows = message.recipients.filter(state__in=_ACCEPTED).order_by("pk")[:_RECIPIENTS_READ]
    # A reply does not go to the recipients in Bcc.
    ordered = sorted(rows, key=lambda row: row.role == Role.BCC)
    known = dict.fromkeys(
        f"<{row.wire_message_id}>" if row.wire_message_id else own for row in ordered
    )
    first, *others = known or [own]
    others = [one for one in others if one != own][:_OTHERS_MAX]
    return [*([own] if first != own else []), *others, first]


def current_references(original: Message | None, made_as: str, references: list[str]) -> list[str]:
    """Return the References of a draft, with the ids that servers gave the original since."""
    if original is None or made_as != DraftKind.REPLY:
        return references
    if references[-1:] != [f"<{original.message_id}>"]:
        return references
    return references_of_reply(" ".join(thread_ids(original)), " ".join(references[:-1]))
