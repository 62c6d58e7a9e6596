"""The outbox as a Django app."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class OutboxConfig(AppConfig):
    name = "outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from outbox import checks  # noqa: F401  # registers them
        from outbox.models.sqlite import take_turns
        from outbox.web import checks as checks_of_pages  # noqa: F401

        connection_created.connect(take_turns, dispatch_uid="outbox.sqlite")
