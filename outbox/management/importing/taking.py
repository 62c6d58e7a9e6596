"""Taking over: what waits in a neighbour waits in the outbox afterwards, and nowhere else.

Row by row, each in a transaction of its own: the mail is queued and the neighbour lets go of it
together. Where the two are in different databases the outbox commits first; a process killed
between the two commits leaves the row in the neighbour, and the next run finds by its key that the
mail is here already.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.db import transaction

from outbox import api
from outbox.backend import outgoing
from outbox.conf import get_conf
from outbox.management.importing.history import keep, keep_tries
from outbox.management.importing.neighbour import Neighbour, Past, Waiting
from outbox.models import Account, Message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """A mail that stays where it was, and why."""

    pk: int
    why: str


def take_over(neighbour: Neighbour, account: Account | None) -> Iterator[int | Left]:
    """Take over what waits, one after the other; give the id of each message, or what was left."""
    for pk in neighbour.waiting():
        try:
            with transaction.atomic(using=neighbour.using):
                message_id = _take(neighbour, pk, account)
        except Exception as error:  # what one mail is refused for, the others are not
            logger.debug("Mail %s of %s was left.", pk, neighbour.name, exc_info=True)
            yield Left(pk, f"{type(error).__name__}: {error}")
        else:
            if message_id is not None:
                yield message_id


def _take(neighbour: Neighbour, pk: int, account: Account | None) -> int | None:
    row = neighbour.locked(pk)
    if row is None:  # sent or deleted meanwhile
        return None
    found = neighbour.read_waiting(row)
    with transaction.atomic(using=get_conf().database):
        message_id = keep(found, account) if isinstance(found, Past) else _queue(found, account)
    neighbour.let_go(row, message_id)
    return message_id


def _queue(waiting: Waiting, account: Account | None) -> int:
    item = replace(
        outgoing(waiting.mail, account),
        lane=waiting.lane,
        send_at=waiting.send_at,
        expires_at=waiting.expires_at,
        idempotency_key=waiting.key,
        metadata={"imported_as": waiting.key},
    )
    (message_id,) = api.queue_ids([item])
    message = Message.objects.using(get_conf().database).get(pk=message_id)
    keep_tries(message_id, waiting.tries, last_is_final=False)
    if waiting.given_up:
        api.hold(message, why=waiting.given_up)
    return message_id
