"""The sign-in as a Django app."""

from django.apps import AppConfig


class SigninConfig(AppConfig):
    name = "signin"
    outbox_erases_addresses = True  # requests of password resets name one
    verbose_name = "Sign-in"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from signin import checks, receivers  # noqa: F401  # registers and connects them
