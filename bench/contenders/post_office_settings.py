"""The least a site needs to send through django-post_office."""

import os

import environ

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASE = environ.Env().db_url("DATABASE_URL")
if "sqlite" in DATABASE["ENGINE"]:  # as durable as the outbox's own file
    DATABASE["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
DATABASES = {"default": DATABASE}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "post_office"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
EMAIL_BACKEND = "post_office.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("BENCH_SMTP_PORT", "1"))
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "BATCH_SIZE": 5_000,
    "BATCH_DELIVERY_TIMEOUT": 600,
    "THREADS_PER_PROCESS": int(os.environ.get("BENCH_THREADS", "5")),
    "SENDING_ORDER": ["id"],
    "LOG_LEVEL": 1,
}
LOGGING_CONFIG = None
