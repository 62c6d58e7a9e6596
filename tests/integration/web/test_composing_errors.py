"""Everything that keeps a message from being sent is displayed at its field, before any warning."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.models import Account, Message
from tests.integration.web.conftest import signed_in

ALL_WRONG = {
    "to": "jane, bob@example.org",
    "cc": "carl@",
    "bcc": "a@b@c",
    "reply_to": "Jane: Roe <jane@example.org>",
    "send_at": "2001-01-01T09:00",
    "importance": "17",
    "account": "0",
}


def described(page: str, field: str) -> str:
    """Return the error that the field's control is described by."""
    control = re.search(rf'<(?:input|textarea|select)[^>]*name="{field}"[^>]*>', page)
    assert control is not None
    assert 'aria-invalid="true"' in control[0]
    assert f"id_{field}_error" in control[0]
    error = re.search(
        rf'<p class="error" id="id_{field}_error" role="alert">(.*?)</p>', page, re.DOTALL
    )
    assert error is not None, field
    return error[1]


def test_every_field_is_checked_at_once(as_anna: Client) -> None:
    response = as_anna.post(reverse("outbox:compose"), ALL_WRONG | {"send": "1"})

    assert response.status_code == 422
    page = response.content.decode()
    assert set(response.context["form"].errors) == set(ALL_WRONG)
    assert "“jane” has no @" in described(page, "to")
    for field in ALL_WRONG:
        described(page, field)
    assert response.context["warnings"] is None


def test_without_a_recipient_that_is_said_before_any_warning(
    as_anna: Client, account: Account
) -> None:
    fields = {"account": account.pk, "text": "The plan is attached.", "send": "1"}
    response = as_anna.post(reverse("outbox:compose"), fields)

    assert "Enter at least one recipient." in described(response.content.decode(), "to")
    assert b"The subject is empty" not in response.content
    draft = Message.objects.get()
    fields |= {"bcc": "a@x.org", "version": draft.draft.version}
    response = as_anna.post(reverse("outbox:draft", args=[draft.pk]), fields)
    assert response.context["form"].errors == {}
    assert b"The subject is empty" in response.content


def test_schedule_without_a_time_sends_nothing(as_anna: Client, account: Account) -> None:
    fields = {"account": account.pk, "to": "a@x.org", "subject": "Hello", "text": "Hello"}
    response = as_anna.post(reverse("outbox:compose"), fields | {"send": "at"})

    assert "Enter a valid date and time." in described(response.content.decode(), "send_at")
    assert Message.objects.get().is_draft


def test_each_wrong_recipient_of_a_field_is_quoted(as_anna: Client, account: Account) -> None:
    fields = {"account": account.pk, "to": "jane; a@x.org.\r\nbob@example.org", "send": "1"}
    page = as_anna.post(reverse("outbox:compose"), fields).content.decode()

    error = described(page, "to")
    assert "“jane” has no @" in error
    assert "“a@x.org.” has a dot at its end" in error


def test_a_person_without_an_account_is_shown_at_the_field(ben: User) -> None:
    fields = {"to": "a@x.org", "subject": "Hello", "send": "1"}
    page = signed_in(ben).post(reverse("outbox:compose"), fields).content.decode()

    assert "Choose the account to send with." in described(page, "account")


@pytest.mark.parametrize(
    ("query", "begin"),
    [
        ("", "to"),
        ("?to=a@x.org", "subject"),
        ("?to=a@x.org&subject=Hi", "text"),
        ("?subject=Hi", "to"),
    ],
)
def test_the_page_opens_where_one_begins_to_write(
    as_anna: Client, account: Account, query: str, begin: str
) -> None:
    page = as_anna.get(reverse("outbox:compose") + query).content.decode()

    assert re.findall(r'<\w+[^>]* name="(\w+)"[^>]* autofocus', page) == [begin]


def test_from_shows_the_sender_that_recipients_see(as_anna: Client, account: Account) -> None:
    Account.objects.update(name="Local server", from_name="Admin")
    page = as_anna.get(reverse("outbox:compose")).content.decode()
    assert "Admin &lt;anna@example.com&gt;</option>" in page
    assert "Local server" not in page

    account.pk, account.name, account.from_name = None, "Backup", "Admin"
    account.save()
    page = as_anna.get(reverse("outbox:compose")).content.decode()
    assert "Admin &lt;anna@example.com&gt; (Local server)</option>" in page
    assert "Admin &lt;anna@example.com&gt; (Backup)</option>" in page
