"""The files of `make run`, and the environment of its processes.

All files are in `.run`, which git ignores: the database, media, mailboxes, logs, and the secrets of
the first run. Variables of the caller's environment take precedence.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

from dev.sockets import free_port, is_free

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".run"
LOGS = RUN / "logs"
MAIL = RUN / "mail"
LOGIN = RUN / "login.txt"
DATABASE = RUN / "db.sqlite3"
BIN = Path(sys.executable).parent


def environment(redis_url: str) -> dict[str, str]:
    """Return the environment of every process of the site."""
    port = os.environ.get("PORT", "8000")
    made = secrets_kept()
    defaults = made | {
        "PORT": port,
        "DATABASE_URL": f"sqlite:///{quote(str(DATABASE))}",
        "REDIS_URL": redis_url,
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "MEDIA_ROOT": str(RUN / "media"),
        "STATIC_ROOT": str(RUN / "static"),
        "DEBUG": "off",
        "HTTPS": "off",  # plain HTTP, on loopback only
        "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",  # the local mail server is one
    }
    fixed = {
        "ENV_FILE": "",  # `.env` is production's
        "DJANGO_SETTINGS_MODULE": "mailsite.settings",
        "WEB_HOST": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        # Celery warns about root, which does not matter here.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
    }
    return defaults | os.environ | fixed


def secrets_kept() -> dict[str, str]:
    """Return the secrets of this site, which the first run generates."""
    return kept(
        "secrets.json",
        lambda: {
            "SECRET_KEY": Fernet.generate_key().decode() * 2,
            "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
        },
    )


def mail_port() -> tuple[int, int]:
    """Return the mail server's port in the last run and in this one: the same if it is free."""
    ports = kept("ports.json", lambda: {"mail": str(free_port())})
    before = int(ports["mail"])
    now = before if is_free(before) else free_port()
    if now != before:
        keep("ports.json", {"mail": str(now)})
    return before, now


def kept(name: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return the values of a small file; create it if it does not exist."""
    path = RUN / name
    if not path.exists():
        keep(name, make())
    values: dict[str, str] = json.loads(path.read_text())
    return values


def keep(name: str, values: dict[str, str]) -> None:
    """Write such a file atomically, readable by its owner only."""
    path = RUN / name
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(values, indent=1))
    partial.replace(path)
