"""The site's own delivery reports: what is reported, to which address, and how often."""

import datetime as dt
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connections
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.api import delivery_reports
from outbox.api.delivery_reports import send_reports
from outbox.api.failures import report_failures
from outbox.api.operations.unexplained import unexplained_bounces
from outbox.api.periodic import run_periodic_work
from outbox.api.quotas import check_storage, queued_in_last_hour
from outbox.db.clock import database_now
from outbox.delivery import process
from outbox.delivery.sweep import sweep
from outbox.exceptions import InvalidMessageError
from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import Action, MessageKind
from outbox.models import (
    Account,
    Circuit,
    Destination,
    DomainSite,
    Event,
    EventKind,
    FailureDigest,
    InboundReport,
    Message,
    Origin,
    Preferences,
    Quota,
    Recipient,
    ReportRequest,
    Source,
    State,
    Suppression,
)
from outbox.models.account import Route
from outbox.models.return_path import token_of
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    USING,
    account,
    account_at,
    deliver,
    destination,
    last_attempt,
    queue,
    row,
    states,
)
from tests.integration.inbound.returned import receive
from tests.states import set_state

pytestmark = pytest.mark.django_db(transaction=True)

REFUSING = "at rcpt: 550 5.1.1 no such user"
HOUR = dt.timedelta(hours=1)
ALL = ("success", "failure", "delay")


def reports() -> list[Message]:
    return list(Message.objects.filter(origin=Origin.REPORT).order_by("pk"))


def parsed(report: Message) -> Any:
    return message_from_bytes(report.source.read(), policy=policy.default)


def blocks(report: Message) -> list[dict[str, str]]:
    """Return the fields of the message and of each recipient."""
    [status] = [one for one in parsed(report).walk() if one["Content-Type"] == STATUS_TYPE]
    return [{name: str(value) for name, value in block.items()} for block in status.get_payload()]


STATUS_TYPE = "message/delivery-status"


def text_of(report: Message) -> str:
    return str(parsed(report).get_payload()[0].get_content())


def make_due() -> None:
    """Look at all requests again, as later sweeps do."""
    ReportRequest.objects.update(due_at=database_now(USING) - dt.timedelta(seconds=1))


def make_older(message: Message, by: dt.timedelta) -> None:
    """Move the message into the past, with everything that waits."""
    message.refresh_from_db()
    assert message.queued_at
    assert message.expires_at
    Message.objects.filter(pk=message.pk).update(
        queued_at=message.queued_at - by,
        created_at=message.created_at - by,
        expires_at=message.expires_at - by,
    )
    Recipient.objects.filter(message=message).update(expires_at=message.expires_at - by)
    make_due()


# --- success --------------------------------------------------------------------------------------


def test_a_server_without_dsn_makes_the_site_report_that_the_message_was_relayed(
    fault_lab: StartLab,
) -> None:
    message = queue(account_at(fault_lab("offer PIPELINING")), BOB, wants_report=True)
    deliver()
    assert send_reports(USING) == 1
    [report] = reports()
    assert [one.address for one in report.recipients.all()] == ["alice@example.org"]
    assert report.envelope_sender == ""
    mail = parsed(report)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    about, recipient = blocks(report)
    assert about["Reporting-MTA"].startswith("dns; ")
    assert about["Original-Envelope-Id"] == token_of(message.pk, 0)
    assert "Arrival-Date" in about
    assert recipient["Original-Recipient"] == f"rfc822; {BOB}"
    assert recipient["Final-Recipient"] == f"rfc822; {BOB}"
    assert recipient["Action"] == "relayed"
    assert recipient["Status"] == "2.0.0"
    assert recipient["Remote-MTA"] == "dns; 127.0.0.1"
    assert recipient["Diagnostic-Code"].startswith("smtp; 250")
    assert "Last-Attempt-Date" in recipient
    assert "Will-Retry-Until" not in recipient


def test_a_server_with_dsn_makes_no_report_of_the_site(fault_lab: StartLab) -> None:
    message = queue(account_at(fault_lab("offer PIPELINING, DSN")), BOB, wants_report=True)
    deliver()
    assert send_reports(USING) == 0
    assert states(message) == [State.SENT]
    assert ReportRequest.objects.get().due_at is None


def test_a_server_that_rejects_the_parameters_makes_the_site_report(fault_lab: StartLab) -> None:
    lab = fault_lab("offer DSN\non connection 1: at mail of message 1: 555 5.5.4 unknown parameter")
    message = queue(account_at(lab), BOB, wants_report=True)
    deliver()
    assert states(message) == [State.SENT]
    assert send_reports(USING) == 1


@pytest.mark.parametrize("options", [{}, {"notify": ["failure"]}, {"notify": ["never"]}])
def test_success_is_reported_only_on_request(fault_lab: StartLab, options: dict[str, Any]) -> None:
    queue(account_at(fault_lab("")), BOB, **options)
    deliver()
    make_due()
    assert send_reports(USING) == 0
    assert reports() == []


# --- failure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", ["offer PIPELINING", "offer PIPELINING, DSN"])
def test_a_rejected_recipient_is_reported_once(fault_lab: StartLab, offer: str) -> None:
    """A server with DSN reports only what it accepted."""
    message = queue(account_at(fault_lab(f"{offer}\n{REFUSING}")), BOB, notify=["failure"])
    deliver()
    assert states(message) == [State.FAILED]
    assert send_reports(USING) == 1
    [report] = reports()
    recipient = blocks(report)[1]
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    make_due()
    assert send_reports(USING) == 0
    api.retry(message)
    deliver()
    assert states(message) == [State.FAILED]
    make_due()
    assert send_reports(USING) == 1  # a failure after a retry is a new one
    make_due()
    assert send_reports(USING) == 0
    assert len(reports()) == 2


def test_a_retry_makes_a_message_due_that_is_looked_at_later() -> None:
    """A look that began before the retry must not write over it."""
    message = queue(account(), BOB, "ann@example.net", notify=["failure"])
    set_state(message.recipients.filter(address=BOB), State.FAILED)
    assert send_reports(USING) == 1
    request = ReportRequest.objects.get()
    assert request.reported == {"failed": [message.recipients.get(address=BOB).pk]}
    assert request.due_at is not None
    assert request.due_at > database_now(USING)
    api.retry(message)
    request.refresh_from_db()
    assert request.due_at <= database_now(USING)
    assert request.reported == {"failed": []}


def test_a_look_leaves_a_message_that_is_retried_in_between_to_the_next_one() -> None:
    message = queue(account(), BOB, notify=["failure"])
    set_state(message.recipients.all(), State.FAILED)
    is_retried = False

    def retry(execute: Any, sql: str, *values: Any) -> Any:
        nonlocal is_retried
        if not is_retried and 'FROM "outbox_destination"' in sql:
            is_retried = True
            api.retry(message)
        return execute(sql, *values)

    with connections[USING].execute_wrapper(retry):
        assert send_reports(USING) == 0
    assert is_retried
    assert states(message) == [State.QUEUED]
    due_at = ReportRequest.objects.get().due_at
    assert due_at is not None
    assert due_at <= database_now(USING)


def test_success_after_a_retry_is_reported_as_well(fault_lab: StartLab) -> None:
    lab = fault_lab("on connection 1: at rcpt: 550 5.1.1 no such user")
    message = queue(account_at(lab), BOB, wants_report=True)
    deliver()
    assert send_reports(USING) == 1
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT]
    assert send_reports(USING) == 1
    assert [blocks(one)[1]["Action"] for one in reports()] == ["failed", "relayed"]


def test_an_expired_message_makes_one_report() -> None:
    message = queue(account(), BOB, notify=["failure"])
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    assert states(message) == [State.EXPIRED]
    assert send_reports(USING) == 1
    make_due()
    assert send_reports(USING) == 0
    [report] = reports()
    recipient = blocks(report)[1]
    assert (recipient["Action"], recipient["Status"]) == ("failed", "4.4.7")
    assert recipient["Diagnostic-Code"].startswith("x-outbox; ")


def test_recipients_of_one_message_share_a_report(fault_lab: StartLab) -> None:
    lab = fault_lab("offer PIPELINING\nat rcpt <bob@example.net>: 550 5.1.1 no such user")
    message = queue(account_at(lab), BOB, "ann@example.net", "carl@example.net", notify=ALL)
    deliver()
    assert send_reports(USING) == 2
    by_action = {blocks(one)[1]["Action"]: blocks(one)[1:] for one in reports()}
    assert [one["Final-Recipient"] for one in by_action["failed"]] == [f"rfc822; {BOB}"]
    assert len(by_action["relayed"]) == 2
    assert message.recipients.count() == 3


def test_two_sweeps_at_once_report_once() -> None:
    message = queue(account(), BOB, notify=["failure"])
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    request = ReportRequest.objects.get()
    request.reported = {"failed": [message.recipients.get().pk]}
    request.save()
    make_due()
    assert send_reports(USING) == 0


# --- delay ----------------------------------------------------------------------------------------


def test_a_delay_is_reported_after_four_hours_and_after_a_day() -> None:
    message = queue(account(), BOB, notify=["delay"])
    queued = []
    for hours in (1, 2.9, 0.2, 3, 16, 1, 24):
        make_older(message, hours * HOUR)
        queued.append(send_reports(USING))
    assert queued == [0, 0, 1, 0, 0, 1, 0]
    recipients = [blocks(one)[1] for one in reports()]
    assert [one["Action"] for one in recipients] == ["delayed", "delayed"]
    assert {one["Status"][0] for one in recipients} == {"4"}
    assert "Will-Retry-Until" in recipients[0]


def test_a_sweep_that_was_late_reports_one_delay() -> None:
    message = queue(account(), BOB, notify=["delay"])
    make_older(message, 30 * HOUR)
    assert send_reports(USING) == 1
    make_due()
    assert send_reports(USING) == 0


def test_only_the_times_of_delays_are_looked_at_if_no_other_report_is_requested() -> None:
    message = queue(account(), BOB, notify=["delay"])
    assert send_reports(USING) == 0
    message.refresh_from_db()
    assert message.queued_at
    assert ReportRequest.objects.get().due_at == message.queued_at + 4 * HOUR
    make_older(message, 25 * HOUR)
    assert send_reports(USING) == 1
    assert ReportRequest.objects.get().due_at is None


def test_a_message_that_waits_for_a_person_is_looked_at_seldom() -> None:
    message = queue(account(), BOB, wants_report=True)
    api.hold(message)
    make_older(message, 48 * HOUR)
    assert send_reports(USING) == 0
    due_at = ReportRequest.objects.get().due_at
    assert due_at is not None
    assert due_at > database_now(USING) + HOUR / 2


def test_a_look_reads_few_columns_of_recipients_that_are_not_reported() -> None:
    queue(account(), *(f"bob{number}@example.net" for number in range(20)), notify=["failure"])
    with CaptureQueriesContext(connections[USING]) as found:
        assert send_reports(USING) == 0
    assert not any('"outbox_recipient"."reply_text"' in one["sql"] for one in found)


def test_a_sweep_ends_after_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_reports, "_SECONDS", -1.0)
    message = queue(account(), BOB, notify=["failure"])
    set_state(message.recipients.all(), State.FAILED)
    assert send_reports(USING) == 0
    assert ReportRequest.objects.filter(due_at__lte=database_now(USING)).exists()


def test_the_settings_decide_when_a_delay_is_reported(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"FIRST_DELAY_REPORT": 60, "SECOND_DELAY_REPORT": 0}
    message = queue(account(), BOB, notify=["delay"])
    make_older(message, HOUR)
    assert send_reports(USING) == 1
    make_older(message, 48 * HOUR)
    assert send_reports(USING) == 0


def test_a_message_on_hold_is_not_delayed() -> None:
    message = queue(account(), BOB, notify=["delay"])
    api.hold(message)
    make_older(message, 5 * HOUR)
    assert send_reports(USING) == 0
    api.release(message)
    make_due()
    assert send_reports(USING) == 1


def test_a_waiting_message_is_looked_at_again_when_a_delay_is_due() -> None:
    message = queue(account(), BOB, notify=["delay"])
    make_older(message, 4 * HOUR - dt.timedelta(seconds=30))
    assert send_reports(USING) == 0
    due_at = ReportRequest.objects.get().due_at
    assert due_at is not None
    assert due_at <= database_now(USING) + dt.timedelta(seconds=30)


# --- what is never reported -----------------------------------------------------------------------


def test_the_null_sender_gets_no_report(fault_lab: StartLab) -> None:
    """Protocol item 113."""
    sender = account_at(fault_lab(REFUSING))
    queue(sender, BOB, envelope_sender="", wants_report=True)
    deliver()
    assert send_reports(USING) == 0
    assert ReportRequest.objects.get().due_at is None


def test_a_sender_without_a_domain_gets_no_report() -> None:
    message = queue(account(), BOB, wants_report=True)
    Message.objects.update(envelope_sender="root")
    set_state(message.recipients.all(), State.FAILED)
    assert send_reports(USING) == 0
    assert ReportRequest.objects.get().due_at is None


def test_a_report_that_fails_makes_no_report(fault_lab: StartLab) -> None:
    queue(account_at(fault_lab(REFUSING)), BOB, wants_report=True)
    deliver()
    assert send_reports(USING) == 1
    deliver()
    [report] = reports()
    assert states(report) == [State.FAILED]
    make_due()
    assert send_reports(USING) == 0
    assert len(reports()) == 1


def test_a_cancelled_message_makes_no_report() -> None:
    message = queue(account(), BOB, wants_report=True)
    api.cancel(message)
    assert send_reports(USING) == 0
    assert ReportRequest.objects.get().due_at is None


def test_an_uncertain_recipient_is_reported_when_a_person_decides() -> None:
    message = queue(account(), BOB, wants_report=True)
    set_state(Recipient.objects.filter(message=message), State.UNCERTAIN)
    assert send_reports(USING) == 0
    api.resolve_uncertain(message, State.FAILED)
    make_due()
    assert send_reports(USING) == 1


# --- what a report returns ------------------------------------------------------------------------


def failed(**options: Any) -> Message:
    """Queue a message that expires, and its report; return the report."""
    queue(options.pop("sender", None) or account(), BOB, notify=["failure"], **options)
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    assert send_reports(USING) == 1
    return reports()[-1]


def test_it_returns_the_header_unless_the_message_is_wanted() -> None:
    returned = parsed(failed()).get_payload()[2]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "From: alice@example.org" in returned.get_content()
    assert "0123456789abcdef" not in returned.get_content()


def test_it_returns_the_whole_message_on_request() -> None:
    returned = parsed(failed(ret="full")).get_payload()[2]
    assert returned.get_content_type() == "message/rfc822"
    assert "0123456789abcdef" in returned.get_content().get_content()


def test_another_account_returns_the_header_only() -> None:
    """Its staff may read what it sends, but not this message."""
    broken = account()
    Destination.objects.filter(pk=destination(broken).pk).update(circuit_needs_person=True)
    other = account(26, is_app_default=True)
    report = failed(sender=broken, ret="full")
    assert report.account == other
    assert parsed(report).get_payload()[2].get_content_type() == "text/rfc822-headers"
    assert "0123456789abcdef" not in report.source.read().decode()


def test_a_message_whose_file_is_missing_is_reported_with_what_is_known(
    settings: LazySettings,
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    message = queue(account(), BOB, notify=["failure"], ret="full")
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 1_000_000}
    source = Source.objects.get(pk=message.pk)
    source.file.storage.delete(str(source.file.name))
    set_state(message.recipients.all(), State.FAILED)
    assert send_reports(USING) == 1
    assert "Message-ID" in parsed(reports()[0]).get_payload()[2].get_content()


def test_a_report_of_a_delay_returns_the_header_only() -> None:
    """RFC 3461 4.3: RET is about failures."""
    message = queue(account(), BOB, notify=["delay"], ret="full")
    make_older(message, 5 * HOUR)
    assert send_reports(USING) == 1
    assert parsed(reports()[0]).get_payload()[2].get_content_type() == "text/rfc822-headers"


def test_it_returns_an_8bit_message_in_7_bits() -> None:
    source = (
        b"From: alice@example.org\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    )
    report = failed(ret="full", source=source)
    assert report.source.read().isascii()
    returned = parsed(report).get_payload()[2]
    assert returned.get_content().get_content().strip() == "Grüße"


def test_a_header_outside_ascii_is_encoded() -> None:
    source = "From: alice@example.org\r\nSubject: Grüße\r\n\r\nHallo\r\n".encode()
    report = failed(ret="full", source=source)
    assert report.source.read().isascii()
    returned = parsed(report).get_payload()[2]
    assert returned.get_content_type() == "message/global-headers"


def test_of_a_sensitive_message_no_content_is_returned(fault_lab: StartLab) -> None:
    source = (
        b"Message-ID: <1@example.org>\r\nFrom: alice@example.org\r\nSubject: Code 471108\r\n\r\n"
        b"Your code is 471108.\r\n"
    )
    lab = fault_lab("at dot: 550 5.7.1 rejected: Code 471108")
    sender = account_at(lab)
    message = queue(sender, BOB, source=source, sensitive=True, wants_report=True, ret="full")
    deliver()
    assert states(message) == [State.FAILED]
    assert send_reports(USING) == 1
    [report] = reports()
    raw = report.source.read()
    assert b"471108" not in raw
    assert b"Message-ID: <1@example.org>" in raw
    assert blocks(report)[1]["Diagnostic-Code"] == "smtp; 550 5.7.1"


def test_of_a_sensitive_message_that_waits_nothing_is_returned_either() -> None:
    """Its content still exists then."""
    source = b"From: alice@example.org\r\nSubject: Code 471108\r\n\r\nYour code is 471108.\r\n"
    message = queue(account(), BOB, source=source, sensitive=True, notify=["delay"])
    make_older(message, 5 * HOUR)
    assert send_reports(USING) == 1
    assert b"471108" not in reports()[0].source.read()


def test_a_server_with_dsn_is_asked_for_the_header_of_a_sensitive_message(
    fault_lab: StartLab,
) -> None:
    sender = account_at(fault_lab("offer DSN"))
    message = queue(sender, BOB, sensitive=True, wants_report=True, ret="full")
    deliver()
    said = "\n".join(str(line[2]) for line in last_attempt(message).transfer_lines)
    assert "RET=HDRS" in said
    assert states(message) == [State.SENT]


# --- the request ----------------------------------------------------------------------------------


def test_all_parameters_are_passed_on(fault_lab: StartLab) -> None:
    lab = fault_lab("offer DSN")
    sender = account_at(lab)
    handle = api.send(
        account=sender, to=BOB, subject="Hello", text="Hello",
        notify=["delay", "failure"], ret="full", envid="order 7",
    )  # fmt: skip
    deliver()
    message = handle.message()
    said = "\n".join(str(line[2]) for line in last_attempt(message).transfer_lines)
    assert "RET=FULL ENVID=order+207" in said
    assert "NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob@example.net" in said
    assert lab.ledger.violations == []
    assert message.wants_report


def test_never_is_passed_on(fault_lab: StartLab) -> None:
    message = queue(account_at(fault_lab("offer DSN")), BOB, notify=["never"])
    deliver()
    said = "\n".join(str(line[2]) for line in last_attempt(message).transfer_lines)
    assert "NOTIFY=NEVER" in said
    message.refresh_from_db()
    assert not message.wants_report


def test_the_report_repeats_the_sender_s_envelope_id() -> None:
    assert blocks(failed(envid="order 7"))[0]["Original-Envelope-Id"] == "order 7"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("notify", ["never", "success"]),
        ("notify", "sometimes"),
        ("notify", 5),
        ("ret", "all"),
        ("envid", "x" * 101),
        ("envid", "ü"),
        ("envid", "a\nb"),
    ],
)
def test_a_wrong_option_is_refused(field: str, value: object) -> None:
    options: dict[str, Any] = {field: value}
    with pytest.raises(InvalidMessageError) as caught:
        api.send(account=account(), to=BOB, subject="Hello", text="Hello", **options)
    assert caught.value.field == field


def test_never_and_a_report_exclude_each_other() -> None:
    with pytest.raises(InvalidMessageError, match="not both"):
        api.send(account=account(), to=BOB, text="Hello", wants_report=True, notify="never")


def test_a_message_that_becomes_a_draft_again_loses_its_request() -> None:
    owner = User.objects.create_user("anna")
    sender = account(owner=owner)
    draft = api.save_draft(
        owner, api.DraftFields(account=sender, to=BOB, subject="Hello", wants_report=True)
    )
    message = api.send_draft(draft, actor=owner, undo_period=60)
    assert ReportRequest.objects.count() == 1
    api.take_back(message, actor=owner)
    assert ReportRequest.objects.count() == 0
    api.send_draft(draft, actor=owner)
    assert ReportRequest.objects.get().wanted == set(ALL)


# --- who gets it, and in which language -----------------------------------------------------------


def test_it_is_written_in_the_sender_s_language() -> None:
    anna = User.objects.create_user("anna", email="anna@example.com")
    Preferences.objects.create(user=anna, language="zh-hans", time_zone="Asia/Shanghai")
    report = failed(sender=account(owner=anna), owner=anna, subject="Figures")
    assert parsed(report)["Subject"] == "投递失败：Figures"
    assert "UTC+8" in text_of(report)
    assert report.owner == anna


def test_an_account_that_fails_is_not_used() -> None:
    broken = account()
    report_free = queue(broken, BOB, notify=["failure"])
    Destination.objects.filter(pk=destination(broken).pk).update(circuit_needs_person=True)
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    assert send_reports(USING) == 0
    later = ReportRequest.objects.get().due_at
    assert later is not None
    assert later > database_now(USING)
    working = account(26, is_app_default=True)
    make_due()
    assert send_reports(USING) == 1
    assert reports()[0].account == working
    assert states(report_free) == [State.EXPIRED]


def direct_account(**fields: Any) -> Account:
    return account(name="direct", route=Route.DIRECT, host="", **fields)


@pytest.mark.parametrize("blocked", ["example.org", "dead.test"])
def test_a_direct_account_is_asked_about_the_domain_of_the_addressee(blocked: str) -> None:
    sender = direct_account()
    message = queue(sender, BOB, notify=["failure"])
    for domain in ("example.org", "dead.test"):
        circuit = Circuit.OPEN if domain == blocked else Circuit.CLOSED
        site = Destination.objects.create(account=sender, key=f"mx:{domain}", circuit=circuit)
        DomainSite.objects.create(
            account=sender, domain=domain, destination=site, seen_at=database_now(USING)
        )
    set_state(message.recipients.all(), State.FAILED)
    assert send_reports(USING) == int(blocked == "dead.test")  # for alice@example.org


def test_a_report_needs_and_uses_no_quota(settings: LazySettings) -> None:
    anna = User.objects.create_user("anna", email="anna@example.com")
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGES_PER_HOUR": 1}
    failed(sender=account(owner=anna), owner=anna)
    assert queued_in_last_hour(anna.pk) == (1, 1)
    stored = Message.objects.exclude(origin=Origin.REPORT).get().size
    Quota.objects.create(user=anna, max_stored_bytes=stored)
    check_storage(anna.pk)


def test_one_failure_is_not_reported_twice_to_one_address(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"FAILURE_DIGEST_DELAY": 0}
    anna = User.objects.create_user("anna", email="alice@example.org")
    sender = account(owner=anna)
    account(26, owner=anna)
    failed(sender=sender, owner=anna)
    assert report_failures(USING) == 0
    assert FailureDigest.objects.count() == 0
    User.objects.update(email="anna@example.com")
    failed(sender=sender, owner=anna)
    report_failures(USING)
    assert FailureDigest.objects.count() == 1  # the digest goes to another address


def test_failures_are_collected_in_few_queries() -> None:
    """Their rows are locked until the transaction ends."""
    anna = User.objects.create_user("anna", email="alice@example.org")
    sender = account(owner=anna)

    def collect(number: int) -> int:
        for _ in range(number):
            queue(sender, BOB, owner=anna, notify=["failure"])
        Recipient.objects.filter(state=State.QUEUED).update(expires_at=database_now(USING) - HOUR)
        sweep(USING)
        with CaptureQueriesContext(connections[USING]) as found:
            assert report_failures(USING) == 0
        return len(found)

    assert collect(2) == collect(12)
    assert FailureDigest.objects.count() == 0


def test_periodic_work_sends_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "feed", lambda: None)  # no engine beside the test
    queue(account(), BOB, notify=["failure"])
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    run_periodic_work(USING)
    assert len(reports()) == 1


# --- other programs read them ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [BOB, "b+c=d@example.net", '"odd..one"@example.net', "jörg@example.net", "李@例子.cn"],
)
def test_our_own_reader_reads_a_failure(address: str) -> None:
    message = queue(account(), address, notify=["failure"])
    Recipient.objects.update(expires_at=database_now(USING) - HOUR)
    sweep(USING)
    assert send_reports(USING) == 1
    source = reports()[0].source.read()
    assert source.isascii()
    found = inspect(source)
    assert found.kind == MessageKind.BOUNCE
    [said] = found.recipients
    assert (said.address, said.action, said.status) == (address, Action.FAILED, "4.4.7")
    assert found.envelope_id == token_of(message.pk, 0)
    assert found.original_message_id == message.message_id


@pytest.mark.parametrize(
    ("state", "kind", "action"),
    [
        (State.SENT, MessageKind.RECEIPT, Action.RELAYED),
        (State.DEFERRED, MessageKind.DELAY, Action.DELAYED),
        (State.FAILED, MessageKind.BOUNCE, Action.FAILED),
    ],
)
def test_a_report_that_is_fetched_is_matched_and_changes_nothing(
    fault_lab: StartLab, state: State, kind: MessageKind, action: Action
) -> None:
    script = {
        State.SENT: "offer PIPELINING",
        State.DEFERRED: "at rcpt: 450 4.2.0 greylisted",
        State.FAILED: REFUSING,
    }[state]
    sender = account_at(fault_lab(script))
    message = queue(sender, BOB, wants_report=True)
    deliver()
    if state == State.DEFERRED:
        make_older(message, 5 * HOUR)
    assert send_reports(USING) == 1
    source = reports()[0].source.read()
    found = inspect(source)
    assert (found.kind, found.recipients[0].action) == (kind, action)
    receive(sender, source)
    stored = InboundReport.objects.get()
    assert stored.recipient == row(message)
    assert stored.action == action
    assert states(message) == [state]
    assert not Event.objects.filter(kind=EventKind.REPORTED).exists()
    assert not unexplained_bounces(database_now(USING) - HOUR)


def test_a_fetched_report_of_the_site_does_not_undo_a_later_success(fault_lab: StartLab) -> None:
    sender = account_at(fault_lab("on connection 1: at rcpt: 550 5.1.1 no such user"))
    message = queue(sender, BOB, notify=["failure"])
    deliver()
    assert send_reports(USING) == 1
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT]
    received = receive(sender, reports()[0].source.read())
    assert received.replies_to == message
    assert states(message) == [State.SENT]
    assert not InboundReport.objects.get().is_applied
    assert not Suppression.objects.exists()
