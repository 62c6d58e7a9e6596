"""Links to pages of the site, for emails."""

from typing import Any

from django.urls import NoReverseMatch, reverse

from outbox.conf import get_conf


def link_to(view: str, *args: Any) -> str:
    """Return the absolute URL of a page; nothing if the site has none, or no `SITE_URL`."""
    site = get_conf().site_url.rstrip("/")
    try:
        return site + reverse(view, args=args) if site else ""
    except NoReverseMatch:  # a project that delivers only, without the pages
        return ""
