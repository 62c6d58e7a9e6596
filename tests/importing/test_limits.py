"""Rows beyond the limits: they stay where they are, and do not stop the others."""

import time

import pytest
from django.core.management import CommandError
from post_office.models import STATUS, Email

from outbox.models import Message
from tests.importing.conftest import Import
from tests.importing.test_post_office import queue

MANY = [f"a{number}@example.org" for number in range(200_000)]
BOUND = 20.0  # seconds of CPU


@pytest.mark.parametrize("status", [STATUS.queued, STATUS.sent])
def test_a_row_with_many_recipients_is_not_imported(outbox_import: Import, status: int) -> None:
    hostile = queue()
    Email.objects.filter(pk=hostile.pk).update(to=MANY, status=status)
    queue()
    began = time.process_time()
    with pytest.raises(CommandError, match=r"1 not imported:\n.*The limit is 100,000."):
        outbox_import("post_office")
    assert time.process_time() - began < BOUND
    assert Message.objects.count() == 1
