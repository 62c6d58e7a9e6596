"""The owner of an account sees, adds and removes its suppressed addresses."""

import pytest
from django.test import Client

from outbox import api
from outbox.models import Account, Message, State, Suppression
from outbox.models.suppression import forget, name_of
from outbox.web.compose.send_warnings import warnings_for
from tests.integration.web.conftest import signed_in, staff_member
from tests.states import set_state

UNKNOWN = "5.1.1 <jane@example.com>: No such user"


@pytest.fixture(autouse=True)
def _read_again() -> None:
    forget("default")


@pytest.fixture
def failed(mail: Message) -> Message:
    """Jane's server rejected her address, and Joe's the content."""
    jane, joe = mail.recipients.order_by("pk")
    rows = mail.recipients.filter
    set_state(
        rows(pk=jane.pk),
        State.FAILED,
        reply_code=550,
        reply_enhanced="5.1.1",
        reply_text=UNKNOWN,
    )
    set_state(
        rows(pk=joe.pk),
        State.FAILED,
        reply_code=554,
        reply_enhanced="5.7.1",
        reply_text="5.7.1 Message rejected as spam",
    )
    return mail


def list_of(account: Account) -> str:
    return f"/accounts/{account.pk}/suppressed/"


def test_the_owner_adds_and_removes_an_address(as_anna: Client, account: Account) -> None:
    page = as_anna.post(list_of(account), {"address": "jane@example.com"}, follow=True)
    entry = Suppression.objects.get()
    assert (entry.account, name_of(entry.reason)) == (account, "manual")
    assert "jane@example.com" in page.content.decode()
    assert "Suppression list" in as_anna.get(f"/accounts/{account.pk}/").content.decode()
    page = as_anna.post(f"{list_of(account)}{entry.pk}/remove/", follow=True)
    assert not Suppression.objects.exists()
    assert "No address is suppressed" in page.content.decode()


def test_a_mistake_in_the_address_is_reported(as_anna: Client, account: Account) -> None:
    page = as_anna.post(list_of(account), {"address": "jane"}, follow=True).content.decode()
    assert "“jane” has no @" in page
    assert not Suppression.objects.exists()


def test_a_user_of_a_shared_account_does_not_see_its_list(as_ben: Client, account: Account) -> None:
    entry = api.suppress("jane@example.com", account=account)
    assert as_ben.get(list_of(account)).status_code == 404
    assert as_ben.post(list_of(account), {"address": "x@example.com"}).status_code == 404
    assert as_ben.post(f"{list_of(account)}{entry.pk}/remove/").status_code == 404
    assert Suppression.objects.count() == 1


def test_an_entry_of_the_site_is_not_removed_with_an_account(
    as_anna: Client, account: Account
) -> None:
    entry = api.suppress("jane@example.com")
    assert as_anna.post(f"{list_of(account)}{entry.pk}/remove/").status_code == 404


def test_only_a_failure_of_the_recipient_offers_to_suppress(
    as_anna: Client, failed: Message, account: Account
) -> None:
    jane, joe = failed.recipients.order_by("pk")
    page = as_anna.get(f"/messages/{failed.pk}/").content.decode()
    address = f"/messages/{failed.pk}/suppress/{jane.pk}/"
    assert page.count("Suppress this address") == 1
    assert address in page
    assert as_anna.post(f"/messages/{failed.pk}/suppress/{joe.pk}/").status_code == 404
    assert "No such user" in as_anna.get(address).content.decode()
    as_anna.post(address)
    entry = Suppression.objects.get()
    assert (entry.address, entry.account, name_of(entry.reason)) == (
        "jane@example.com",
        account,
        "bounced",
    )
    assert entry.evidence == f"550 {UNKNOWN}"
    assert "Suppress this address" not in as_anna.get(f"/messages/{failed.pk}/").content.decode()


def test_staff_need_the_permission_to_suppress(failed: Message) -> None:
    jane = failed.recipients.order_by("pk")[0]
    address = f"/messages/{failed.pk}/suppress/{jane.pk}/"
    viewer = signed_in(staff_member("view_message", name="viewer"))
    assert viewer.post(address).status_code == 403
    assert "Suppress this address" not in viewer.get(f"/messages/{failed.pk}/").content.decode()
    operator = signed_in(staff_member("view_message", "add_suppression", name="operator"))
    assert operator.post(address).status_code == 302
    assert Suppression.objects.get().address == "jane@example.com"


def test_a_suppressed_recipient_causes_a_warning_before_sending(
    account: Account, draft: Message
) -> None:
    api.suppress("JANE@example.com", account=account, reason="unsubscribed")
    warnings = [one for one in warnings_for(draft) if one.key.startswith("suppressed")]
    assert [(one.text, one.detail) for one in warnings] == [
        (
            "jane@example.com is on the suppression list. Delivery to it will be held.",
            "The recipient wants no further messages.",
        )
    ]


def test_a_handle_names_the_suppressed_recipients(account: Account) -> None:
    api.suppress("jane@example.com", account=account)
    handle = api.send(to=["Jane@example.com", "joe@example.com"], text="Hello", account=account)
    assert handle.suppressed == ("Jane@example.com",)
