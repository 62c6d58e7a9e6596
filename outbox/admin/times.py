"""Times in lists and on pages, in the format of the pages about messages.

Django shows them in the format of the language: in English in 12 hours, and without seconds.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.db.models import DateTimeField, Field, Model
from django.utils.safestring import SafeString

from outbox.admin.formatting import EMPTY
from outbox.templatetags.outbox_display import clock

if TYPE_CHECKING:
    from django.contrib.admin.options import BaseModelAdmin

    Base = BaseModelAdmin[Any]
else:
    Base = object


class ShowsTimes(Base):
    """Replaces each time of the list, and each read-only one of the page, by a method."""

    is_read_only = False  # whether the page has no form

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        page: Any = self  # its attributes are those of a class, for all instances
        fields = (one for one in self.model._meta.get_fields() if isinstance(one, DateTimeField))
        self._times = {one.name: one for one in fields}
        self.shown_times: dict[str, str] = {}  # method → field
        if hasattr(page, "list_display"):
            page.list_display = tuple(self._shown(page.list_display, "seconds"))
        wanted = self._times if self.is_read_only else {*page.readonly_fields}
        if page.fields is not None:
            page.fields = tuple(self._shown(page.fields, "full", wanted))
        if page.fieldsets is not None:
            page.fieldsets = tuple(
                (title, {**group, "fields": tuple(self._shown(group["fields"], "full", wanted))})
                for title, group in page.fieldsets
            )
        shown = (name for name in self.shown_times if name.endswith("_full"))
        page.readonly_fields = (*page.readonly_fields, *shown)

    def _shown(
        self, names: Iterable[Any], form: str, wanted: Iterable[str] | None = None
    ) -> Iterator[Any]:
        """Yield the names, with that of a method for each field that is to be replaced."""
        for name in names:
            if not isinstance(name, str):  # several fields in one line
                yield tuple(self._shown(name, form, wanted))
            elif name not in self._times or (wanted is not None and name not in wanted):
                yield name
            else:
                method = f"{name}_{form}"
                setattr(self, method, _method(self._times[name], form))
                self.shown_times[method] = name
                yield method


def _method(field: "Field[Any, Any]", form: str) -> Any:
    @admin.display(description=cast("Any", field.verbose_name), ordering=field.name)
    def shown(row: Model) -> SafeString | str:
        return clock(getattr(row, field.attname), form) or EMPTY

    return shown
