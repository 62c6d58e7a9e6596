"""The pages work in a project that has nothing of ours but the app and its urls."""

from pathlib import Path

import django_htmx
import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import include, path

urlpatterns = [path("mail/", include("outbox.web.urls"))]  # no admin, and no way to sign out

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _bare(settings: LazySettings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "/accounts/login/"  # Django's default
    apart = ("csp", "django_htmx", "mailsite", "whitenoise")
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app not in apart]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith(apart)]


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.mark.parametrize("page", ["", "compose/", "accounts/", "folders/sent/"])
def test_a_page_asks_for_nothing_that_is_not_there(signed_in: Client, page: str) -> None:
    response = signed_in.get(f"/mail/{page}")

    assert response.status_code == 200
    assert b"/mail/htmx.js?" in response.content
    assert b"Sign out" not in response.content
    assert b">Admin<" not in response.content


def test_htmx_comes_out_of_its_package(client: Client) -> None:
    response = client.get("/mail/htmx.js")

    folder = Path(django_htmx.__file__).parent / "static" / "django_htmx"
    assert response.content == (folder / "htmx-2.min.js").read_bytes()
    assert response["Content-Type"] == "text/javascript"
    assert "immutable" in response["Cache-Control"]


def test_a_fragment_is_shown_from_a_page_without_the_middleware(client: Client) -> None:
    page = client.get("/mail/")
    fragment = client.get("/mail/", headers={"hx-request": "true"})

    assert page.status_code == 302
    assert fragment.headers["HX-Refresh"] == "true"
