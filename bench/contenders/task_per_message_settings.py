"""The minimal settings of a site with one Celery task per message."""

import os

import environ

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASES = {"default": environ.Env().db_url("DATABASE_URL")}
INSTALLED_APPS: list[str] = []
USE_TZ = True
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("BENCH_SMTP_PORT", "1"))
LOGGING_CONFIG = None
