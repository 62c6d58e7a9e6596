"""What is queued is byte for byte what Django's own SMTP backend would have put on the wire."""

import copy
import email.message
import random
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy

from outbox.models import Account
from tests.integration.backend.conftest import Build, by_django, by_outbox

HEADERS = {"Date": "Tue, 24 Nov 2026 10:00:00 +0000", "Message-ID": "<fixed@example.com>"}
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
CALENDAR = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
TEMPLATE = "Dear {{ name }}, {% load i18n %} {# not a template #} {{ unclosed\n"


def mail(**fields: Any) -> EmailMessage:
    """Return a plain message with these fields changed."""
    headers = {**HEADERS, **fields.pop("headers", {})}
    kind = fields.pop("kind", EmailMessage)
    plain = {"subject": "Subject", "body": "Text\n", "to": ["to@example.com"]}
    return kind(**{**plain, **fields}, headers=headers)  # type: ignore[no-any-return]


def alternatives() -> EmailMessage:
    message = mail(kind=EmailMultiAlternatives)
    assert isinstance(message, EmailMultiAlternatives)
    message.attach_alternative("<p>Text</p>", "text/html")
    message.attach_alternative(CALENDAR, "text/calendar")
    return message


def html_only() -> EmailMessage:
    message = mail(body="<p>Only this</p>")
    message.content_subtype = "html"
    return message


def html_as_the_only_alternative() -> EmailMessage:
    message = mail(kind=EmailMultiAlternatives, body="")
    assert isinstance(message, EmailMultiAlternatives)
    message.attach_alternative("<p>Only this</p>", "text/html")
    return message


def attachments_of_one_name() -> EmailMessage:
    message = mail()
    message.attach("report.pdf", b"%PDF-1", "application/pdf")
    message.attach("report.pdf", b"%PDF-2", "application/pdf")
    message.attach("notes.txt", "grüße\nvon hier\n", "text/plain")
    message.attach("unnamed", b"\x00\x01\xff")
    return message


def attachment_of_a_file_name_in_unicode() -> EmailMessage:
    message = mail()
    message.attach("Überblick, 計画 “v2”.txt", b"\xff\xfe", "application/octet-stream")
    return message


def inline_image() -> EmailMessage:
    message = html_only()
    message.body = '<img src="cid:logo">'
    message.attach(_image())
    return message


def _image() -> Any:
    if django.VERSION < (6,):
        image = MIMEImage(PIXEL, "png")
    else:
        image = email.message.MIMEPart()  # type: ignore[assignment]
        image.set_content(PIXEL, maintype="image", subtype="png")  # type: ignore[attr-defined]
    image["Content-ID"] = "<logo>"
    return image


def nested_multipart() -> EmailMessage:
    part: Any = MIMEMultipart("related")
    part.attach(MIMEText("<p>Text</p>", "html"))
    part.attach(MIMEText("a { color: red }", "css"))
    if django.VERSION >= (6,):
        part = _multipart_as_mimepart()
    return mail(attachments=[part])


def _multipart_as_mimepart() -> email.message.MIMEPart:
    part = email.message.MIMEPart()
    part.set_content("<p>Text</p>", subtype="html")
    part.add_related("a { color: red }", subtype="css")
    return part


def forwarded_mail() -> EmailMessage:
    message = mail()
    message.attach("forwarded.eml", mail(subject="Grüße"), "message/rfc822")
    message.attach(
        "raw.eml", b"From: a@example.com\r\nSubject: x\r\n\r\nA\r\nB\r\n", "message/rfc822"
    )
    return message


class Rewritten(EmailMessage):
    """An app's own class, which signs or wraps what Django built."""

    def message(self, **options: Any) -> Any:
        built = super().message(**options)
        built["X-Signature"] = "0123 " * 30
        return built


SHAPES: dict[str, Build] = {
    "plain text": mail,
    "no text at all": lambda: mail(body=""),
    "text without a last line end": lambda: mail(body="Text"),
    "every kind of line end": lambda: mail(body="a\rb\r\nc\nd\r\r\n\n"),
    "dots and From at line starts": lambda: mail(body=".\n..\nFrom here\n>From there\n.end"),
    "a line of 5,000 characters": lambda: mail(body="x" * 5_000),
    "long lines outside ASCII": lambda: mail(body="В южных морях " * 90),
    "text that looks like a template": lambda: mail(subject=TEMPLATE.strip(), body=TEMPLATE),
    "text and HTML and a calendar": alternatives,
    "HTML only, by subtype": html_only,
    "HTML only, as an alternative": html_as_the_only_alternative,
    "two attachments of one name": attachments_of_one_name,
    "a file name outside ASCII": attachment_of_a_file_name_in_unicode,
    "an inline image": inline_image,
    "a multipart made by the caller": nested_multipart,
    "a forwarded mail": forwarded_mail,
    "own headers": lambda: mail(
        headers={"X-App": "shop", "List-Unsubscribe": "<https://example.com/u>", "X-Note": "für"}
    ),
    "a long header": lambda: mail(headers={"X-Long": "word " * 200}),
    "lazy strings": lambda: mail(
        subject=gettext_lazy("Subject"), body=gettext_lazy("Body"), to=[gettext_lazy("a@b.example")]
    ),
    "display names with commas": lambda: mail(
        from_email='"Shop, The" <shop@example.com>',
        to=['"Doe, Jane" <jane@example.com>', '"Q \\"x\\" Y" <q@example.com>'],
        cc=["Plain Name <plain@example.com>"],
        reply_to=['"Help, Support" <help@example.com>'],
    ),
    "names and domains outside ASCII": lambda: mail(
        subject="Überraschung für 佐藤 🎉 " * 5,
        from_email='"Gestor, Ação" <lists@discussão.example.org>',
        to=["佐藤 <to@漢字.example.com>", "Ümit <u@example.com>"],
    ),
    "headers that override": lambda: mail(
        from_email="bounces@example.com",
        headers={
            "From": '"Shop, The" <shop@example.com>',
            "To": "list@example.com",
            "Cc": "none@example.com",
            "Reply-To": "reply@example.com",
        },
    ),
    "blind copies": lambda: mail(bcc=["one@example.com", "Two <two@example.com>"]),
    "blind copies alone": lambda: mail(to=[], bcc=["one@example.com"]),
    "an addressee twice": lambda: mail(to=["to@example.com"], cc=["other@example.com"]),
    "addresses without a domain": lambda: mail(from_email="tester", to=["root"]),
    "another charset": lambda: _encoded("iso-8859-1", "Grüße, Änne\n"),
    "a charset that Python sends as base64": lambda: _encoded("gb2312", "你好\n第二行\n"),
    "a class that overrides message()": lambda: mail(kind=Rewritten),
}


def _encoded(charset: str, body: str) -> EmailMessage:
    message = mail(subject=body.split(maxsplit=1)[0], body=body)
    message.encoding = charset
    return message


@pytest.mark.parametrize("shape", SHAPES)
def test_it_queues_the_bytes_django_would_send(shape: str, app_account: Account) -> None:
    random.seed(shape)  # boundaries are random
    expected = by_django(SHAPES[shape]())
    random.seed(shape)

    assert SHAPES[shape]().send() == 1

    assert by_outbox().source == expected.source


@pytest.mark.parametrize("shape", SHAPES)
def test_it_leaves_the_callers_object_as_it_was(shape: str, app_account: Account) -> None:
    message = SHAPES[shape]()
    before = _frozen(message)

    message.send()

    assert _frozen(message) == before


def _frozen(message: EmailMessage) -> Any:
    """Everything of it, MIME objects by their headers and parts."""

    def frozen(value: Any) -> Any:
        if isinstance(value, email.message.Message):
            return value.items(), value.get_params(), frozen(value.get_payload())
        if isinstance(value, EmailMessage):
            return frozen(vars(value))
        if isinstance(value, dict):
            return {name: frozen(one) for name, one in value.items() if "connection" not in name}
        if isinstance(value, (list, tuple)):
            return [frozen(one) for one in value]
        return copy.copy(value)

    return frozen(message)
