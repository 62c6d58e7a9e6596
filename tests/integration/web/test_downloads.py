"""Downloads have the exact bytes and a safe name, and cannot affect the site."""

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.mail.addresses import parse_address
from outbox.mail.mime_writer import AttachmentPart, Composition, render
from outbox.models import Message


def assert_harmless(response: HttpResponseBase) -> None:
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Type"] in {"application/octet-stream", "message/rfc822"}
    assert "sandbox" in response["Content-Security-Policy"]
    assert "\n" not in response["Content-Disposition"]


def set_attachment(mail: Message, name: str, data: bytes) -> None:
    """Replace the source by one with an attachment of any name, as another app might write it."""
    address = parse_address("anna@example.com")
    composition = Composition(
        from_=address,
        to=[address],
        subject="x",
        date=timezone.now(),
        message_id=f"<{mail.message_id}>",
        text="x",
        attachments=[AttachmentPart(name=name, content_type="text/html", data=data)],
    )
    mail.source.data = render(composition)
    mail.source.save()


HOSTILE_NAMES = [
    # the name in the message, and in the download
    ("../../etc/passwd", 'filename="passwd"'),
    ("..\\..\\boot.ini", 'filename="boot.ini"'),
    ("evil\u202etxt.exe", 'filename="eviltxt.exe"'),
    ("n" * 300 + ".pdf", ".pdf"),
    ('quo"te.txt', "quo_te.txt"),
    ("Grüße 東京.pdf", "filename*=utf-8''Gr%C3%BC%C3%9Fe%20"),
    ("...", 'filename="attachment"'),
]


@pytest.mark.parametrize(("name", "offered"), HOSTILE_NAMES)
def test_a_file_is_downloaded_under_a_safe_name(
    as_anna: Client, mail: Message, name: str, offered: str
) -> None:
    """Protocol item 154."""
    set_attachment(mail, name, b"<script>alert(1)</script>")
    response = as_anna.get(reverse("outbox:part", args=[mail.pk, "1.2"]))
    assert response.content == b"<script>alert(1)</script>"
    assert offered in response["Content-Disposition"]
    assert_harmless(response)


def test_a_file_of_a_draft_is_downloaded_unchanged(as_anna: Client, draft: Message) -> None:
    file = draft.attachments.get()
    response = as_anna.get(reverse("outbox:attachment", args=[draft.pk, file.pk]))
    assert response.content == b"1;2;3"
    assert_harmless(response)


def test_the_source_is_a_download_too(as_anna: Client, mail: Message) -> None:
    assert_harmless(as_anna.get(reverse("outbox:source", args=[mail.pk])))


def test_a_subject_names_the_file_and_cannot_leave_the_header(
    as_anna: Client, mail: Message
) -> None:
    Message.objects.filter(pk=mail.pk).update(subject='a"b\r\nSet-Cookie: x=1/../z')
    response = as_anna.get(reverse("outbox:source", args=[mail.pk]))
    assert_harmless(response)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["9", "1.9", "x", "1.2.3.4", "1" * 500])
def test_a_part_that_is_not_there_is_404(as_anna: Client, mail: Message, path: str) -> None:
    assert as_anna.get(reverse("outbox:part", args=[mail.pk, path])).status_code == 404


def test_a_file_of_another_message_is_not_found_under_this_one(
    as_anna: Client, mail: Message, draft: Message
) -> None:
    file = draft.attachments.get()
    assert as_anna.get(reverse("outbox:attachment", args=[mail.pk, file.pk])).status_code == 404
