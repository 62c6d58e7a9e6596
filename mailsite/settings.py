"""Settings of the site, all of them from the environment or from a `.env` file beside manage.py.

Without DEBUG it refuses to start when a secret or a server is not named: nothing here has a
password, a key or a database to fall back on. `.env.example` explains every variable.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import django
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from outbox.conf import from_environment

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
ENV_FILE = env.str("ENV_FILE", str(BASE_DIR / ".env"))  # empty: read none
if ENV_FILE and Path(ENV_FILE).is_file():
    env.read_env(ENV_FILE)

DEBUG = env.bool("DEBUG", False)


def required(name: str, *, in_debug: str) -> str:
    """Return the variable; only DEBUG has something to fall back on."""
    value: str = env.str(name, in_debug if DEBUG else "")
    if not value and not DEBUG:
        raise ImproperlyConfigured(f"Set {name}: without DEBUG the site does not start without it.")
    return value


# Secrets and the host's own facts.

SECRET_KEY = required("SECRET_KEY", in_debug=secrets.token_urlsafe(50))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", not DEBUG)
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)

# The app and what it stands on.

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
    "django.contrib.messages.middleware.MessageMiddleware",
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

# WAL lets readers and one writer work side by side. FULL makes each commit reach the disk: with
# WAL, the usual NORMAL survives a killed process but may lose the last commits when the power
# fails, and "once Send answered, nothing is lost" knows no such exception.
SQLITE_SYNCHRONOUS = env.str("SQLITE_SYNCHRONOUS", "FULL")
SQLITE = {
    # A deferred transaction that turns into a writer fails at once when it is late, whatever the
    # timeout; an immediate one waits for its turn.
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
        # A server that accepts and says nothing would hold a worker for two minutes.
        described["OPTIONS"] = {"connect_timeout": 10} | described.get("OPTIONS", {})
    return described


DATABASES = {
    "default": database(
        required("DATABASE_URL", in_debug=f"sqlite:///{BASE_DIR / '.run' / 'debug.sqlite3'}")
    )
}

# Redis, which only wakes the workers.

REDIS_URL = required("REDIS_URL", in_debug="redis://127.0.0.1:6379/0")
CELERY_BROKER_URL = (
    f"redis+socket://{REDIS_URL.removeprefix('unix://')}"
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for Redis as long as it takes
# Ringing the bell happens while a person waits for Send: a dead or silent Redis costs half a second
# at most, once, and the sweep finds the mail.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 0.5,
    "max_retries": 0,
    "connect_retries_timeout": 0.5,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "outbox"
CELERY_TASK_ACKS_LATE = False  # a task is only a wake-up; what is due stands in the database
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
SWEEP_EVERY = env.float("OUTBOX_SWEEP_EVERY", 5.0)
# A sweep that no worker took soon is stale: the next one does the same.
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "outbox.sweep",
        "schedule": SWEEP_EVERY,
        "options": {"expires": 3 * SWEEP_EVERY},
    }
}
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True  # so that a health check can ask it
# Kept in memory: the only entry is due every few seconds, so there is nothing to remember.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"

# Mail.

if django.VERSION >= (6, 1):  # which warns of the older setting
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
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", str(BASE_DIR / ".run" / "media")))  # has no URL on purpose
DATA_UPLOAD_MAX_MEMORY_SIZE = 12_000_000  # what was typed; a longer form would lose its words
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

# People: who they are and what they read.

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "outbox:list"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# What a browser may do.

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
X_FRAME_OPTIONS = "SAMEORIGIN"  # a mail is previewed in a frame of the page about it
SILENCED_SYSTEM_CHECKS = [
    "security.W019",  # asks for DENY; see the line above
    # Ask for HSTS on every other host of the domain too, which is not this site's to decide.
    "security.W005",
    "security.W021",
]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000) if HTTPS else 0
# Only a proxy that sets this header itself, whatever the client sent, may be believed.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None

# Logs go to standard error; whoever runs the process keeps them.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        # Django's own set-up writes to the console with DEBUG only.
        "django": {"handlers": [], "level": "INFO", "propagate": True}
    },
}
