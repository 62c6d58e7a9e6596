"""A column that holds a reason: its code, and its arguments as JSON where it has any."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.reasons import NO_REASON, Reason

if TYPE_CHECKING:
    _TextField = models.TextField[Reason, Reason]
else:  # not generic where it runs
    _TextField = models.TextField


class ReasonField(_TextField):
    """Text in the database, a `Reason` in Python; filter by code with `has_code`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be empty unless a reason is given."""
        super().__init__(*args, **{"blank": True, "default": NO_REASON, **kwargs})

    def deconstruct(self) -> Any:
        """Leave out what every column of this kind has."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("blank", None)
        kwargs.pop("default", None)
        return name, path, args, kwargs

    def from_db_value(
        self, value: str | None, expression: object, connection: BaseDatabaseWrapper
    ) -> Reason | None:
        """Read the stored form."""
        return None if value is None else Reason.load(value)

    def to_python(self, value: Any) -> Any:
        """Accept the stored form, as fixtures have it."""
        return Reason.load(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        """Write the stored form; a text is part of a lookup."""
        return value.dump() if isinstance(value, Reason) else value

    def value_to_string(self, obj: models.Model) -> str:
        """Return the stored form for a fixture."""
        value: Reason = self.value_from_object(obj)
        return value.dump()


def has_code(column: str, code: str) -> models.Q:
    """Return the condition that the reason in this column has this code."""
    return models.Q(**{column: code}) | models.Q(**{f"{column}__startswith": f"{code} "})
