"""The condition of `code:`, for the server replies to a user's messages or to all."""

from __future__ import annotations

from collections import defaultdict

from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Q

from outbox.models import Recipient
from outbox.models.owner_key import owner_key
from outbox.models.recipient import REFUSALS_FROM
from outbox.models.replies import all_refusals, refusals_of

MOST = 500  # different replies; a server uses a few dozen
_NONE = Q(pk__in=())


def has_reply(user: User, code: str) -> Q:
    """Return the condition on recipients, in terms of the index of replies."""
    if not code:
        return Q()
    if code.startswith("2"):  # nearly all recipients have such a reply, so no index is needed
        return _pattern(code)
    return _among(refusals_of(owner_key(user.pk), Recipient.objects.db, MOST + 1), code)


def has_refusal(code: str) -> Q:
    """Return the condition on the recipients of all users, for a code from 3 on."""
    return _among(all_refusals(Recipient.objects.db, MOST + 1), code)


def _among(replies: list[tuple[int, str]], code: str) -> Q:
    if len(replies) > MOST:
        return _pattern(code) & Q(reply_code__gte=REFUSALS_FROM)
    matching: dict[int, list[str]] = defaultdict(list)
    others: set[int] = set()
    for reply_code, enhanced in replies:
        if _matches(code, reply_code, enhanced):
            matching[reply_code].append(enhanced)
        else:
            others.add(reply_code)
    # Use the code alone if that is enough: PostgreSQL assumes that code and enhanced code are
    # independent, and estimates a hundredth of the rows.
    alone = sorted(matching.keys() - others)
    condition = Q(reply_code__in=alone) if alone else Q()
    for reply_code in sorted(matching.keys() & others):
        condition |= Q(reply_code=reply_code, reply_enhanced__in=matching[reply_code])
    if not condition:
        return _NONE
    # The index is partial. SQLite uses it only if the query has its condition. PostgreSQL would
    # estimate a hundredth of the rows with it.
    is_sqlite = connections[Recipient.objects.db].vendor == "sqlite"
    return condition & Q(reply_code__gte=REFUSALS_FROM) if is_sqlite else condition


def _matches(code: str, reply_code: int, enhanced: str) -> bool:
    """Return whether the code matches: 5 and 5.1 match enhanced codes, 5 and 550 reply codes."""
    if _is_whole(code):
        return reply_code == int(code)
    is_of_class = code.isdigit() and reply_code // 100 == int(code)
    return is_of_class or f"{enhanced}.".startswith(f"{code}.")


def _pattern(code: str) -> Q:
    """Return the condition for too many replies to list; it matches the same as `_matches`."""
    if _is_whole(code):
        return Q(reply_code=int(code))
    begins = Q(reply_enhanced=code) | Q(reply_enhanced__startswith=f"{code}.")
    if code.isdigit():
        lowest = int(code) * 100
        return begins | Q(reply_code__gte=lowest, reply_code__lt=lowest + 100)
    return begins


def _is_whole(code: str) -> bool:
    return len(code) == len("550") and code.isdigit()
