"""A process imports only what it needs: a cron job that finds nothing due, and one that queues."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from outbox.models import Account

ROOT = Path(__file__).resolve().parents[3]
# The project has no other app. Its OUTBOX is the first argument, and the second one is executed,
# since a function may import a module as well.
RUN = """
import json
import sys

import django
import environ
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "outbox"],
    DATABASES={"default": environ.Env().db_url("DATABASE_URL")},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    LANGUAGE_CODE="en",
    EMAIL_BACKEND="outbox.backend.EmailBackend",
    OUTBOX=json.loads(sys.argv[1])
    | {"SECRET_KEYS": ["hLrBrKJd0s0sFhN6yYXvJm5kFhIL2LxnZ0lAbqjv4j4="]},
)
django.setup()
exec(sys.argv[2])
print(*sorted(sys.modules))
"""
DELIVER = """
from django.core.management import execute_from_command_line
execute_from_command_line(["", "outbox_deliver", "--until-empty"])
"""
SEND = """
from django.core.mail import send_mail
print(send_mail("Hello", ".", "shop@example.com", ["ann@example.com"]))
"""
UNNEEDED = {
    "celery",
    "cryptography",
    "dkim",
    "dns",
    "idna",
    "nh3",
    "outbox.api.explanations",
    "outbox.api.queueing",
    "outbox.delivery.engine",
    "outbox.mail.dkim",
    "outbox.mail.reply_kinds",
    "outbox.mail.source",
    "outbox.net",
    "outbox.smtp",
    "prometheus_client",
    "redis",
}
# A check of the alarms, which a cron job makes every minute, formats URLs and reads limits.
UNNEEDED_BY_ALARMS = UNNEEDED - {"idna", "outbox.api.explanations", "outbox.net"} | {
    "outbox.net.mx",
    "outbox.net.sender_domain",
}
UNNEEDED_BY_QUEUEING = UNNEEDED - {
    "celery",
    "idna",
    "outbox.api.queueing",
    "outbox.mail.source",
    "outbox.net",
} | {
    "outbox.api.suppressions",
    "outbox.mail.mime_writer",
    "outbox.net.mx",
}


@pytest.mark.parametrize(
    ("interval", "unneeded"), [(0, UNNEEDED), (60, UNNEEDED_BY_ALARMS)], ids=["sweep", "alarms"]
)
def test_an_empty_queue_needs_few_imports(
    interval: int, unneeded: set[str], site_environment: dict[str, str]
) -> None:
    settings = {"ALARM_INTERVAL": interval, "DOMAIN_CHECK_INTERVAL": 0}

    outcome, imported = run(DELIVER, settings, site_environment)

    assert outcome == "Nothing was due."
    assert ("outbox.api.alarms.check" in imported) == bool(interval)
    assert unneeded & imported == set()


def test_queueing_needs_few_imports(site_environment: dict[str, str]) -> None:
    Account.objects.create(name="shop", from_address="shop@example.com", host="127.0.0.1")

    outcome, imported = run(SEND, {}, site_environment)

    assert outcome == "1"
    assert UNNEEDED_BY_QUEUEING & imported == set()


def run(
    program: str, settings: dict[str, int], environment: dict[str, str]
) -> tuple[str, set[str]]:
    """Return what a program prints in a project of its own, and which modules it imports."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(settings), program],
        env=environment,
        cwd=ROOT,
        check=True,
        timeout=110,
        capture_output=True,
        text=True,
    )
    outcome, imported = ended.stdout.splitlines()
    return outcome, set(imported.split())
