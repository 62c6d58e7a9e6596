"""Django's tests of what a message renders to: here each is what the outbox kept of it."""

import copy
import email
import email.policy
import importlib
import unittest
from typing import Any
from unittest import mock

import django
from django.core.mail import EmailMessage
from django.test import TestCase

from outbox.backend import EmailBackend
from outbox.models import Account, Source
from tests.djangosuite.exemptions import STORED, exempt

suite: Any = importlib.import_module("mail.tests")
CASES = (
    ("MailTests", "MailTimeZoneTests")
    if django.VERSION < (6, 1)
    else (
        "EmailMessageTests",
        "EmailMessageTestsWithMailers",
        "SendMailTests",
        "SendMailTestsWithMailers",
        "SendMassMailTests",
        "SendMassMailTestsWithMailers",
        "MailAdminsAndManagersTests",
        "MailAdminsAndManagersTestsWithMailers",
    )
)
RELOADED_AS = email.policy.compat32 if django.VERSION < (6, 1) else email.policy.default


class _Stored:
    """`EmailMessage.message()` returns the stored source, parsed again."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]  # a mixin
        Account.objects.create(name="stored", from_address="stored@example.com", host="localhost")
        case: Any = self
        case.enterContext(mock.patch.object(EmailMessage, "message", _Reload(EmailMessage.message)))


class _Reload:
    """Replaces a method: queues the message, then parses its stored source."""

    def __init__(self, render: Any) -> None:
        self._render = render
        self._storing = False

    def __get__(self, message: EmailMessage | None, kind: type[EmailMessage]) -> Any:
        if message is None or self._storing:
            return self._render.__get__(message, kind)

        def reloaded(policy: Any = RELOADED_AS) -> Any:
            return self._reloaded(message, policy)

        return reloaded

    def _reloaded(self, message: EmailMessage, policy: Any) -> Any:
        addressed = copy.copy(message)
        if not addressed.recipients():
            addressed.bcc = ["bcc@example.com"]
        self._storing = True
        try:
            EmailBackend().send_messages([addressed])
        finally:
            self._storing = False
        source = Source.objects.latest("pk").read().replace(b"\r\n", b"\n")
        if django.VERSION < (6, 1):
            source = source.rstrip()  # as its own test server does, for its tests end no line
        return email.message_from_bytes(source, policy=policy)


def _case(name: str) -> type[unittest.TestCase]:
    case = getattr(suite, name)
    members = {"__module__": __name__, **exempt(case, STORED)}
    return type(f"Stored{name}", (_Stored, case, TestCase), members)


globals().update({f"Stored{name}": _case(name) for name in CASES})
