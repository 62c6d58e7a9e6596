"""A cron job that finds nothing due ends soon: it imports nothing that only deliveries need."""

import os
import subprocess
import sys

RUN = """
import sys
import django
from django.conf import settings
from django.core import checks

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "outbox"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    OUTBOX={"SECRET_KEYS": ["hLrBrKJd0s0sFhN6yYXvJm5kFhIL2LxnZ0lAbqjv4j4="]},
)
django.setup()
checks.run_checks()
import outbox.management.commands.outbox_deliver
print(*sorted(sys.modules))
"""
UNNEEDED = {
    "celery",
    "cryptography",
    "redis",
    "outbox.api",
    "outbox.smtp",
    "outbox.net",
    "outbox.mail.reply_kinds",
    "nh3",
}


def test_an_empty_queue_needs_few_imports() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", RUN],
        env={key: os.environ[key] for key in os.environ if not key.startswith("OUTBOX_")},
        check=True,
        timeout=110,
        capture_output=True,
        text=True,
    )
    assert UNNEEDED & set(ended.stdout.split()) == set()
