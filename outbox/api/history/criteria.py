"""The filters and the search of a list as one value, which a bulk operation stores as JSON.

    {"state": "failed", "domain": "example.com", "q": "invoice"}

It means the same whenever it is read: accounts are named by id, and days have their time zone.
`owner`, `folder` and `staff` limit it to what one user sees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, QuerySet

from outbox.api.history import filters
from outbox.api.history.conditions import NOTHING, Conditions, queued_messages, visible_to
from outbox.api.history.search import alternatives_of
from outbox.db.bulk import Among
from outbox.models import Folder, Message
from outbox.models.access import can_change_others

Criteria = Mapping[str, Any]
SEARCH, OWNER, FOLDER = "q", "owner", "folder"
STAFF = "staff"  # the user who acts on messages of others, as far as the permissions allow
SELECTED = "selected"  # the messages were selected one by one, so that they need not match


def conditions_of(criteria: Criteria) -> Conditions:
    """Return the conditions of all filters, without the search. Raise FilterError."""
    found = Conditions()
    for name, with_value in filters.BY_NAME.items():
        if name in criteria:
            found &= with_value(criteria[name])
    if "accounts" in criteria:
        found &= filters.with_accounts(criteria["accounts"])
    if "zone" in criteria:
        zone = filters.zone_named(criteria["zone"])
        found &= filters.within_days(criteria.get("since", ""), criteria.get("until", ""), zone)
    if OWNER in criteria:
        found &= Conditions(messages=Q(owner=criteria[OWNER]))
    if FOLDER in criteria:
        is_failed = criteria[FOLDER] == Folder.FAILED  # open messages are among them
        found &= Conditions(
            messages=Q(has_failure=True) if is_failed else Q(folder=criteria[FOLDER])
        )
    if STAFF in criteria:
        user = get_user_model()._default_manager.filter(pk=criteria[STAFF], is_active=True).first()
        is_allowed = user is not None and can_change_others(user)
        found &= visible_to(user) if user and is_allowed else Conditions(messages=NOTHING)
    return found


def scope_of(user: AbstractBaseUser | AnonymousUser) -> Criteria:
    """Return the criteria that limit an operation to what a user of the staff may change.

    They are evaluated again when the operation is performed.
    """
    return {STAFF: str(user.pk)}


def matching(criteria: Criteria) -> list[QuerySet[Message]]:
    """Return the messages that match, as one query set for each alternative of the search."""
    return [search.limit(queued_messages()) for search in _searches(criteria)]


def still_matching(criteria: Criteria, ids: Collection[int]) -> set[int]:
    """Return those of a few messages that match. The cost does not depend on other messages."""
    found: set[int] = set()
    for search in _searches(criteria):
        rows = queued_messages().filter(search.messages, search.dates, Among("pk", ids))
        found.update(search.check_rows(rows).values_list("pk", flat=True))
    return found


def _searches(criteria: Criteria) -> list[Conditions]:
    try:
        conditions = conditions_of(criteria)
    except filters.FilterError:
        return [Conditions(messages=NOTHING)]
    return [conditions & one for one in alternatives_of(criteria.get(SEARCH, ""))]
