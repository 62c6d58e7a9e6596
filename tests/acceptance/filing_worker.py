"""Append the due copies of the only mailbox in a process of its own, and die after an append.

python -m tests.acceptance.filing_worker
"""

import os
import signal
from datetime import datetime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

import django

django.setup()

from outbox.inbound.filing import file_mailbox, find_copies  # noqa: E402  # needs the settings
from outbox.inbound.imap_sent import ImapSentFolder  # noqa: E402  # likewise
from outbox.models import Mailbox  # noqa: E402  # likewise

_append = ImapSentFolder.append


def _dying(folder: ImapSentFolder, source: bytes, at: datetime) -> None:
    _append(folder, source, at)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    setattr(ImapSentFolder, "append", _dying)  # noqa: B010  # mypy forbids the assignment
    find_copies("default")
    file_mailbox(Mailbox.objects.get().pk, "default")
