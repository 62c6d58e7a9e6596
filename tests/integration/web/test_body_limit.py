"""Bodies over a limit are rejected before they are read, at every address."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.client import FakePayload
from django.urls import include, path

from outbox.conf import Conf
from tests.integration.web.conftest import signed_in
from tests.integration.web.test_other_sites import addresses

MULTIPART = "multipart/form-data; boundary=x"
URLENCODED = "application/x-www-form-urlencoded"

SMALL, FORM, TEXTS, FILES = 1_000, 2_000, 4_000, 6_000
FILE_PAGES = {
    "outbox:compose",
    "outbox:draft",
    "outbox:draft-attachments",
    "admin:outbox_suppression_import",
}
TEXT_PAGES = {
    "outbox:compose-save",
    "outbox:compose-template",
    "outbox:draft-save",
    "outbox:reauthenticate",
    "outbox:template",
    "outbox:template-add",
    "outbox:template-preview",
    "admin:outbox_template_add",
    "admin:outbox_template_change",
}


def shop(request: HttpRequest) -> HttpResponse:
    """Read the body, as a view of the project does."""
    return HttpResponse(str(len(request.body)))


urlpatterns = [path("shop/", shop), path("", include("mailsite.urls"))]


def own_addresses() -> dict[str, str]:
    """Return the addresses by name, without the admin's pages of apps that only tests install."""
    own = {"outbox", "auth", "signin"}
    others = [f"/admin/{app.label}/" for app in apps.get_app_configs() if app.label not in own]
    return {
        name: address
        for name, address in addresses().items()
        if not address.startswith(tuple(others))
    }


class Unread(FakePayload):
    """A body that must not be read."""

    def read(self, num_bytes: int | None = None) -> bytes:
        raise AssertionError("The body was read.")


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def as_root(root: User) -> Client:
    return signed_in(root)


@pytest.fixture(autouse=True)
def _limits(settings: LazySettings, db: None) -> None:
    limits = {"MAX_ANONYMOUS_REQUEST_BYTES": SMALL, "MAX_FORM_BYTES": FORM}
    limits |= {"MAX_TEXT_REQUEST_BYTES": TEXTS, "MAX_REQUEST_BYTES": FILES}
    settings.OUTBOX = {**settings.OUTBOX, **limits}


def post_unread(
    client: Client, path: str, content_type: str = MULTIPART, **environment: Any
) -> int:
    """Post a body that fails the test when it is read, and return the status."""
    environment["wsgi.input"] = Unread()
    return client.post(path, content_type=content_type, **environment).status_code


def is_rejected(client: Client, path: str, content_type: str, length: int) -> bool:
    """Return whether a body of this length is rejected unread. Otherwise it is read."""
    try:
        return post_unread(client, path, content_type, CONTENT_LENGTH=str(length)) == 413
    except AssertionError:
        return False


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/", "/compose/", "/missing/"])
def test_an_anonymous_client_sends_little(client: Client, path: str) -> None:
    assert post_unread(client, path, CONTENT_LENGTH=str(SMALL + 1)) == 413


def test_a_made_up_session_is_anonymous(client: Client) -> None:
    client.cookies["sessionid"] = "x" * 32
    assert post_unread(client, "/accounts/login/", CONTENT_LENGTH=str(SMALL + 1)) == 413


@pytest.mark.system
def test_each_page_accepts_what_it_needs(root: User) -> None:
    """Also at an address that does not exist."""
    as_root = signed_in(root)
    for name, address in {**own_addresses(), "missing": "/missing/"}.items():
        limit = FILES if name in FILE_PAGES else TEXTS if name in TEXT_PAGES else FORM
        assert is_rejected(as_root, address, MULTIPART, limit + 1), name
        assert not is_rejected(as_root, address, MULTIPART, limit), name
        if name.endswith("logout"):
            as_root = signed_in(root)


@pytest.mark.system
def test_no_page_accepts_long_forms_that_are_not_multipart(as_root: Client) -> None:
    """They have up to twelve bytes for a character, and decoding them takes long."""
    for name, address in own_addresses().items():
        for content_type in (URLENCODED, "text/plain", "application/json", "", "multipart/mixed"):
            assert is_rejected(as_root, address, content_type, FORM + 1), name


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("content_type", [MULTIPART, URLENCODED, "image/png"])
def test_a_view_of_the_project_is_limited_as_a_whole_only(
    as_anna: Client, content_type: str
) -> None:
    assert not is_rejected(as_anna, "/shop/", content_type, FILES)
    assert is_rejected(as_anna, "/shop/", content_type, FILES + 1)


def test_the_longest_texts_fit(as_root: Client, settings: LazySettings) -> None:
    """With the limits of a new installation, in characters of four bytes."""
    settings.OUTBOX = {"SECRET_KEYS": settings.OUTBOX["SECRET_KEYS"]}
    part = "\N{WHITE SMILING FACE}\N{GRINNING FACE}" * (Conf().max_template // 2)
    template = {"name": "Long", "subject": "x", "text": part, "html": part}
    for address in ("/templates/preview/", "/templates/add/", "/admin/outbox/template/add/"):
        assert as_root.post(address, template).status_code in (200, 302), address
    draft = {"form": "a" * 22, "text": "\N{GRINNING FACE}" * Conf().max_text}
    assert as_root.post("/compose/save/", draft).status_code == 200
    preferences = {"signature": "\N{GRINNING FACE}" * Conf().max_signature, "page_size": "50"}
    encoded = as_root.post("/preferences/", urlencode(preferences), content_type=URLENCODED)
    assert encoded.status_code != 413


@pytest.mark.parametrize("path", ["/templates/add/", "/admin/outbox/template/add/"])
def test_forms_with_long_texts_are_multipart(as_root: Client, path: str) -> None:
    page = as_root.get(path).content.decode()
    assert 'method="post" enctype="multipart/form-data"' in page or (
        'enctype="multipart/form-data" method="post"' in page
    )


@pytest.mark.parametrize("encoding", ["chunked", "gzip, chunked", "identity"])
def test_chunks_have_no_length_and_are_rejected(as_anna: Client, encoding: str) -> None:
    assert post_unread(as_anna, "/preferences/", HTTP_TRANSFER_ENCODING=encoding) == 411


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 30, "١", "0x10", " "])
def test_a_malformed_length_is_rejected(client: Client, length: str) -> None:
    assert post_unread(client, "/accounts/login/", CONTENT_LENGTH=length) == 400


def test_the_page_says_what_to_do(as_anna: Client) -> None:
    response = as_anna.generic("POST", "/preferences/", CONTENT_LENGTH=str(FILES + 1))
    assert "The request is too large" in response.content.decode()
    assert response["Connection"] == "close"
