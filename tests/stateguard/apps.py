"""Install the trigger with the tables, in the databases of the test settings."""

from typing import Any

from django.apps import AppConfig, apps
from django.db import connections
from django.db.models.signals import post_migrate


class StateGuardConfig(AppConfig):
    """Installs the trigger after the outbox's migrations."""

    name = "tests.stateguard"
    label = "stateguard"

    def ready(self) -> None:
        """Connect to the outbox's migrations."""
        post_migrate.connect(_install, sender=apps.get_app_config("outbox"))


def _install(using: str, **_kwargs: Any) -> None:
    from tests.stateguard.trigger import install  # the models are loaded by now

    install(connections[using])
