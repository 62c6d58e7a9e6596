"""The format of the site's own delivery status notifications (RFC 3464, RFC 6533)."""

import datetime as dt
from email import message_from_bytes, policy
from typing import Any

import pytest

from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import Action, Inspection
from outbox.mail.addresses import parse_address
from outbox.mail.delivery_report import (
    DeliveryReport,
    RecipientStatus,
    ReportAction,
    header_of,
    render_delivery_report,
)
from outbox.mail.mime_writer import Composition
from outbox.mail.source import validate_source

NOON = dt.datetime(2026, 11, 30, 12, 0, tzinfo=dt.UTC)
SOURCE = b"From: a@example.org\r\nMessage-ID: <7@example.org>\r\nSubject: Hello\r\n\r\nThe body\r\n"


def rendered(
    *recipients: RecipientStatus, original: bytes = SOURCE, is_full: bool = False
) -> bytes:
    composition = Composition(
        from_=parse_address("daemon@example.org"),
        to=[parse_address("a@example.org")],
        subject="Delivery failed: Grüße",
        date=NOON,
        message_id="<1@example.org>",
        text="The message could not be delivered.\n",
        headers={"Auto-Submitted": "auto-replied"},
    )
    report = DeliveryReport(
        reporting_host="mail.example.org",
        envelope_id="order 7",
        arrived_at=NOON,
        recipients=recipients or [about("bob@example.net")],
        original=original,
        is_full=is_full,
    )
    source = render_delivery_report(composition, report)
    validate_source(source)
    assert source.isascii()
    return source


def about(address: str, **fields: Any) -> RecipientStatus:
    values: dict[str, Any] = {"action": ReportAction.FAILED, "status": "5.1.1"}
    return RecipientStatus(address=address, **values | fields)


def status_part(source: bytes) -> str:
    """Return the machine-readable part as it is sent."""
    start = source.index(b"message/delivery-status\r\n\r\n")
    return source[start:].split(b"\r\n\r\n", 1)[1].split(b"\r\n--=_")[0].decode()


def test_all_fields_are_written() -> None:
    source = rendered(
        about(
            "bob@example.net",
            remote_host="mx.example.net",
            diagnostic="550 5.1.1 no such user",
            last_attempt_at=NOON,
            retry_until=NOON + dt.timedelta(days=5),
        ),
        about("ann@example.net", action=ReportAction.DELAYED, status="4.2.0"),
    )
    assert status_part(source).split("\r\n") == [
        "Reporting-MTA: dns; mail.example.org",
        "Original-Envelope-Id: order 7",
        "Arrival-Date: Mon, 30 Nov 2026 12:00:00 +0000",
        "",
        "Original-Recipient: rfc822; bob@example.net",
        "Final-Recipient: rfc822; bob@example.net",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.example.net",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date: Mon, 30 Nov 2026 12:00:00 +0000",
        "Will-Retry-Until: Sat, 05 Dec 2026 12:00:00 +0000",
        "",
        "Original-Recipient: rfc822; ann@example.net",
        "Final-Recipient: rfc822; ann@example.net",
        "Action: delayed",
        "Status: 4.2.0",
        "",
    ]


def test_it_is_a_report_for_people_and_programs() -> None:
    mail: Any = message_from_bytes(rendered(), policy=policy.default)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["Content-Type"].params["report-type"] == "delivery-status"
    assert [part.get_content_type() for part in mail.get_payload()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert mail.get_payload()[0].get_content().startswith("The message could not be delivered.")


@pytest.mark.parametrize(
    "diagnostic",
    [
        "550 no\r\nAction: delivered",
        "550 no\n\nFinal-Recipient: rfc822; eve@example.net",
        "550 \x00\x1b[31mno",
        "550 用户不存在",
        "550 \u2028Action: delivered",
        "550 " + "x" * 5_000,
    ],
)
def test_a_reply_of_a_server_adds_no_field_and_no_long_line(diagnostic: str) -> None:
    source = rendered(about("bob@example.net", diagnostic=diagnostic))
    found = inspect(source)
    assert [(one.address, one.action) for one in found.recipients] == [
        ("bob@example.net", Action.FAILED)
    ]
    assert max(map(len, source.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("b+c=d@example.net", "rfc822; b+c=d@example.net"),
        ("jörg@example.net", r"utf-8; j\x{F6}rg@example.net"),
        ("李+1@例子.cn", r"utf-8; \x{674E}\x{2B}1@\x{4F8B}\x{5B50}.cn"),
    ],
)
def test_an_address_outside_ascii_has_its_own_type(address: str, written: str) -> None:
    source = rendered(about(address))
    assert f"Final-Recipient: {written}\r\n" in status_part(source)
    assert inspect(source).recipients[0].address == address


def test_our_reader_finds_the_ids_of_the_message() -> None:
    found: Inspection = inspect(rendered())
    assert found.envelope_id == "order 7"
    assert found.original_message_id == "7@example.org"


@pytest.mark.parametrize("is_full", [True, False])
def test_the_whole_message_is_returned_only_on_request(is_full: bool) -> None:
    source = rendered(is_full=is_full)
    assert (b"The body" in source) == is_full
    assert b"Message-ID: <7@example.org>" in source


def test_a_large_message_is_returned_as_its_header() -> None:
    source = rendered(original=SOURCE + b"x" * 70 + b"\r\n" * 600_000, is_full=True)
    assert b"The body" not in source


def test_a_boundary_of_the_returned_message_ends_no_part() -> None:
    first = rendered(is_full=True)
    boundary = first.split(b'boundary="')[1].split(b'"')[0]
    again = rendered(original=SOURCE + b"--" + boundary + b"--\r\n", is_full=True)
    mail: Any = message_from_bytes(again, policy=policy.default)
    assert len(mail.get_payload()) == 3


def test_a_header_outside_ascii_is_encoded_and_read_back() -> None:
    source = rendered(original="Message-ID: <8@example.org>\r\nSubject: Grüße\r\n\r\n".encode())
    assert inspect(source).original_message_id == "8@example.org"
    mail: Any = message_from_bytes(source, policy=policy.default)
    assert mail.get_payload()[2].get_content_type() == "message/global-headers"


def test_a_long_header_is_cut_between_lines() -> None:
    header = header_of(b"X-Long: " + b"y" * 80 + b"\r\n" + (b"A: " + b"z" * 90 + b"\r\n") * 1_000)
    assert len(header) <= 64_000
    assert header.endswith(b"z\r\n")
