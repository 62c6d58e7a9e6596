"""The Celery app, configured by the settings. Its tasks are those of the outbox."""

import os

from celery import Celery
from celery.signals import worker_process_init

from mailsite.telemetry import start_opentelemetry_if_set

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

app = Celery("mailsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Not before: a fork inherits no thread that exports.
worker_process_init.connect(start_opentelemetry_if_set, weak=False)
