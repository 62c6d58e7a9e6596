"""The scripts that pages load out of other packages."""

from functools import lru_cache
from importlib.metadata import version

from django import template
from django.apps import apps
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_htmx.jinja import htmx_script

register = template.Library()


@register.simple_tag
def htmx() -> SafeString:
    """Load htmx: a static file where django_htmx is among the apps, else a page of ours."""
    if apps.is_installed("django_htmx"):
        return htmx_script()
    return format_html('<script src="{}?{}" defer></script>', reverse("outbox:htmx"), _version())


@lru_cache(maxsize=1)
def _version() -> str:
    """Return what a browser's cached copy is renewed by."""
    return version("django-htmx")
