"""The email backend of a test, in the words of each Django."""

import django
from django.conf import LazySettings

OUTBOX_BACKEND = "outbox.backend.EmailBackend"


def use_backend(settings: LazySettings, backend: str = OUTBOX_BACKEND) -> None:
    """Replace the backend that the test run has set."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend}}
    else:
        settings.EMAIL_BACKEND = backend
