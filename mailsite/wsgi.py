"""The WSGI entry point, for gunicorn or any other server."""

import os

from django.core.wsgi import get_wsgi_application

from mailsite.telemetry import start_opentelemetry_if_set

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

start_opentelemetry_if_set()  # before the middleware is loaded
application = get_wsgi_application()
