"""The filters of the sent history. Each is a condition that an index serves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.api.history import filters
from outbox.api.history.conditions import NOTHING, Conditions
from outbox.api.history.criteria import conditions_of
from outbox.models import Account, Message, Origin, ReplyGroup, Status
from outbox.models.access import of_visible_accounts
from outbox.models.states import ENDS
from outbox.net.providers import PROVIDERS
from outbox.texts import storable
from outbox.web.display import inert

ACCOUNTS_SHOWN = 15  # if there are more, the name of one is typed
_REPLY_SHOWN = 80  # characters


class HistoryFilter(admin.SimpleListFilter):
    """A filter by one value."""

    @property
    def criteria(self) -> dict[str, Any]:
        """Return the chosen value as a bulk operation stores it; nothing if there is none."""
        value = storable(self.value() or "").strip()
        return {self.parameter_name or "": value} if value else {}

    @cached_property
    def conditions(self) -> Conditions:
        """Return the conditions for the chosen value."""
        try:
            return conditions_of(self.criteria)
        except filters.FilterError as error:
            messages.error(self.request, str(error))
            return Conditions(messages=NOTHING)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Limit the messages of all pages."""
        return self.conditions.limit(queryset)


class TypedFilter(HistoryFilter):
    """A filter whose value is typed."""

    template = "outbox/admin/typed_filter.html"
    example = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return one entry, without which Django does not show the filter."""
        return [("", "")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield what the template shows: the field, and what the form has to keep."""
        mine = [name for name in self.expected_parameters() if name is not None]
        kept = [(name, value) for name, value in changelist.params.items() if name not in mine]
        yield {
            "fields": self._fields(),
            "kept": kept,
            "is_active": any(name in self.used_parameters for name in mine),
            "without": changelist.get_query_string(remove=mine),
        }

    def _fields(self) -> list[dict[str, Any]]:
        return [
            {
                "name": self.parameter_name,
                "value": self.value() or "",
                "label": self.title,
                "type": "text",
                "example": self.example,
                "is_labelled": False,
            }
        ]


class StateFilter(HistoryFilter):
    """Messages by the status that is shown, or by a state that only recipients have."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the statuses of queued messages, and what is shown in addition to them."""
        statuses = [one for one in Status if one != Status.DRAFT]
        labels: list[tuple[str, Any]] = [(one.value, one.label) for one in (*statuses, *ENDS)]
        return [*labels, (filters.FAILURES, _("with a failed recipient"))]


class CodeFilter(TypedFilter):
    """Messages that a server rejected for a recipient, by reply code or enhanced code."""

    title = _("reply code")
    parameter_name = "code"
    example = "550, 5.1"


class ReplyFilter(HistoryFilter):
    """Messages with a recipient whose last reply is in one reply group, see the dashboard."""

    title = _("server reply")
    parameter_name = "reply"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the chosen group. There may be thousands, which the dashboard lists and links."""
        value = self.used_parameters.get(self.parameter_name, "")
        if not value:
            return []
        found = ReplyGroup.objects.filter(pk=filters.reply_key(value)).first()
        return [(value, Truncator(inert(str(found or value))).chars(_REPLY_SHOWN))]


class AccountFilter(TypedFilter):
    """Messages by account: a list if there are few, else a field for the name."""

    title = _("account")
    parameter_name = "account"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        if not self._is_typed:
            self.template = "admin/filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the accounts by name, if there are few."""
        seen = Account.objects.filter(of_visible_accounts(request.user, "")).order_by("name", "pk")
        accounts = list(seen.values_list("pk", "name")[: ACCOUNTS_SHOWN + 1])
        self._is_typed = len(accounts) > ACCOUNTS_SHOWN
        if self._is_typed:
            return [("", "")]
        return [(str(pk), name) for pk, name in accounts]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the accounts, or the field."""
        if self._is_typed:
            return super().choices(changelist)
        return admin.SimpleListFilter.choices(self, changelist)

    @property
    def criteria(self) -> dict[str, Any]:
        """Return the ids of the accounts. A name is looked up now: it may change.

        They are those that the user sees: a bulk operation shows the names.
        """
        value = storable(self.value() or "").strip()
        if not value:
            return {}
        if not self._is_typed:
            return {"accounts": [key for key, _name in self.lookup_choices if key == value]}
        seen = Account.objects.filter(of_visible_accounts(self.request.user, ""))
        named = seen.filter(name__iexact=value).order_by("pk")
        return {"accounts": [str(pk) for pk in named.values_list("pk", flat=True)[:100]]}


class DomainFilter(TypedFilter):
    """Messages by the domain of a recipient."""

    title = _("domain of a recipient")
    parameter_name = "domain"
    example = "example.com"


class ProviderFilter(HistoryFilter):
    """Messages by the mail provider of a recipient, from the table of known domains."""

    title = _("provider")
    parameter_name = "provider"
    template = "outbox/admin/closed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the providers with domains of their own."""
        return [(one.host, _(one.name)) for one in PROVIDERS if one.domains]


class OriginFilter(HistoryFilter):
    """Messages by how they came into the queue."""

    title = _("origin")
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the origins."""
        return list(Origin.choices)


class TagFilter(TypedFilter):
    """Messages by a tag that the app gave them."""

    title = _("tag")
    parameter_name = "tag"


class DateFilter(TypedFilter):
    """Messages by the days on which they were queued."""

    title = _("date")
    parameter_name = "since"
    until = "until"
    labels: tuple[tuple[str, str | Promise], ...] = (
        ("since", pgettext_lazy("a day", "From")),
        ("until", pgettext_lazy("a day", "To")),
    )

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        if self.until in params:
            self.used_parameters[self.until] = params.pop(self.until)[-1]

    def expected_parameters(self) -> list[str | None]:
        """Return both parameters."""
        return [name for name, _label in self.labels]

    @property
    def criteria(self) -> dict[str, Any]:
        """Return the days, and the time zone of the page."""
        chosen = {
            name: value for name, _label in self.labels if (value := self.used_parameters.get(name))
        }
        return chosen | {"zone": timezone.get_current_timezone_name()} if chosen else {}

    def _fields(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "value": self.used_parameters.get(name, ""),
                "label": label,
                "type": "date",
                "example": "",
                "is_labelled": True,
            }
            for name, label in self.labels
        ]
