"""What startproject writes, with the database and the broker from the environment.

Two lines are the outbox's: the app, and the backend. The third is in urls.py.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "only for tests " * 4
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ADMINS = [("Operations", "operations@example.com")]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "shop",
    "outbox",
]
if USER := os.environ.get("SHOP_USER"):  # the project's own user model: people_uuid, people_email
    INSTALLED_APPS.append(USER)
    AUTH_USER_MODEL = f"{USER}.Person"
    OUTBOX = {"ALLOW_PRIVATE_HOSTS": True, "UNDO_PERIOD": 0}  # servers of tests are on loopback
if os.environ.get("SHOP_UNFOLD"):  # another look of the admin, which comes before Django's
    INSTALLED_APPS.insert(0, "unfold")
EMAIL_BACKEND = "outbox.backend.EmailBackend"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "shop.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", BASE_DIR / "db.sqlite3"),
        "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
    }
}

USE_TZ = os.environ.get("SHOP_USE_TZ") != "no"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_BROKER_URL = os.environ.get("SHOP_BROKER", "redis://127.0.0.1:1/0")
