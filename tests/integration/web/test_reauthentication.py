"""Secrets, sharing and actions on many messages ask for the password again."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.views.debug import SafeExceptionReporterFilter

from outbox.models import Account, AuditAction, AuditEntry
from outbox.web.auth import signed_in
from outbox.web.reauthentication import FIELD, recently_authenticated, recently_authenticated_posts
from outbox.web.recent_sign_in import AUTHENTICATED_AT

PASSWORD = "correct horse battery"
PROTECTED = "/protected/?n=1"
done: list[Any] = []


def perform(request: HttpRequest) -> HttpResponse:
    done.append(request.POST.getlist("m") or request.GET.get("n"))
    return HttpResponse("done")


urlpatterns = [
    path("protected/", signed_in(recently_authenticated(perform))),
    path("posts/", recently_authenticated_posts(perform)),
    path("", include("mailsite.urls")),
]


@pytest.fixture(autouse=True)
def _protected(settings: LazySettings) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    yield
    done.clear()


@pytest.fixture
def dana(db: None) -> User:
    return User.objects.create_user("dana", password=PASSWORD)


@pytest.fixture
def recent(dana: User) -> Client:
    client = Client()
    client.force_login(dana)
    return client


@pytest.fixture
def old(recent: Client) -> Client:
    """A session that signed in an hour ago."""
    session = recent.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    return recent


def test_a_recent_sign_in_suffices(recent: Client) -> None:
    assert recent.get(PROTECTED).content == b"done"


def test_an_old_session_is_asked_and_does_nothing(old: Client) -> None:
    for response in (old.get(PROTECTED), old.post(PROTECTED, {"m": ["1", "2"]})):
        assert response.status_code == 403
        assert b"Confirm your password" in response.content
    assert done == []


@pytest.mark.parametrize(
    "name", ["account-mailbox", "account", "admin:outbox_mailbox_add", "admin:outbox_account_add"]
)
def test_no_password_is_in_an_error_report(recent: Client, dana: User, name: str) -> None:
    """That of the form is hidden as well as the own one."""
    User.objects.filter(pk=dana.pk).update(is_staff=True, is_superuser=True)
    account = Account.objects.create(name="a", owner=dana, from_address="a@example.com", host="h")
    page = reverse(name) if ":" in name else reverse(f"outbox:{name}", args=[account.pk])
    secrets = ("password", "new_password", FIELD)
    response = recent.post(page, {field: f"s3cret {field}" for field in secrets} | {"host": ""})
    assert response.status_code in {200, 422}
    reported = SafeExceptionReporterFilter().get_post_parameters(response.wsgi_request)
    field = "new_password" if ":" in name else "password"
    assert reported[field] == reported[FIELD] == SafeExceptionReporterFilter.cleansed_substitute


def test_a_page_may_be_shown_without_the_password(old: Client) -> None:
    assert old.get("/posts/").content == b"done"
    assert old.post("/posts/").status_code == 403
    assert old.post("/posts/", {FIELD: PASSWORD}).content == b"done"


def test_a_session_without_a_mark_is_asked(recent: Client) -> None:
    session = recent.session
    del session[AUTHENTICATED_AT]
    session.save()
    assert recent.get(PROTECTED).status_code == 403


def test_a_mark_in_the_future_does_not_count(recent: Client) -> None:
    session = recent.session
    session[AUTHENTICATED_AT] += 3600
    session.save()
    assert recent.get(PROTECTED).status_code == 403


def test_the_posted_form_is_kept_and_performed_after_the_password(old: Client) -> None:
    page = old.post(PROTECTED, {"m": ["1", "<2>"], "csrfmiddlewaretoken": "old"})
    assert page.content.count(b'name="m"') == 2
    assert b"&lt;2&gt;" in page.content
    assert b'value="old"' not in page.content
    assert page["Cache-Control"] == "no-store, private"

    response = old.post(PROTECTED, {"m": ["1", "<2>"], FIELD: PASSWORD})
    assert response.content == b"done"
    assert done == [["1", "<2>"]]
    assert AuditEntry.objects.filter(action=AuditAction.REAUTHENTICATED).count() == 1
    assert old.get(PROTECTED).content == b"done"  # for the rest of the period


def test_a_wrong_password_does_nothing_and_is_recorded(old: Client) -> None:
    response = old.post(PROTECTED, {"m": ["1"], FIELD: "wrong"})
    assert response.status_code == 422
    assert b"Enter your own password." in response.content
    assert b"wrong" not in response.content
    assert done == []
    entry = AuditEntry.objects.filter(action=AuditAction.REAUTHENTICATION_FAILED).get()
    assert entry.actor_name == "dana"


def test_the_password_of_another_user_does_not_count(old: Client) -> None:
    User.objects.create_user("eve", password="the password of eve")
    assert old.post(PROTECTED, {FIELD: "the password of eve"}).status_code == 422


def test_a_page_is_shown_after_the_password(old: Client) -> None:
    assert b'name="next" value="/protected/?n=1"' in old.get(PROTECTED).content
    asked = reverse("outbox:reauthenticate")
    response = old.post(asked, {"next": PROTECTED, FIELD: PASSWORD})
    assert response["Location"] == PROTECTED
    assert old.get(PROTECTED).content == b"done"


def test_it_leads_to_no_other_site(old: Client) -> None:
    asked = reverse("outbox:reauthenticate")
    for hostile in ("https://evil.example", "//evil.example", "javascript:alert(1)"):
        response = old.post(asked, {"next": hostile, FIELD: PASSWORD})
        assert response["Location"] == reverse("outbox:list")


def test_htmx_shows_the_question_as_a_page(old: Client) -> None:
    headers = {"hx-request": "true", "hx-current-url": "http://testserver/folders/sent/"}
    response = old.post(PROTECTED, {"m": "1"}, headers=headers)
    assert response["HX-Redirect"] == "/reauthenticate/?next=%2Ffolders%2Fsent%2F"
    assert done == []


def test_a_form_with_files_is_not_kept(old: Client) -> None:
    page = old.post(PROTECTED, {"m": "1", "file": SimpleUploadedFile("a.txt", b"x")})
    assert page.status_code == 403
    assert b'name="m"' not in page.content
    assert b'name="next"' in page.content


def test_a_user_without_a_password_signs_in_again(old: Client, dana: User) -> None:
    dana.set_unusable_password()
    dana.save()
    old.force_login(dana)
    session = old.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    assert b'name="sign_in_again"' in old.get(PROTECTED).content
    response = old.post(
        reverse("outbox:reauthenticate"), {"next": PROTECTED, "sign_in_again": "on"}
    )
    assert response["Location"] == "/accounts/login/?next=/protected/%3Fn%3D1"
    assert "_auth_user_id" not in old.session


def test_zero_turns_it_off(old: Client, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "REAUTHENTICATE_AFTER": 0}
    assert old.get(PROTECTED).content == b"done"
