"""Pages that say what went wrong: in plain words, in both languages, with a way on."""

from collections.abc import Callable
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import translation
from django.views import defaults

from outbox.models import Message, Preferences


def test_missing_page_has_the_navigation_for_a_user(as_anna: Client) -> None:
    response = as_anna.get("/nowhere/")
    page = response.content.decode()
    assert response.status_code == 404
    assert "Page not found" in page
    assert 'id="folder-drafts"' in page
    assert reverse("outbox:search") in page


def test_message_of_another_person_looks_like_a_missing_page(
    client: Client, carl: User, mail: Message
) -> None:
    client.force_login(carl)
    response = client.get(reverse("outbox:message", args=[mail.pk]))
    assert response.status_code == 404
    assert "This page doesn't exist, or you don't have access" in unescape(
        response.content.decode()
    )


def test_missing_page_without_a_user_shows_no_folders(client: Client) -> None:
    page = client.get("/nowhere/").content.decode()
    assert "Page not found" in page
    assert "folder-drafts" not in page
    assert f'href="{reverse("outbox:list")}"' in page


def test_form_that_is_too_old_says_what_to_do(anna: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(anna)
    response = client.post(reverse("outbox:compose"), {"subject": "Figures"})
    page = response.content.decode()
    assert response.status_code == 403
    assert "Reload the page and try again" in page
    assert 'id="folder-drafts"' in page


def test_bad_request_has_a_way_back(as_anna: Client, mail: Message) -> None:
    response = as_anna.post(reverse("outbox:reply", args=[mail.pk]), {"as": "guess"})
    assert response.status_code == 400
    assert "Go to the outbox" in response.content.decode()


def test_denied_page_has_the_navigation(rf: RequestFactory, anna: User) -> None:
    request = rf.get("/")
    request.user = anna
    request.preferences = Preferences(user=anna, theme="dark")  # type: ignore[attr-defined]
    page = defaults.permission_denied(request, PermissionDenied()).content.decode()
    assert "Access denied" in page
    assert 'id="folder-drafts"' in page
    assert 'data-theme="dark"' in page


def test_failure_needs_neither_database_nor_user(rf: RequestFactory) -> None:
    page = defaults.server_error(rf.get("/")).content.decode()
    assert "Something went wrong" in page
    assert "Go to the outbox" in page


@pytest.mark.parametrize(
    ("name", "title"), [("404", "此页面不存在"), ("500", "出了点问题"), ("400", "请求无效")]
)
def test_error_pages_are_translated(rf: RequestFactory, name: str, title: str) -> None:
    views: dict[str, Callable[[HttpRequest], HttpResponse]] = {
        "404": lambda request: defaults.page_not_found(request, Exception()),
        "500": defaults.server_error,
        "400": lambda request: defaults.bad_request(request, Exception()),
    }
    with translation.override("zh-hans"):
        assert title in views[name](rf.get("/")).content.decode()
