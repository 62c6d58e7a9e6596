"""The reports and replies on the page of a message, and the buttons that correct a bounce."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.api.received import RECEIVED_ACTIONS, change_received
from outbox.inbound.applying import apply_reports
from outbox.models import (
    Account,
    AuditEntry,
    EventKind,
    InboundMessage,
    InboundReport,
    Message,
    ReportRequest,
    State,
    Suppression,
)
from outbox.web.messages.reports import received_url
from tests.integration.inbound.returned import (
    BOB,
    FULL,
    account,
    attempt,
    bounce,
    receive,
    report_of,
    sent,
    states,
)
from tests.integration.web.conftest import signed_in, staff_member
from tests.states import set_state


@pytest.fixture
def sender(anna: User) -> Account:
    return account(owner=anna, suppress_bounces=True)


@pytest.fixture
def message(sender: Account) -> Message:
    return sent(sender)


def bounced(message: Message, **fields: Any) -> InboundReport:
    assert message.account is not None
    return report_of(receive(message.account, bounce(message_id=message.message_id, **fields)))


def page_of(client: Client, message: Message) -> str:
    response = client.get(reverse("outbox:message", args=[message.pk]))
    assert response.status_code == 200
    return response.content.decode()


def correct(client: Client, message: Message, report: InboundReport, decision: str) -> int:
    url = reverse("outbox:correct-report", args=[message.pk, report.pk])
    return client.post(url, {"decision": decision}).status_code


def test_a_bounce_is_shown_with_its_rule(as_anna: Client, message: Message) -> None:
    report = bounced(message)
    page = page_of(as_anna, message)
    assert "User unknown" in page
    assert report.rule in page
    assert "matched by: Message-ID" in page
    assert "hard bounce" in page
    assert "250" in page  # the reply at acceptance
    assert "could not be delivered" in page


def test_a_page_without_reports_has_no_section(as_anna: Client, message: Message) -> None:
    assert "Reports" not in page_of(as_anna, message)


def test_a_hostile_report_is_escaped(as_anna: Client, message: Message) -> None:
    bounced(message, diagnostic="550 5.1.1 <script>alert(1)</script> \u202eunknown")
    page = page_of(as_anna, message)
    assert "<script>alert" not in page
    assert "\u202eunknown" not in page


def test_not_a_bounce_restores_the_state(as_anna: Client, message: Message) -> None:
    report = bounced(message)
    assert states(message) == {BOB: State.BOUNCED}
    assert Suppression.objects.count() == 1
    assert correct(as_anna, message, report, "not_this") == 302
    assert states(message) == {BOB: State.SENT}
    message.refresh_from_db()
    assert (message.status, message.failed_count) == ("sent", 0)
    event = message.events.get(kind=EventKind.BOUNCE_CORRECTED)
    assert (event.actor.get_username() if event.actor else "") == "anna"
    assert not Suppression.objects.exists()
    report.refresh_from_db()
    assert (report.recipient, report.is_applied) == (None, False)
    assert "Reports" not in page_of(as_anna, message)


def test_a_bounce_that_followed_uncertain_restores_uncertain(
    as_anna: Client, message: Message
) -> None:
    message.recipients.all().delete()
    message.recipients.create(address=BOB)
    set_state(message.recipients.all(), State.UNCERTAIN)
    report = bounced(message)
    correct(as_anna, message, report, "not_this")
    assert states(message) == {BOB: State.UNCERTAIN}


@pytest.mark.parametrize("has_content", [True, False])
def test_the_policy_sends_again_after_the_correction(
    as_anna: Client, message: Message, *, has_content: bool
) -> None:
    Message.objects.filter(pk=message.pk).update(on_uncertain="resend")
    set_state(message.recipients.all(), State.UNCERTAIN, final_at=None)
    report = bounced(message)
    assert message.recipients.get().resend_at is None
    if not has_content:
        message.source.delete()
    correct(as_anna, message, report, "not_this")
    recipient = message.recipients.get()
    assert (recipient.state, recipient.resend_at is not None) == (State.UNCERTAIN, has_content)
    assert ("cannot be sent again" in str(recipient.reason)) == (not has_content)


def test_a_complaint_about_another_message_is_corrected(as_anna: Client, message: Message) -> None:
    report = InboundReport.objects.create(
        recipient=message.recipients.get(),
        matched_by="signal",
        kind="complaint",
        address=BOB,
        provider="Amazon SES",
        at=message.created_at,
    )
    with transaction.atomic():
        apply_reports([report], "default")
    entry = Suppression.objects.get()
    assert (entry.report_key, entry.reason.code) == (report.pk, "suppressed_complained")
    assert "Not about this message" in page_of(as_anna, message)
    assert correct(as_anna, message, report, "hard") == 302
    assert states(message) == {BOB: State.SENT}
    assert correct(as_anna, message, report, "not_this") == 302
    assert states(message) == {BOB: State.SENT}
    assert not Suppression.objects.exists()


def test_an_entry_that_another_report_led_to_stays(
    as_anna: Client, message: Message, sender: Account
) -> None:
    first, second = bounced(message), sent(sender)
    report = bounced(second)  # with the same text
    assert Suppression.objects.get().report_key == first.pk
    correct(as_anna, second, report, "not_this")
    assert Suppression.objects.count() == 1


@pytest.mark.parametrize("may", [True, False])
def test_the_suppression_list_changes_only_for_a_user_who_may_change_it(
    message: Message, *, may: bool
) -> None:
    permissions = ["view_message", "change_message", "view_all_accounts"]
    staff = signed_in(staff_member(*permissions, *(["add_suppression"] if may else [])))
    report = bounced(message)
    assert Suppression.objects.count() == 1
    assert correct(staff, message, report, "soft") == 302
    assert Suppression.objects.exists() == (not may)
    Suppression.objects.all().delete()
    earlier = AuditEntry.objects.count()
    correct(staff, message, report, "hard")
    assert Suppression.objects.exists() == may
    names = list(AuditEntry.objects.order_by("pk").values_list("actor_name")[earlier:])
    assert len(names) == may
    assert all(name for (name,) in names)


def test_one_of_two_bounces_is_corrected(as_anna: Client, message: Message) -> None:
    first, second = bounced(message), bounced(message)
    correct(as_anna, message, first, "not_this")
    assert states(message) == {BOB: State.BOUNCED}
    correct(as_anna, message, second, "not_this")
    assert states(message) == {BOB: State.SENT}


def test_two_bounces_in_the_second_of_the_attempt(as_anna: Client, message: Message) -> None:
    first, second = bounced(message), bounced(message)
    second_of_attempt = first.at.replace(microsecond=0)
    message.recipients.update(last_attempt_at=second_of_attempt.replace(microsecond=900_000))
    InboundReport.objects.update(at=second_of_attempt)
    correct(as_anna, message, first, "not_this")
    assert states(message) == {BOB: State.BOUNCED}
    correct(as_anna, message, second, "not_this")
    assert states(message) == {BOB: State.SENT}


def test_the_bounce_of_an_earlier_attempt_does_not_keep_the_state(
    as_anna: Client, message: Message
) -> None:
    first = bounced(message)
    api.retry(message)
    attempt(message, State.SENT)
    InboundReport.objects.filter(pk=first.pk).update(at=first.at.replace(year=first.at.year - 1))
    second = bounced(message)
    correct(as_anna, message, second, "not_this")
    assert states(message) == {BOB: State.SENT}


def test_a_hard_bounce_is_marked_as_soft(as_anna: Client, message: Message) -> None:
    report = bounced(message)
    assert correct(as_anna, message, report, "soft") == 302
    report.refresh_from_db()
    assert (report.effect, report.rule) == ("soft", "user")
    assert states(message) == {BOB: State.BOUNCED}
    assert not Suppression.objects.exists()


def test_a_soft_bounce_is_marked_as_hard(as_anna: Client, message: Message) -> None:
    report = bounced(message, diagnostic=FULL, status="5.2.2")
    assert not Suppression.objects.exists()
    correct(as_anna, message, report, "hard")
    assert Suppression.objects.get().address == BOB


def test_a_bounce_that_only_the_address_matches_is_applied(
    as_anna: Client, message: Message
) -> None:
    assert message.account is not None
    report = report_of(receive(message.account, bounce(message_id="unknown@elsewhere.example")))
    assert "changed nothing" in page_of(as_anna, message)
    correct(as_anna, message, report, "hard")
    assert states(message) == {BOB: State.BOUNCED}
    report.refresh_from_db()
    assert (report.matched_by, report.is_applied) == ("person", True)


def test_a_bounce_of_another_address_is_applied_to_the_only_recipient(
    as_anna: Client, message: Message
) -> None:
    report = bounced(message, about="robert@home.example")
    assert report.recipient is None
    assert "no recipient found" in page_of(as_anna, message)
    correct(as_anna, message, report, "soft")
    assert states(message) == {BOB: State.BOUNCED}


def test_only_a_user_who_may_change_the_message_corrects_it(
    as_anna: Client, as_ben: Client, message: Message
) -> None:
    report = bounced(message)
    url = reverse("outbox:correct-report", args=[message.pk, report.pk])
    assert as_ben.post(url, {"decision": "not_this"}).status_code == 404
    viewer = signed_in(staff_member("view_message", "view_all_accounts"))
    assert viewer.post(url, {"decision": "not_this"}).status_code in {403, 404}
    assert as_anna.get(url).status_code == 405
    assert as_anna.post(url, {"decision": "other"}).status_code == 404
    assert states(message) == {BOB: State.BOUNCED}


def test_a_report_on_another_message_is_not_corrected(
    as_anna: Client, message: Message, sender: Account
) -> None:
    other = sent(account(owner=get_user_model().objects.create_user("eve"), name="eve"))
    report = bounced(other)
    correct(as_anna, message, report, "not_this")
    assert states(other) == {BOB: State.BOUNCED}


def test_replies_are_listed(as_anna: Client, message: Message) -> None:
    assert message.account is not None
    reply = receive(
        message.account,
        f"From: bob@example.net\r\nIn-Reply-To: <{message.message_id}>\r\n\r\nYes".encode(),
    )
    reply.subject, reply.from_header = "Re: Hello", "Bob <bob@example.net>"
    reply.save()
    page = page_of(as_anna, message)
    assert "Re: Hello" in page
    assert "Bob &lt;bob@example.net&gt;" in page
    InboundMessage.objects.update(owner=get_user_model().objects.create_user("eve"))
    assert "Re: Hello" not in page_of(as_anna, message)


def test_a_message_without_a_page_has_no_link(as_anna: Client, message: Message) -> None:
    """The link leads to the inbox, if the site has one."""
    report = bounced(message)
    assert report.message is not None
    url = received_url(report.message.pk, is_own=True)
    assert (f'href="{url}"' in page_of(as_anna, message)) == bool(url)
    InboundMessage.objects.update(owner=get_user_model().objects.create_user("eve"))
    assert "Open the report" not in page_of(as_anna, message)


def test_the_links_of_staff_lead_to_the_admin(message: Message) -> None:
    report = bounced(message)
    assert message.account is not None
    source = f"From: bob@example.net\r\nIn-Reply-To: <{message.message_id}>\r\n\r\nYes"
    reply = receive(message.account, source.encode())
    staff = signed_in(staff_member("view_message", "view_all_accounts"))
    page = page_of(staff, message)
    for pk in (report.message_id, reply.pk):
        assert f'href="{reverse("outbox:received", args=[pk])}"' not in page
        url = reverse("admin:outbox_inboundmessage_change", args=[pk])
        assert f'href="{url}"' in page
        assert staff.get(url).status_code == 200


def test_the_record_has_the_reports(as_anna: Client, message: Message) -> None:
    bounced(message)
    record = as_anna.get(reverse("outbox:record", args=[message.pk])).json()
    assert [one["matched_by"] for one in record["reports"]] == ["message_id"]


@pytest.mark.every_database
def test_a_report_outlives_its_message(
    anna: User, sender: Account, message: Message, as_anna: Client
) -> None:
    """It is the reason why the recipient is bounced, and it can still be corrected."""
    report = bounced(message)
    unknown = receive(sender, bounce(message_id="nothing@example.org", about="x@example.net"))
    InboundMessage.objects.update(folder="trash")
    ids = list(InboundMessage.objects.values_list("pk", flat=True))
    assert change_received(RECEIVED_ACTIONS["delete"], ids, actor=anna) == 2
    assert not InboundMessage.objects.exists()
    assert not InboundReport.objects.filter(recipient=None).exists(), unknown.pk
    page = page_of(as_anna, message)
    assert "User unknown" in page
    assert "Open the report" not in page
    assert correct(as_anna, message, report, "not_this") == 302
    assert states(message) == {BOB: State.SENT}


# --- receipts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "shown"), [("delivered", "Report: delivered"), ("relayed", "Report: relayed")]
)
def test_a_report_of_success_is_shown_beside_the_recipient(
    as_anna: Client, message: Message, action: str, shown: str
) -> None:
    assert shown not in page_of(as_anna, message)
    bounced(message, action=action, status="2.0.0", diagnostic="250 2.0.0 Ok")
    page = page_of(as_anna, message)
    row = page[page.index('<table class="recipients">') : page.index("</table>")]
    assert shown in row
    assert states(message) == {BOB: State.SENT}


def test_a_relayed_message_was_not_reported_as_delivered(message: Message) -> None:
    bounced(message, action="relayed", status="2.0.0", diagnostic="250 2.0.0 Ok")
    [event] = message.events.filter(kind=EventKind.REPORTED)
    assert "no further reports" in str(event.reason)


@pytest.mark.parametrize(
    ("notify", "shown"),
    [("success,failure,delay", "on delivery, on failure, on delay"), ("failure", "on failure")],
)
def test_the_page_shows_which_reports_were_requested(
    as_anna: Client, message: Message, notify: str, shown: str
) -> None:
    assert "Delivery reports" not in page_of(as_anna, message)
    Message.objects.update(wants_report=True)
    ReportRequest.objects.create(message=message, notify=notify)
    assert f"<dt>Delivery reports</dt><dd>{shown}</dd>" in page_of(as_anna, message)
