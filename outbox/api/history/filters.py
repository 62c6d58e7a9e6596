"""The filters of the sent history by name: the conditions that the value of each stands for."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping

from django.db.models import Q
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from outbox.api.history.conditions import NOTHING, Conditions
from outbox.api.history.reply_codes import has_refusal
from outbox.models import State, Status
from outbox.models.recipient import is_being_sent
from outbox.models.site_search import domain_term, fact_term
from outbox.models.states import ENDS
from outbox.models.terms import Whole
from outbox.net.providers import PROVIDERS

FAILURES = "failures"  # a value of the filter by state
_NOWHERE = Conditions(messages=NOTHING)
_CODE = re.compile(r"[3-5](?:\d{2}|(?:\.\d{1,3}){1,2}\.?)?")
_REPLY_KEY = re.compile(r"-?[0-9]{1,19}")
_WAITING = (Status.QUEUED, Status.DEFERRED)  # a recipient of these may be on its way


class FilterError(ValueError):
    """The value of a filter means nothing. The text is for the page."""


def with_state(value: str) -> Conditions:
    """Return the conditions for a status as shown, or for a state that only recipients have."""
    if value == FAILURES:
        return Conditions(messages=Q(has_failure=True))
    if value in ENDS:
        return Conditions(recipients=(Q(ended_as=State(value)),))
    if value == Status.SENDING:
        return Conditions(messages=Q(is_being_sent(), status__in=_WAITING))
    if value not in Status.values or value == Status.DRAFT:
        return _NOWHERE
    stored = Q(status=value)
    return Conditions(messages=stored & ~Q(is_being_sent()) if value in _WAITING else stored)


def with_code(value: str) -> Conditions:
    """Return the conditions for a reply code or an enhanced code of a rejection."""
    if not _CODE.fullmatch(value):
        raise FilterError(_("Enter a code of a rejection, such as 550, 4 or 5.1.1."))
    return Conditions(recipients=(has_refusal(value.rstrip(".")),))


def with_reply(value: str) -> Conditions:
    """Return the conditions for a reply group."""
    return Conditions(recipients=(Q(reply_key=reply_key(value)),))


def reply_key(value: str) -> int:
    """Return the key of a reply group; 0, which no group has, for anything else."""
    return int(value) if _REPLY_KEY.fullmatch(value) and abs(int(value)) < 2**63 else 0


def with_accounts(keys: Iterable[str]) -> Conditions:
    """Return the conditions for accounts, by their ids."""
    group = tuple(Whole([fact_term("account", key)]) for key in keys)
    return Conditions(terms=(group,)) if group else _NOWHERE


def with_domain(value: str) -> Conditions:
    """Return the conditions for the domain of a recipient."""
    return Conditions(terms=((Whole([domain_term(value.rpartition("@")[2])]),),))


def with_provider(value: str) -> Conditions:
    """Return the conditions for the domains of a mail provider."""
    domains = {domain for one in PROVIDERS if one.host == value for domain in one.domains}
    if not domains:
        return _NOWHERE
    return Conditions(terms=(tuple(Whole([domain_term(domain)]) for domain in sorted(domains)),))


def with_origin(value: str) -> Conditions:
    """Return the conditions for how a message came into the queue."""
    return Conditions(terms=((Whole([fact_term("origin", value)]),),))


def with_tag(value: str) -> Conditions:
    """Return the conditions for a tag."""
    return Conditions(terms=((Whole([fact_term("tag", value)]),),))


def within_days(since: str, until: str, zone: dt.tzinfo) -> Conditions:
    """Return the conditions for the days, in a time zone. An empty text sets no limit."""
    dates = Q()
    if since:
        dates &= Q(listed_at__gte=dt.datetime.combine(_day(since), dt.time.min, zone))
    if until:  # no overflow on the last day there is
        dates &= Q(listed_at__lte=dt.datetime.combine(_day(until), dt.time.max, zone))
    return Conditions(dates=dates)


def _day(value: str) -> dt.date:
    try:
        day = parse_date(value)
    except ValueError:  # such as the 31st of February
        day = None
    if day is None:
        raise FilterError(_("Enter a date as YYYY-MM-DD."))
    return day


BY_NAME: Mapping[str, Callable[[str], Conditions]] = {
    "state": with_state,
    "code": with_code,
    "reply": with_reply,
    "domain": with_domain,
    "provider": with_provider,
    "origin": with_origin,
    "tag": with_tag,
}


def zone_named(name: str) -> dt.tzinfo:
    """Return a time zone; UTC for one that this host does not know."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return dt.UTC
