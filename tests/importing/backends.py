"""The email backends of the imported apps in these tests."""

import smtplib
from typing import Any

import django
from django.conf import LazySettings
from django.core.mail.backends.base import BaseEmailBackend

TAKES_ALL = "django.core.mail.backends.dummy.EmailBackend"
REFUSES_ALL = f"{__name__}.Refusing"


class Refusing(BaseEmailBackend):
    """A server that rejects every message."""

    def send_messages(self, email_messages: Any) -> int:
        raise smtplib.SMTPDataError(554, b"5.7.1 Not wanted here")


def post_office_sends_by(backend: str, settings: LazySettings, **options: Any) -> None:
    """Set what django-post_office sends with, where this Django has it."""
    settings.POST_OFFICE = {"BACKENDS": {"default": backend}, **options}
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend}}
