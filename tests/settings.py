"""The site's settings as the suite needs them: nothing from `.env`, nothing of `make run`.

The database is a SQLite file, or what TEST_DATABASE_URL names. Redis is named but not started: a
test that wants it asks for the `redis_server` fixture, every other test finds it down. What is set
in the environment here is inherited by the workers and commands that tests start.
"""

import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

from dev.sockets import PATH_MAX

# One folder a process, since several runs may share this tree.
SCRATCH = Path(__file__).resolve().parent.parent / ".cache" / f"test-{os.getpid()}"
if len(bytes(SCRATCH / "redis" / "redis.sock")) > PATH_MAX:
    SCRATCH = Path(tempfile.gettempdir()) / f"outbox-test-{os.getuid()}-{os.getpid()}"
REDIS_DIRECTORY = SCRATCH / "redis"

os.environ |= {
    "ENV_FILE": "",
    "DEBUG": "off",
    "HTTPS": "off",
    "SECRET_KEY": "only for tests " * 4,
    "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
    "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",  # every server of a test is on loopback
    "OUTBOX_ALARM_INTERVAL": "0",  # no sweep checks the alarms; their tests change that
    "OUTBOX_DOMAIN_CHECK_INTERVAL": "0",  # no sweep asks the DNS; their tests change that
    "OUTBOX_UNDO_PERIOD": "0",  # what is sent may leave at once; tests of undo say otherwise
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL")
    or f"sqlite:///{quote(str(SCRATCH))}/unused.sqlite3",
    "SQLITE_SYNCHRONOUS": "OFF",  # tests kill processes, not the power
    "REDIS_URL": f"unix://{quote(str(REDIS_DIRECTORY))}/redis.sock",
    "MEDIA_ROOT": f"{SCRATCH}/media",
    "STATIC_ROOT": f"{SCRATCH}/static",
}

from mailsite.settings import *  # noqa: E402, F403  # reads the environment above
from mailsite.settings import DATABASES, INSTALLED_APPS, STORAGES  # noqa: E402  # likewise

INSTALLED_APPS.append("tests.exampleapp")  # another app, which does not know the outbox
INSTALLED_APPS.append("tests.stateguard")  # refuses unlawful changes of state, raw SQL included
INSTALLED_APPS.append("tests.emptying")  # empties the tables after a test that commits
INSTALLED_APPS += ["post_office", "mailer"]  # the apps that outbox_import reads

if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # A file, not memory: workers share it.
    DATABASES["default"]["TEST"] = {"NAME": str(SCRATCH / "test.sqlite3")}
elif name := os.environ.get("TEST_DATABASE_NAME"):
    DATABASES["default"]["TEST"] = {"NAME": name}

# Pages are served from the sources, without collectstatic.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a strong one takes its time
