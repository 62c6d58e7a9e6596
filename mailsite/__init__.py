"""The site: settings, Celery, urls and wsgi around the outbox. Wiring only."""

from mailsite.celery import app as celery_app

__all__ = ["celery_app"]
