"""A cron job that finds nothing due ends soon: it imports nothing that only deliveries need."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The project has no other app. Its OUTBOX is the first argument. The command is really executed,
# since a function may import a module as well.
RUN = """
import json
import sys

import django
import environ
from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "outbox"],
    DATABASES={"default": environ.Env().db_url("DATABASE_URL")},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    LANGUAGE_CODE="en",
    OUTBOX=json.loads(sys.argv[1])
    | {"SECRET_KEYS": ["hLrBrKJd0s0sFhN6yYXvJm5kFhIL2LxnZ0lAbqjv4j4="]},
)
execute_from_command_line(["", "outbox_deliver", "--until-empty"])
print(*sorted(sys.modules))
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


@pytest.mark.parametrize(
    ("interval", "unneeded"), [(0, UNNEEDED), (60, UNNEEDED_BY_ALARMS)], ids=["sweep", "alarms"]
)
def test_an_empty_queue_needs_few_imports(
    interval: int, unneeded: set[str], site_environment: dict[str, str]
) -> None:
    given = f'{{"ALARM_INTERVAL": {interval}, "DOMAIN_CHECK_INTERVAL": 0}}'

    ended = subprocess.run(
        [sys.executable, "-c", RUN, given],
        env=site_environment,
        cwd=ROOT,
        check=True,
        timeout=110,
        capture_output=True,
        text=True,
    )

    outcome, imported = ended.stdout.splitlines()
    assert outcome == "Nothing was due."
    assert ("outbox.api.alarms.check" in imported.split()) == bool(interval)
    assert unneeded & set(imported.split()) == set()
