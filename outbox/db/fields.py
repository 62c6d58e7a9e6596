"""Model fields that are not Django's."""

from typing import TYPE_CHECKING, Any

from django.db import models

from outbox.db import clock

if TYPE_CHECKING:
    DateTimeField = models.DateTimeField[Any, Any]
else:
    DateTimeField = models.DateTimeField


class DatabaseTimeField(DateTimeField):
    """A DateTimeField whose automatic values are of the database's clock, not of this host's.

    In migrations it is a DateTimeField, because the column is the same.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001  # Django's signature
        """Return the value to store, which is set on the instance, too."""
        if not (self.auto_now or (self.auto_now_add and add)):
            return super().pre_save(model_instance, add)
        moment = clock.now()
        setattr(model_instance, self.attname, moment)
        return moment

    def deconstruct(self) -> Any:
        """Return the description of a DateTimeField."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs
