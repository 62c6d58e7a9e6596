"""Django's tests of its SMTP backend, whose messages the outbox delivers to their own server."""

import importlib
from types import SimpleNamespace
from typing import Any
from unittest import mock

import django
from django.core.management import call_command
from django.test import TransactionTestCase

from outbox.backend import EmailBackend
from outbox.models import Account, Message
from tests.djangosuite.exemptions import WIRE, exempt

suite: Any = importlib.import_module(
    "mail.tests" if django.VERSION < (6, 1) else "mail.test_backends"
)


class _Wire:
    """The server's mailbox is looked into after a delivery."""

    email_backend = "outbox.backend.EmailBackend"  # what Django 5.2's tests send with …
    backend_class = EmailBackend  # … and Django 6.1's

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]  # a mixin
        case: Any = self
        Account.objects.create(
            name="wire",
            from_address="wire@example.com",
            host=case.smtp_controller.hostname,
            port=case.smtp_controller.port,
            security="none",
            max_connections=1,  # the tests expect mail in the order it was sent
        )
        ours = SimpleNamespace(EmailBackend=EmailBackend)
        case.enterContext(mock.patch.object(suite, "smtp", ours))

    def create_backend(self, *, alias: str | None = "test_alias", **options: Any) -> EmailBackend:
        if alias is not None:
            options["alias"] = alias
        return EmailBackend(**options)

    def test_create_from_mailers(self) -> None:
        """Django's own gives `host`, which its SMTP backend requires; other backends need none."""
        if django.VERSION >= (6, 1):
            suite.SharedEmailBackendTests.test_create_from_mailers(self)

    def get_mailbox_content(self) -> Any:
        call_command("outbox_deliver", "--until-empty")
        return super().get_mailbox_content()  # type: ignore[misc]  # a mixin

    def get_smtp_envelopes(self) -> Any:
        call_command("outbox_deliver", "--until-empty")
        return super().get_smtp_envelopes()  # type: ignore[misc]  # a mixin

    def flush_mailbox(self) -> None:
        Message.objects.all().delete()
        super().flush_mailbox()  # type: ignore[misc]  # a mixin


WireTests = type(
    "WireTests",
    (_Wire, suite.SMTPBackendTests, TransactionTestCase),
    {"__module__": __name__, **exempt(suite.SMTPBackendTests, WIRE)},
)
