"""The search for recipients by the words of the server's reply, over all owners."""

from collections.abc import Iterable

from outbox.conf import get_conf
from outbox.mail.search_terms import terms_asked
from outbox.models import Recipient, ReplyGroup
from outbox.models.recipient import RecipientQuerySet
from outbox.models.reply_group import with_words

GROUPS_MAX = 500


def replies_with_words(text: str) -> list[ReplyGroup]:
    """Return the reply groups with all of these words, seen last first, at most GROUPS_MAX.

    The last letters of a word may be missing. Addresses, hosts, ids and numbers are in no group.
    """
    wanted = [terms for word in text.split() if (terms := terms_asked(word))]
    if not wanted:
        return []
    found = with_words(wanted).using(get_conf().database)
    return list(found.order_by("-last_seen_at", "pk")[:GROUPS_MAX])


def recipients_of_reply(keys: Iterable[int]) -> RecipientQuerySet:
    """Return the recipients whose last reply is in one of these groups, newest first."""
    recipients = Recipient.objects.using(get_conf().database)
    return recipients.filter(reply_key__in=list(keys)).order_by("-pk")
