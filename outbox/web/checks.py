"""System check of the pages: users who are not signed in are sent to a page that exists."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import get_supported_language_variant


@checks.register(checks.Tags.urls)
def check_login_url(
    app_configs: Sequence[AppConfig] | None, **_: Any
) -> Iterator[checks.CheckMessage]:
    """Warn if the pages are served and LOGIN_URL is not a page of the site."""
    if _serves_pages() and not _login_page_exists():
        yield checks.Warning(
            f"LOGIN_URL is {settings.LOGIN_URL!r}, which leads to no page of this site, so users "
            "cannot sign in to the pages of the outbox.",
            hint='Set LOGIN_URL to your sign-in page, for example to "admin:login", or include '
            '"django.contrib.auth.urls" in your URLs.',
            id="outbox.W016",
        )


def _serves_pages() -> bool:
    if not getattr(settings, "ROOT_URLCONF", None):
        return False  # a project with workers only
    try:
        reverse("outbox:list")
    except NoReverseMatch:
        return False
    return True


def _login_page_exists() -> bool:
    try:
        url = urlsplit(resolve_url(settings.LOGIN_URL))
    except NoReverseMatch:
        return False
    if url.netloc:
        return True  # users sign in on another host
    path = "/" + url.path.removeprefix(get_script_prefix()).lstrip("/")
    return any(_is_page(path) for path in _redirected(path))


def _redirected(path: str) -> Iterator[str]:
    """Yield the path and those to which Django's middleware redirects it."""
    paths = [path] if path.endswith("/") or not settings.APPEND_SLASH else [path, f"{path}/"]
    yield from paths
    if "django.middleware.locale.LocaleMiddleware" in settings.MIDDLEWARE:
        language = get_supported_language_variant(settings.LANGUAGE_CODE)
        yield from (f"/{language}{one}" for one in paths)


def _is_page(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
