"""The outbox as a Django app."""

from django.apps import AppConfig, apps
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _


class OutboxConfig(AppConfig):
    name = "outbox"
    verbose_name = _("Outbox")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from outbox import (
            checks,  # noqa: F401  # registers them
            wakeup,
        )
        from outbox.db.clock import observe
        from outbox.db.sqlite import use_immediate_transactions
        from outbox.models import senders
        from outbox.web import checks as checks_of_pages  # noqa: F401
        from outbox.web import recent_sign_in  # noqa: F401  # receives Django's signal

        wakeup.remember_app()
        connection_created.connect(observe, dispatch_uid="outbox.clock")
        connection_created.connect(use_immediate_transactions, dispatch_uid="outbox.sqlite")
        senders.connect()
        if apps.is_installed("anymail"):
            from outbox.api.provider_notifications import connect_anymail

            connect_anymail()
