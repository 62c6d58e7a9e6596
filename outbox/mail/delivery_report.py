"""Delivery status notifications of the site itself (RFC 3464).

They are 7-bit, so that every server accepts them: addresses outside ASCII have the type of RFC 6533
in its ASCII form, and a header outside ASCII is encoded.
"""

import base64
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from enum import StrEnum

from outbox.mail.mime_writer import Composition, render_report
from outbox.mail.xtext import utf8_xtext

MAX_FULL = 1_000_000  # bytes of a message that a report returns; of a larger one only the header
_MAX_HEADER = 64_000  # bytes of a returned header
_MAX_VALUE = 900  # characters of a field: a line may have 998 (RFC 5322 2.1.1)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")


class ReportAction(StrEnum):
    """What happened to a message for a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientStatus:
    """What a report says about one recipient."""

    address: str
    action: ReportAction
    status: str  # enhanced status code (RFC 3463)
    remote_host: str = ""
    diagnostic_type: str = "smtp"
    diagnostic: str = ""
    last_attempt_at: dt.datetime | None = None
    retry_until: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a report says about a message. `original` is its source, or only its header."""

    reporting_host: str
    envelope_id: str
    arrived_at: dt.datetime | None
    recipients: Sequence[RecipientStatus]
    original: bytes
    is_full: bool = False  # return the whole message


def render_delivery_report(composition: Composition, report: DeliveryReport) -> bytes:
    """Return the notification. Raise HeaderError if a value of the composition cannot be sent."""
    parts = [_status_entity(report), _original_entity(report)]
    return render_report(composition, "delivery-status", parts)


def _status_entity(report: DeliveryReport) -> bytes:
    blocks = [_message_fields(report), *map(_recipient_fields, report.recipients)]
    text = "\r\n".join("".join(_fields(block)) for block in blocks)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii")


def _message_fields(report: DeliveryReport) -> Iterator[tuple[str, str]]:
    yield "Reporting-MTA", f"dns; {_ascii(report.reporting_host)}"
    yield "Original-Envelope-Id", report.envelope_id
    yield "Arrival-Date", _date(report.arrived_at)


def _recipient_fields(one: RecipientStatus) -> Iterator[tuple[str, str]]:
    address = typed_address(one.address)
    yield "Original-Recipient", address
    yield "Final-Recipient", address
    yield "Action", one.action.value
    yield "Status", one.status
    yield "Remote-MTA", f"dns; {_ascii(one.remote_host)}" if one.remote_host else ""
    diagnostic = _ascii(one.diagnostic)
    yield "Diagnostic-Code", f"{one.diagnostic_type}; {diagnostic}" if diagnostic else ""
    yield "Last-Attempt-Date", _date(one.last_attempt_at)
    yield "Will-Retry-Until", _date(one.retry_until)


def _fields(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"{name}: {value}\r\n" for name, value in fields if value)


def typed_address(address: str) -> str:
    """Return an address with its type. Only one outside ASCII is encoded (RFC 6533 3)."""
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {utf8_xtext(address)}"


def _ascii(text: str) -> str:
    """Return a text in one line of ASCII. Other characters are escaped."""
    line = " ".join(_UNSAFE.sub(" ", text).split())
    return line.encode("ascii", "backslashreplace").decode()[:_MAX_VALUE]


def _date(moment: dt.datetime | None) -> str:
    return format_datetime(moment) if moment else ""


def header_of(source: bytes) -> bytes:
    """Return the header of a message; of a very long one, whole lines of its beginning."""
    end = source.find(b"\r\n\r\n")
    header = source[: end + 2] if end >= 0 else source
    if len(header) > _MAX_HEADER:
        header = header[: header.rfind(b"\r\n", 0, _MAX_HEADER) + 2]
    return header


def _original_entity(report: DeliveryReport) -> bytes:
    if report.is_full and report.original.isascii() and len(report.original) <= MAX_FULL:
        return b"Content-Type: message/rfc822\r\n\r\n" + report.original
    header = header_of(report.original)
    if header.isascii():
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header
    encoded = base64.encodebytes(header).replace(b"\n", b"\r\n")
    return (
        b"Content-Type: message/global-headers\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded
    )
