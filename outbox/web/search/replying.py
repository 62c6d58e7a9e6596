"""Which replies `code:` means, among those that a person's mail got."""

from __future__ import annotations

from collections import defaultdict

from django.contrib.auth.models import User
from django.db.models import Q

from outbox.models import Recipient
from outbox.models.recipient import REFUSALS_FROM
from outbox.models.replies import refusals_of

MOST = 500  # different replies that are told apart; servers know a few dozen
_NONE = Q(pk__in=())


def replied(person: User, code: str) -> Q:
    """Return the condition on recipients; it names replies as their index has them."""
    if not code:
        return Q()
    if code.startswith("2"):  # nearly all got such a reply; the latest of them are found at once
        return _pattern(code)
    got = refusals_of(person.pk, Recipient.objects.db, MOST + 1)
    if len(got) > MOST:
        return _pattern(code)
    meant: dict[int, list[str]] = defaultdict(list)
    left_out: set[int] = set()
    for reply_code, enhanced in got:
        if _is_meant(code, reply_code, enhanced):
            meant[reply_code].append(enhanced)
        else:
            left_out.add(reply_code)
    # A code alone, where that says it: PostgreSQL takes the two for independent of each other, and
    # expects a hundredth of what there is.
    alone = sorted(meant.keys() - left_out)
    condition = Q(reply_code__in=alone) if alone else Q()
    for reply_code in sorted(meant.keys() & left_out):
        condition |= Q(reply_code=reply_code, reply_enhanced__in=meant[reply_code])
    # Its index has refusals alone, and SQLite has to be told so.
    return condition & Q(reply_code__gte=REFUSALS_FROM) if condition else _NONE


def _is_meant(code: str, reply_code: int, enhanced: str) -> bool:
    """Understand 5 and 5.1 as beginnings of the enhanced code, 5 and 550 as the code itself."""
    if _is_whole(code):
        return reply_code == int(code)
    is_of_class = code.isdigit() and reply_code // 100 == int(code)
    return is_of_class or f"{enhanced}.".startswith(f"{code}.")


def _pattern(code: str) -> Q:
    """Say the same as `_is_meant` where there are too many replies to name."""
    if _is_whole(code):
        return Q(reply_code=int(code))
    begins = Q(reply_enhanced=code) | Q(reply_enhanced__startswith=f"{code}.")
    if code.isdigit():
        lowest = int(code) * 100
        return begins | Q(reply_code__gte=lowest, reply_code__lt=lowest + 100)
    return begins


def _is_whole(code: str) -> bool:
    return len(code) == len("550") and code.isdigit()
