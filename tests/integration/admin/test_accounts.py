"""Accounts in the admin: editing them; a stored password is never shown."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import OperationalError, connection
from django.db.models.signals import pre_delete
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.models import (
    Account,
    AuditEntry,
    Destination,
    Mailbox,
    OAuthProvider,
    OAuthToken,
    ServerMessage,
    Suppression,
)
from outbox.models.suppression import reason_named
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from tests.integration.admin.conftest import queue
from tests.integration.web.conftest import signed_in, staff_member

LIST = "/admin/outbox/account/"


def form(**fields: Any) -> dict[str, Any]:
    plain = {
        "name": "shop",
        "from_address": "shop@example.com",
        "host": "mail.example.com",
        "port": "587",
        "security": "starttls",
        "max_connections": "10",
        "on_uncertain": "resend",
        "resend_after": "04:00:00",
        "is_active": "on",
    }
    return {**plain, **fields}


def test_suppressing_may_follow_the_settings(staff: Client, db: None) -> None:
    shown = staff.get(f"{LIST}add/").content.decode()

    assert '<option value="unknown" selected>As the site is set</option>' in shown


def test_a_password_is_stored_encrypted(staff: Client, db: None) -> None:
    response = staff.post(f"{LIST}add/", form(new_password=" swordfish "))

    assert response.status_code == 302
    account = Account.objects.get()
    assert account.secret == " swordfish "
    assert "swordfish" not in account.secret_encrypted


def test_no_page_shows_the_password(staff: Client, account: Account) -> None:
    shown = staff.get(f"{LIST}{account.pk}/change/").content.decode()

    assert "swordfish" not in shown
    assert account.secret_encrypted not in shown
    assert '<div class="readonly">set</div>' in shown


def test_an_invalid_form_does_not_return_the_password(staff: Client, account: Account) -> None:
    bad = form(new_password="hunter2", from_address="nonsense")

    shown = staff.post(f"{LIST}{account.pk}/change/", bad).content.decode()

    assert "has no @" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        pytest.param({}, "swordfish", id="left empty keeps it"),
        pytest.param({"new_password": "hunter2"}, "hunter2", id="a new one replaces it"),
        pytest.param({"forget_password": "on"}, "", id="it can be forgotten"),
    ],
)
def test_editing_the_password(
    fields: dict[str, str], secret: str, staff: Client, account: Account
) -> None:
    assert staff.post(f"{LIST}{account.pk}/change/", form(**fields)).status_code == 302

    account.refresh_from_db()
    assert account.secret == secret


def test_a_private_server_is_an_error_unless_allowed(
    staff: Client, settings: LazySettings, db: None
) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ALLOW_PRIVATE_HOSTS": False}

    shown = staff.post(f"{LIST}add/", form(host="127.0.0.1")).content.decode()

    assert "in a private network" in shown
    assert not Account.objects.exists()


def test_a_viewer_sees_no_password_field(onlooker: Client, account: Account) -> None:
    shown = onlooker.get(f"{LIST}{account.pk}/change/").content.decode()

    assert "mail.example.com" in shown
    assert "swordfish" not in shown
    assert 'type="password"' not in shown


@pytest.mark.parametrize(
    "change",
    [{"host": "mail.attacker.example"}, {"port": "25"}, {"security": "tls"}, {"username": "bob"}],
)
def test_the_password_is_entered_again_for_another_server(
    change: dict[str, str], staff: Client, account: Account
) -> None:
    Account.objects.update(username="ann")
    account.refresh_from_db()
    account.secret = "swordfish"
    account.save()
    same = {"username": "ann"}
    url = f"{LIST}{account.pk}/change/"
    assert "Enter the password again" in staff.post(url, form(**same | change)).content.decode()
    assert staff.post(url, form(**same | change, new_password="other")).status_code == 302
    account.refresh_from_db()
    assert account.secret == "other"


def test_only_an_account_of_the_site_becomes_the_default(staff: Client, account: Account) -> None:
    url, owner = f"{LIST}{account.pk}/change/", User.objects.get()
    shown = staff.post(url, form(is_app_default="on", owner=owner.pk)).content.decode()
    assert "Remove the owner" in shown
    assert staff.post(url, form(is_app_default="on")).status_code == 302
    account.refresh_from_db()
    assert account.is_app_default


def test_trust_needs_a_permission_of_its_own(account: Account, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ALLOW_PRIVATE_HOSTS": False}
    url = f"{LIST}{account.pk}/change/"
    user = staff_member("view_account", "change_account")
    client = signed_in(user)
    client.post(url, form(is_trusted="on"))
    account.refresh_from_db()
    assert not account.is_trusted

    user.user_permissions.add(Permission.objects.get(codename="trust_account"))
    response = client.post(url, form(is_trusted="on", host="10.0.0.1", new_password="x"))
    assert response.status_code == 302
    account.refresh_from_db()
    assert (account.is_trusted, account.host) == (True, "10.0.0.1")

    user.user_permissions.remove(Permission.objects.get(codename="trust_account"))
    assert client.post(url, form(host="mail.example.com", new_password="x")).status_code == 302
    account.refresh_from_db()
    assert not account.is_trusted


def test_who_may_only_add_accounts_does_not_choose_the_default(db: None) -> None:
    client = signed_in(staff_member("add_account"))
    client.post(f"{LIST}add/", form(is_app_default="on"))
    assert not Account.objects.get().is_app_default


def test_an_old_session_deletes_no_account(staff: Client, account: Account) -> None:
    session = staff.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    assert staff.post(f"{LIST}{account.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [account.pk], "post": "yes"}
    assert staff.post(LIST, chosen).status_code == 403
    assert Account.objects.filter(pk=account.pk).exists()


@pytest.mark.parametrize("model", ["account", "mailbox"])
def test_a_row_is_deleted_with_what_belongs_to_it(
    model: str, staff: Client, account: Account, django_assert_num_queries: Any
) -> None:
    destination = Destination.objects.create(account=account)
    mailbox = Mailbox.objects.create(account=account, host="pop.example.com")
    api.suppress("jane@example.com", account=account)
    page = f"/admin/outbox/{model}/{account.pk}/delete/"
    with CaptureQueriesContext(connection) as few:
        assert staff.get(page).status_code == 200
    now = timezone.now()
    for number in range(9):
        ServerMessage.objects.create(mailbox=mailbox, uid=str(number), seen_at=now)
    with django_assert_num_queries(len(few)):
        shown = staff.get(page).content.decode()
    assert "shop &lt;shop@example.com&gt;" in shown
    assert staff.post(page, {"post": "yes"}).status_code == 302
    assert not Mailbox.objects.exists()
    assert Account.objects.exists() == (model == "mailbox")
    assert Destination.objects.filter(pk=destination.pk).exists() == (model == "mailbox")


@pytest.mark.parametrize("lookup", ["startswith", "gt", "regex"])
def test_no_list_can_be_filtered_by_what_no_page_shows(
    staff: Client, account: Account, lookup: str
) -> None:
    assert staff.get(f"{LIST}?secret_encrypted__{lookup}=b").status_code == 400
    assert staff.get(f"/admin/outbox/webhook/?secret_encrypted__{lookup}=b").status_code == 400
    assert staff.get(f"/admin/outbox/message/?snippet__{lookup}=b").status_code == 400
    assert staff.get(f"{LIST}?host__{lookup}=mail").status_code == 200
    assert staff.get(f"{LIST}?id__in=1,2").status_code == 200


def test_a_direct_account_needs_no_server(staff: Client, db: None) -> None:
    sent = form(route="direct", host="", username="alice", new_password="swordfish")

    assert staff.post(f"{LIST}add/", sent).status_code == 302

    account = Account.objects.get()
    assert account.is_direct
    assert (account.host, account.username, account.has_secret) == ("", "", False)


def test_the_account_that_becomes_direct_forgets_its_login(staff: Client, account: Account) -> None:
    sent = form(route="direct", username=account.username)

    assert staff.post(f"{LIST}{account.pk}/change/", sent).status_code == 302

    account.refresh_from_db()
    assert account.is_direct
    assert (account.host, account.username, account.has_secret) == ("", "", False)


def test_an_account_with_a_server_still_needs_one(staff: Client, db: None) -> None:
    shown = staff.post(f"{LIST}add/", form(route="smarthost", host="")).content.decode()

    assert not Account.objects.exists()
    assert "Enter" in shown


def test_the_account_of_a_user_cannot_deliver_directly(staff: Client, db: None) -> None:
    owner = User.objects.create(username="owner")

    shown = staff.post(f"{LIST}add/", form(route="direct", owner=owner.pk)).content.decode()

    assert not Account.objects.exists()
    assert "Remove the owner." in shown


def test_staff_of_a_group_cannot_choose_direct_delivery(account: Account) -> None:
    group_staff = staff_member("change_account", "view_account", name="support")
    group_staff.user_permissions.remove(Permission.objects.get(codename="view_all_accounts"))
    group = Group.objects.create(name="support")
    group_staff.groups.add(group)
    account.staff_groups.add(group)
    client = signed_in(group_staff)

    client.post(f"{LIST}{account.pk}/change/", form(route="direct", host=""))

    account.refresh_from_db()
    assert not account.is_direct


def test_an_error_about_a_field_that_staff_may_not_change_is_shown(account: Account) -> None:
    """The form of staff of a group lacks the choice of direct delivery."""
    group_staff = staff_member("change_account", "view_account", name="support")
    group_staff.user_permissions.remove(Permission.objects.get(codename="view_all_accounts"))
    group = Group.objects.create(name="support")
    group_staff.groups.add(group)
    account.staff_groups.add(group)
    Account.objects.filter(pk=account.pk).update(owner=None, route="direct", host="")
    client = signed_in(group_staff)

    owner = User.objects.create(username="owner")
    response = client.post(f"{LIST}{account.pk}/change/", form(owner=owner.pk, host=""))

    assert response.status_code == 200
    assert "Remove the owner." in response.content.decode()
    account.refresh_from_db()
    assert account.owner is None


def test_a_missing_server_is_shown_to_staff_who_may_not_enter_one(db: None) -> None:
    """The form of an account with app-only access has the kind of delivery, but no server."""
    provider = OAuthProvider.objects.create(name="Example", access="app")
    account = Account.objects.create(name="direct", from_address="a@example.com", route="direct")
    OAuthToken.objects.create(account=account, provider=provider)
    client = signed_in(staff_member("change_account", "view_account", name="editor"))

    response = client.post(f"{LIST}{account.pk}/change/", form(route="smarthost"))

    assert response.status_code == 200
    assert "Enter the server." in response.content.decode()


def test_a_direct_account_shows_its_sites(staff: Client, db: None) -> None:
    account = Account.objects.create(name="direct", from_address="a@example.com", route="direct")
    account.destinations.create(key="mx:mx.example.net", mx_hosts="mx.example.net")

    shown = staff.get(f"{LIST}{account.pk}/change/").content.decode()

    assert "<td>mx.example.net</td><td>closed</td>" in shown
    assert "recipients per minute: 300 (default)" in shown


def with_related(account: Account) -> None:
    """Create a waiting message, a mailbox, a pause and three suppressed addresses."""
    queue(account, "ann@example.com", "ben@example.com")
    api.hold(queue(account, "held@example.com"))
    Mailbox.objects.create(account=account, host="pop.example.com")
    api.pause(account, reason="Maintenance")
    for number in range(3):
        api.suppress(f"{number}@example.com", account=account)


def choose(*accounts: Account, confirmed: bool = False) -> dict[str, Any]:
    chosen = {"action": "delete_selected", "_selected_action": [one.pk for one in accounts]}
    return {**chosen, "post": "yes"} if confirmed else chosen


@pytest.mark.every_database
def test_the_confirmation_and_the_audit_log_count_what_a_deletion_affects(
    staff: Client, account: Account
) -> None:
    with_related(account)
    page = f"{LIST}{account.pk}/delete/"
    for shown in (
        staff.get(page).content.decode(),
        staff.post(LIST, choose(account)).content.decode(),
    ):
        assert "1 message is waiting to be sent. It will be held." in shown
        assert "3 suppressed addresses will be deleted." in shown
        assert "1 mailbox will be deleted." in shown
        assert "1 pause of delivery will be deleted." in shown
        assert "2 messages in all, sent or not, will be kept without the account." in shown
        assert "All of the following" not in shown  # Django's sentence, with a list of its own
        assert "Summary" not in shown

    assert staff.post(page, {"post": "yes"}).status_code == 302
    entry = AuditEntry.objects.get(action="account_removed")
    assert entry.details == {
        "waiting_messages": 1,
        "messages": 2,
        "received_messages": 0,
        "mailboxes": 1,
        "sent_copies": 0,
        "suppressions": 3,
        "pauses": 1,
        "shares": 0,
    }


def test_the_confirmation_counts_several_accounts_together(staff: Client, account: Account) -> None:
    other = Account.objects.create(name="b", from_address="b@example.com", host="b.example.com")
    with_related(account)
    with_related(other)
    shown = staff.post(LIST, choose(account, other)).content.decode()
    assert "All these accounts together" in shown
    assert "2 messages are waiting to be sent. They will be held." in shown
    assert "6 suppressed addresses will be deleted." in shown


def test_the_confirmation_counts_no_more_than_a_thousand(staff: Client, account: Account) -> None:
    Suppression.objects.bulk_create(
        Suppression(
            address=name,
            folded=name,
            account=account,
            reason=reason_named("manual"),
            since=timezone.now(),
        )
        for name in (f"{number}@example.com" for number in range(1002))
    )
    shown = staff.get(f"{LIST}{account.pk}/delete/").content.decode()
    assert "More than 1,000 suppressed addresses will be deleted." in shown
    assert "waiting to be sent" not in shown


def test_suppressions_are_deleted_with_the_permission_to_delete_them(account: Account) -> None:
    user = staff_member("view_account", "delete_account")
    client, page = signed_in(user), f"{LIST}{account.pk}/delete/"
    api.suppress("jane@example.com", account=account)
    for response in (client.get(page), client.post(LIST, choose(account))):
        shown: Any = response
        assert "Cannot delete account" in shown.content.decode()
        assert shown.context["perms_lacking"] == {"suppressed address"}
    assert client.post(page, {"post": "yes"}).status_code == 403
    assert client.post(LIST, choose(account, confirmed=True)).status_code == 403
    assert Suppression.objects.exists()

    user.user_permissions.add(Permission.objects.get(codename="delete_suppression"))
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert not Suppression.objects.exists()


def test_an_account_without_suppressions_needs_no_permission_for_them(account: Account) -> None:
    client = signed_in(staff_member("view_account", "delete_account"))
    api.suppress("jane@example.com")
    assert client.post(LIST, choose(account, confirmed=True)).status_code == 302
    assert not Account.objects.exists()
    assert Suppression.objects.exists()


@pytest.mark.parametrize("several", [True, False])
def test_a_deletion_that_fails_leaves_no_entry_in_the_logs(
    several: bool, staff: Client, account: Account
) -> None:
    """A receiver of the project fails for the last of the accounts."""
    other = Account.objects.create(name="z", from_address="z@example.com", host="z.example.com")

    def fail(instance: Account, **_options: Any) -> None:
        if not several or instance.name == "z":
            raise OperationalError("database is locked")

    chosen = [account, other] if several else [account]
    pre_delete.connect(fail, sender=Account)
    try:
        with pytest.raises(OperationalError):
            staff.post(LIST, choose(*chosen, confirmed=True))
    finally:
        pre_delete.disconnect(fail, sender=Account)
    assert Account.objects.count() == 2
    assert not AuditEntry.objects.filter(action="account_removed").exists()
    assert not LogEntry.objects.exists()
