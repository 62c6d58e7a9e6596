"""Drafts made from a received message: a reply, a reply to all, a forward."""

from django.contrib.auth.models import AbstractBaseUser

from outbox.api.originals import ReceivedOriginal
from outbox.api.replies import PreparedReply, prepared_from
from outbox.mail.mime_writer import AttachmentPart
from outbox.models import Account, DraftKind, InboundMessage

RECEIVED_KINDS = (DraftKind.REPLY, DraftKind.FORWARD)


def prepare_received_reply(
    message: InboundMessage, kind: DraftKind, *, actor: AbstractBaseUser, to_all: bool = False
) -> PreparedReply:
    """Return a draft made from a received message: one of RECEIVED_KINDS.

    Raise InvalidMessageError if its files are too large.
    """
    own = Account.objects.usable_by(actor).values_list("from_address", flat=True)
    original = ReceivedOriginal(message, to_all=to_all, own=list(own))
    return prepared_from(original, kind, actor=actor)


def files_of_received(message: InboundMessage) -> list[AttachmentPart]:
    """Return the files of a received message."""
    return [file.part for file in ReceivedOriginal(message).files()]
