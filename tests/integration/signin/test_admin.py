"""The admin pages of users and groups, and actions on many messages, ask for the password."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from outbox.models import AuditAction, AuditEntry
from outbox.web.reauthentication import FIELD
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from signin import second_factor, throttle
from signin.models import Authenticator
from tests.integration.signin.conftest import PASSWORD
from tests.integration.signin.test_second_factor import code_of

NEW = "another long password"


@pytest.fixture
def old(root: User) -> Client:
    """A session of root that signed in an hour ago."""
    client = Client()
    client.force_login(root)
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    return client


def test_an_old_session_makes_no_superuser(old: Client, alice: User) -> None:
    fields = {"username": "eve", "password1": NEW, "password2": NEW, "usable_password": "true"}
    assert old.post("/admin/auth/user/add/", fields).status_code == 403
    change = {"username": "alice", "is_superuser": "on", "is_staff": "on", "is_active": "on"}
    assert old.post(f"/admin/auth/user/{alice.pk}/change/", change).status_code == 403
    assert not User.objects.filter(username="eve").exists()
    alice.refresh_from_db()
    assert not alice.is_superuser


def test_an_old_session_changes_no_password_of_others(old: Client, alice: User) -> None:
    page = f"/admin/auth/user/{alice.pk}/password/"
    fields = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    assert old.post(page, fields).status_code == 403
    assert old.post(page, {**fields, FIELD: PASSWORD}).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(NEW)


def test_an_old_session_deletes_and_promotes_nothing(old: Client, alice: User) -> None:
    group = Group.objects.create(name="staff")
    assert old.post(f"/admin/auth/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert old.post(f"/admin/auth/group/{group.pk}/change/", {"name": "x"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
    assert old.post("/admin/auth/user/", chosen).status_code == 403
    chosen["_selected_action"] = [group.pk]
    assert old.post("/admin/auth/group/", chosen).status_code == 403
    assert Group.objects.filter(pk=group.pk).exists()
    assert User.objects.filter(pk=alice.pk).exists()


def test_the_change_of_the_own_password_in_the_admin_limits_attempts(
    client: Client, root: User
) -> None:
    client.force_login(root)
    fields = {"new_password1": NEW, "new_password2": NEW}
    for _ in range(throttle.BY_NAME.free):
        client.post("/admin/password_change/", {"old_password": "wrong", **fields})
    client.post("/admin/password_change/", {"old_password": PASSWORD, **fields})
    root.refresh_from_db()
    assert root.check_password(PASSWORD)


def test_staff_remove_a_lost_second_factor(client: Client, root: User, alice: User) -> None:
    second_factor.propose(alice)
    assert second_factor.confirm(alice, code_of(alice))
    client.force_login(root)
    chosen = {"action": "remove_second_factor", "_selected_action": [alice.pk]}
    client.post("/admin/auth/user/", chosen)
    assert not Authenticator.objects.exists()
    entry = AuditEntry.objects.get(action=AuditAction.SECOND_FACTOR_REMOVED)
    assert (entry.actor_name, entry.target_name) == ("root", "alice")
