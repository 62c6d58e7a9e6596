"""Lists that are paged by key: no list counts its table, and each page costs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from outbox.admin.base import ChangeList
from outbox.api.sizes import CappedCount
from outbox.web.folders.pagination import Position, read_rows
from outbox.web.parameters import integer

BEFORE, AFTER, OLDEST = "before", "after", "oldest"
_PAGING = (BEFORE, AFTER, OLDEST)


class ListCursor(Position, Protocol):
    """A position in a list, which the address of a page has."""

    @classmethod
    def of(cls, row: Any, /) -> Self: ...

    @classmethod
    def parse(cls, text: str | None) -> Self | None: ...


@dataclass(frozen=True, slots=True)
class KeyCursor:
    """A position in a list by primary key."""

    pk: int

    @classmethod
    def of(cls, row: Model) -> KeyCursor:
        """Return the cursor at a row."""
        return cls(row.pk)

    @classmethod
    def parse(cls, text: str | None) -> KeyCursor | None:
        """Parse what `str` wrote. Return None for any other text."""
        pk = integer(text)
        return None if pk is None else cls(pk)

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def older(self) -> Q:
        """Return the condition for the rows below the cursor."""
        return Q(pk__lt=self.pk)

    @property
    def newer(self) -> Q:
        """Return the condition for the rows above the cursor."""
        return Q(pk__gt=self.pk)


class KeysetChangeList(ChangeList):
    """A list, newest first, with links to the pages around and to both ends."""

    cursor: ClassVar[type[ListCursor]] = KeyCursor
    newest_first: ClassVar[tuple[str, ...]] = ("-pk",)
    oldest_first: ClassVar[tuple[str, ...]] = ("pk",)

    result_count: int
    newest_url: str | None
    newer_url: str | None
    older_url: str | None
    oldest_url: str | None

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the rows of all pages. The position in the list is not a filter."""
        for name in _PAGING:
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, *args, **kwargs)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the only order of the list."""
        return list(self.newest_first)

    def get_ordering_field_columns(self) -> dict[int, Any]:
        """Return that no column is sorted by."""
        return {}

    def get_results(self, request: HttpRequest) -> None:
        """Read one page. The attributes are those that Django's templates expect."""
        rows, has_newer, has_older = self._read_page(request)
        has_more = has_newer or has_older
        self.result_list = rows
        self.result_count = CappedCount(len(rows)) if has_more else len(rows)
        self.full_result_count = self.result_count  # so that the search line repeats no count
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = False
        self.multi_page = has_more
        self.paginator = Paginator(rows, self.list_per_page)  # of this page, for templates only
        self.newest_url = self.get_query_string() if has_newer else None
        self.newer_url = self._url(AFTER, rows[0]) if has_newer and rows else None
        self.older_url = self._url(BEFORE, rows[-1]) if has_older and rows else None
        self.oldest_url = self.get_query_string({OLDEST: "1"}) if has_older else None
        self.prepare(rows)

    def find(self, place: Q, order: tuple[str, ...], count: int) -> Sequence[Any]:
        """Return the first rows of a condition, in an order, up to a count."""
        return list(self.queryset.filter(place).order_by(*order)[:count])

    def prepare(self, rows: list[Any]) -> None:
        """Read what the columns of a page need, for all of its rows at once."""

    def _url(self, name: str, row: Any) -> str:
        return self.get_query_string({name: str(self.cursor.of(row))})

    def _read_page(self, request: HttpRequest) -> tuple[list[Any], bool, bool]:
        """Return the rows, and whether there are newer and older ones."""
        is_oldest = OLDEST in request.GET
        return read_rows(
            self.find,
            self.list_per_page,
            before=self.cursor.parse(request.GET.get(BEFORE)),
            after=None if is_oldest else self.cursor.parse(request.GET.get(AFTER)),
            is_oldest=is_oldest,
            newest_first=self.newest_first,
            oldest_first=self.oldest_first,
        )
