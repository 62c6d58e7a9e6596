"""Another project: `django-admin startproject` and Celery, as their own guides say."""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
