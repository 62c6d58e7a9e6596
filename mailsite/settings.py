"""Settings of the site, read from the environment or from a `.env` file beside manage.py.

Without DEBUG the site does not start if a secret or a server is missing: there is no default
password, key or database. `.env.example` explains every variable.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import django
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from mailsite.telemetry import start_sentry
from outbox.conf import from_environment

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
ENV_FILE = env.str("ENV_FILE", str(BASE_DIR / ".env"))  # empty: read none
if ENV_FILE and Path(ENV_FILE).is_file():
    env.read_env(ENV_FILE)

DEBUG = env.bool("DEBUG", False)


def required(name: str, *, in_debug: str) -> str:
    """Return the variable, which has a default in DEBUG only."""
    value: str = env.str(name, in_debug if DEBUG else "")
    if not value and not DEBUG:
        raise ImproperlyConfigured(f"Set {name}: without DEBUG the site does not start without it.")
    return value


# Secrets and the host.

SECRET_KEY = required("SECRET_KEY", in_debug=secrets.token_urlsafe(50))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", not DEBUG)
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)

# The app and its dependencies.

ROOT_URLCONF = "mailsite.urls"
WSGI_APPLICATION = "mailsite.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "django_prose_editor",
    "signin",  # before the outbox: its command outbox_rotate_secrets includes the outbox's
    "outbox",
]

MIDDLEWARE = [
    "mailsite.health.health_middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "outbox.web.audit.audit_middleware",
    "outbox.web.body_limit.body_limit_middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "signin.sessions.session_middleware",
    "signin.required.second_factor_middleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# The database, which is also the queue.

# With WAL, readers and one writer do not block each other. FULL writes each commit to the disk.
# The usual NORMAL survives a killed process, but may lose the last commits in a power failure,
# after the caller was promised that the message is stored.
SQLITE_SYNCHRONOUS = env.str("SQLITE_SYNCHRONOUS", "FULL")
SQLITE = {
    # A deferred transaction that becomes a writer may fail at once, regardless of the timeout. An
    # immediate one waits for the lock.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {SQLITE_SYNCHRONOUS};",
}


def database(url: str) -> dict[str, Any]:
    """Return Django's description of the database at this URL."""
    described: dict[str, Any] = dict(env.db_url_config(url))
    if described["ENGINE"] == "django.db.backends.sqlite3":
        described["OPTIONS"] = SQLITE | described.get("OPTIONS", {})
    else:
        described |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
        # A server that accepts connections and does not respond would block a worker for minutes.
        described["OPTIONS"] = {"connect_timeout": 10} | described.get("OPTIONS", {})
    return described


DATABASES = {
    "default": database(
        required("DATABASE_URL", in_debug=f"sqlite:///{BASE_DIR / '.run' / 'debug.sqlite3'}")
    )
}

# Redis, which contains wake-ups only.

REDIS_URL = required("REDIS_URL", in_debug="redis://127.0.0.1:6379/0")
CELERY_BROKER_URL = (
    f"redis+socket://{REDIS_URL.removeprefix('unix://')}"
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for Redis without a limit
# An unavailable Redis delays beat and the status page by at most half a second.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 0.5,
    "max_retries": 0,
    "connect_retries_timeout": 0.5,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "outbox"
CELERY_TASK_ACKS_LATE = False  # a task is only a wake-up; due work is in the database
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
SWEEP_INTERVAL = env.float("OUTBOX_SWEEP_INTERVAL", 5.0)
# Without "expires", which compares the clocks of beat's host and of the worker's.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep": {"task": "outbox.sweep", "schedule": SWEEP_INTERVAL},
    # A page starts it, too; this one helps if Redis was unavailable.
    "password resets": {"task": "signin.send_password_resets", "schedule": 60.0},
    "ended sign-in sessions": {"task": "signin.remove_old", "schedule": 3600.0},
}
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True  # for the health check
# In memory: no entry needs to know its last run, and the hourly one may run after each start.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"

# Email.

if django.VERSION >= (6, 1):  # which warns about the older setting
    MAILERS = {"default": {"BACKEND": "outbox.backend.EmailBackend"}}
else:
    EMAIL_BACKEND = "outbox.backend.EmailBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "outbox@localhost")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
OUTBOX = from_environment(os.environ) | {
    "SECRET_KEYS": [
        key
        for key in required("OUTBOX_SECRET_KEYS", in_debug="").replace(" ", "").split(",")
        if key
    ],
    "REDIS_URL": REDIS_URL,
}

# Files.

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / ".run" / "static")))
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", str(BASE_DIR / ".run" / "media")))  # not served: no URL
DATA_UPLOAD_MAX_MEMORY_SIZE = 12_000_000  # without files; the text of a larger form would be lost
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Users and languages.

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "outbox:list"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["signin.backends.PasswordBackend"]
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": "signin.validators.RecordedMinimumLength", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATION}.NumericPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = env.int("PASSWORD_RESET_TIMEOUT", 3600)
# Of a sign-in session, in seconds: its longest duration, and the longest time without activity.
SESSION_COOKIE_AGE = env.int("SESSION_MAX_AGE", 7 * 86_400)
SESSION_IDLE_LIMIT = env.int("SESSION_IDLE_LIMIT", 12 * 3600)
SECOND_FACTOR = env.str("SECOND_FACTOR", "")  # required of "staff" or "all"; empty: an option

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
FORMAT_MODULE_PATH = ["mailsite.formats"]  # for pages of Django, such as the history in the admin
USE_TZ = True
TIME_ZONE = "UTC"

# Browser security.

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "frame-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [SELF],
    }
}
X_FRAME_OPTIONS = "SAMEORIGIN"  # the page of a message shows its preview in a frame
SILENCED_SYSTEM_CHECKS = [
    "security.W019",  # wants DENY; see the line above
    # Want HSTS on every other host of the domain, which this site cannot decide.
    "security.W005",
    "security.W021",
]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000) if HTTPS else 0
# Only for a proxy that always sets this header itself, regardless of the client's.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None

# Logs go to standard error; the supervisor of the process stores them.

LOG_FORMAT = env.str("LOG_FORMAT", "line")
if LOG_FORMAT not in {"line", "json"}:
    raise ImproperlyConfigured("LOG_FORMAT is neither line nor json.")
LOG_ATTEMPTS = env.bool("LOG_ATTEMPTS", LOG_FORMAT == "json")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "outbox.log_lines.LineFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "outbox.log_lines.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        # Django's default configuration writes to the console in DEBUG only.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "outbox.attempts": {"level": "INFO" if LOG_ATTEMPTS else "WARNING"},
    },
}

# Error reports, if the variable names a receiver; wsgi.py and celery.py start OpenTelemetry.

if SENTRY_DSN := env.str("SENTRY_DSN", ""):
    start_sentry(SENTRY_DSN, environment=env.str("SENTRY_ENVIRONMENT", "production"))
