"""The least a site needs to deliver with the outbox, as in `post_office_settings`."""

from bench.contenders.post_office_settings import *  # noqa: F403  # the same otherwise

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "outbox"]
EMAIL_BACKEND = "outbox.backend.EmailBackend"
