"""The least that Django and the outbox need; everything else stays at the defaults Django tests."""

import os
from pathlib import Path

import environ
from cryptography.fernet import Fernet

SECRET_KEY = "only for tests " * 4
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "outbox"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
OUTBOX = {"SECRET_KEYS": [Fernet.generate_key().decode()], "ALLOW_PRIVATE_HOSTS": True}
SILENCED_SYSTEM_CHECKS = ["outbox.W007"]  # a command delivers here, no worker that Celery wakes

if url := os.environ.get("TEST_DATABASE_URL"):
    DATABASES = {"default": environ.Env.db_url_config(url)}
    DATABASES["default"]["TEST"] = {"NAME": f"django_suite_{os.getpid()}"}
else:
    # A file, since a delivery reads and writes in threads of its own.
    name = str(Path(os.environ["DJANGO_SUITE_SCRATCH"]) / "suite.sqlite3")
    options = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;",
    }
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            "OPTIONS": options,
            "TEST": {"NAME": name},
        }
    }
