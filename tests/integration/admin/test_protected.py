"""Every change in the admin of what other users depend on asks for the password again."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from outbox import api
from outbox.admin.protected import ProtectedAdmin
from outbox.models import Pause, Quota, Suppression, Template
from outbox.web.reauthentication import FIELD
from outbox.web.recent_sign_in import AUTHENTICATED_AT

PASSWORD = "correct horse battery"


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def old(root: User) -> Client:
    """A session of root that signed in an hour ago."""
    client = Client()
    client.force_login(root)
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    return client


@pytest.fixture
def rows(root: User) -> dict[str, Any]:
    return {
        "template": Template.objects.create(name="Welcome", text="x"),
        "quota": Quota.objects.create(user=root, max_drafts=3),
        "suppression": api.suppress("ann@example.com"),
    }


FIELDS: dict[str, dict[str, Any]] = {
    "template": {"name": "Other", "subject": "x", "text": "y", "html": ""},
    "quota": {"max_drafts": 9},
    "suppression": {"address": "ben@example.com", "why": "manual"},
}


def state() -> list[Any]:
    models = (Template, Quota, Suppression, Pause)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("kind", FIELDS)
def test_an_old_session_changes_nothing(kind: str, old: Client, rows: dict[str, Any]) -> None:
    before = state()
    pk = rows[kind].pk
    chosen = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    base = f"/admin/outbox/{kind}/"
    assert old.post(f"{base}add/", FIELDS[kind]).status_code == 403
    assert old.post(f"{base}{pk}/change/", FIELDS[kind]).status_code == 403
    assert old.post(f"{base}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert old.post(base, chosen).status_code == 403
    assert state() == before
    assert old.get(base).status_code == 200
    assert old.get(f"{base}{pk}/change/").status_code == 200


def test_the_password_is_asked_for_once_and_the_form_is_kept(
    old: Client, rows: dict[str, Any]
) -> None:
    page = f"/admin/outbox/template/{rows['template'].pk}/change/"
    asked = old.post(page, FIELDS["template"]).content.decode()
    assert '<input type="hidden" name="text" value="y">' in asked
    assert old.post(page, {**FIELDS["template"], FIELD: PASSWORD}).status_code == 302
    rows["template"].refresh_from_db()
    assert rows["template"].text == "y"
    assert old.post(page, {**FIELDS["template"], "text": "z"}).status_code == 302


def test_an_old_session_imports_no_suppression_list(old: Client) -> None:
    file = SimpleUploadedFile("list.csv", b"address\nann@example.com\n")
    assert old.post("/admin/outbox/suppression/import/", {"file": file}).status_code == 403
    assert not Suppression.objects.exists()


def test_an_old_session_neither_pauses_nor_resumes(old: Client) -> None:
    fields = {"reason": "test", "hours": "1"}
    assert old.post("/admin/outbox/operations/pause/", fields).status_code == 403
    assert not Pause.objects.exists()
    paused = api.pause(reason="test")
    assert old.post(f"/admin/outbox/operations/resume/{paused.pk}/").status_code == 403
    assert Pause.objects.get().ended_at is None


def test_every_admin_page_that_changes_rows_is_protected(root: User) -> None:
    request = RequestFactory().get("/")
    request.user = root
    found = []
    for model, page in admin.site._registry.items():
        permissions = page.get_model_perms(request)
        if model._meta.app_label == "outbox" and (
            permissions["add"] or permissions["change"] or permissions["delete"]
        ):
            found.append(model)
            assert isinstance(page, ProtectedAdmin), model
    assert {Template, Quota, Suppression} <= set(found)
