"""LOGIN_URL leads to a page of the site, or the check of the pages says that it does not."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.core import checks
from django.urls import include, path, set_script_prefix

from outbox.web.checks import check_login_url

PAGES = path("mail/", include("outbox.web.urls"))
ADMIN = path("admin/", admin.site.urls)
AUTH = path("accounts/", include("django.contrib.auth.urls"))
ABSOLUTE = path("sign-in/", LoginView.as_view(), name="sign-in")
LOCALE = "django.middleware.locale.LocaleMiddleware"


def urls(*patterns: Any) -> ModuleType:
    module = ModuleType("urls_of_a_site")
    module.urlpatterns = list(patterns)  # type: ignore[attr-defined]
    return module


def found() -> list[str | None]:
    return [message.id for message in check_login_url(None)]


@pytest.fixture
def _under_a_prefix() -> Iterator[None]:
    set_script_prefix("/shop/")
    yield
    set_script_prefix("/")


@pytest.mark.parametrize(
    ("login_url", "patterns", "ids"),
    [
        pytest.param("/accounts/login/", [PAGES, ADMIN], ["outbox.W016"], id="Django's default"),
        pytest.param("/accounts/login/", [PAGES, AUTH], [], id="Django's default, included"),
        pytest.param("/accounts/login", [PAGES, AUTH], [], id="a slash is appended"),
        pytest.param("/accounts/login/?a=b", [PAGES, AUTH], [], id="with a query"),
        pytest.param("login", [PAGES, ADMIN], ["outbox.W016"], id="an unknown name"),
        pytest.param("login", [PAGES, AUTH], [], id="a name"),
        pytest.param("admin:login", [PAGES, ADMIN], [], id="the admin's"),
        pytest.param("admin:login", [PAGES], ["outbox.W016"], id="the admin's, without admin"),
        pytest.param("https://sso.example.com/", [PAGES], [], id="another host"),
        pytest.param("//sso.example.com/", [PAGES], [], id="another host, same scheme"),
        pytest.param("/accounts/login/", [ADMIN], [], id="no pages are served"),
        pytest.param("/nowhere/", [PAGES, AUTH], ["outbox.W016"], id="an unknown path"),
    ],
)
def test_a_login_url_that_leads_nowhere_is_reported(
    login_url: str, patterns: list[Any], ids: list[str], settings: LazySettings
) -> None:
    settings.ROOT_URLCONF = urls(*patterns)
    settings.LOGIN_URL = login_url

    assert found() == ids


def test_it_may_be_a_lazy_name_of_a_view(settings: LazySettings) -> None:
    settings.ROOT_URLCONF = urls(PAGES, ABSOLUTE)
    settings.LOGIN_URL = "sign-in"
    assert found() == []


@pytest.mark.parametrize(("middleware", "ids"), [([LOCALE], []), ([], ["outbox.W016"])])
def test_a_language_prefix_is_added_by_the_middleware(
    middleware: list[str], ids: list[str], settings: LazySettings
) -> None:
    settings.ROOT_URLCONF = urls(PAGES, *i18n_patterns(AUTH))
    settings.MIDDLEWARE = middleware
    settings.LOGIN_URL = "/accounts/login/"
    assert found() == ids


@pytest.mark.usefixtures("_under_a_prefix")
@pytest.mark.parametrize("login_url", ["/shop/accounts/login/", "login"])
def test_a_script_prefix_is_ignored(login_url: str, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = urls(PAGES, AUTH)
    settings.LOGIN_URL = login_url
    assert found() == []


def test_django_runs_it() -> None:
    assert check_login_url in checks.registry.registry.get_checks()
