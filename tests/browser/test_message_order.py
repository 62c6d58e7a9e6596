"""Parts of a message are shown in their order: a mailing list's footer is below the text."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.models import Account, Message
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOOTER = "_______________\nLeave the list:\n    https://lists.example.com/leave?a=1&b=2 <now>\n"
SOURCE = f"""\
From: Ann <anna@example.com>
To: list@example.com
Subject: News of the club
Content-Type: multipart/mixed; boundary="list"

--list
Content-Type: multipart/alternative; boundary="both"

--both
Content-Type: text/plain; charset=utf-8

Letter in plain text
--both
Content-Type: text/html; charset=utf-8

<html><body><h1>Letter</h1><div><p>in HTML<!-- an open comment
--both--
--list
Content-Type: text/plain; charset=utf-8

{FOOTER}--list--
"""


@pytest.fixture
def letter(writer: User) -> Message:
    item = api.Outgoing(
        source=SOURCE.replace("\n", "\r\n").encode(),
        envelope_sender="anna@example.com",
        recipients=[api.OutgoingRecipient("list@example.com")],
        account=Account.objects.get(),
        owner=writer,
        subject="News of the club",
        from_header="Ann <anna@example.com>",
    )
    (message,) = api.queue_sources([item])
    return message


def test_a_footer_is_below_the_text(page: "Page", letter: Message) -> None:
    sign_in(page)
    page.goto(reverse("outbox:message", args=[letter.pk]))

    frame = page.frame_locator("#preview-light")
    heading = frame.get_by_role("heading", name="Letter").bounding_box()
    footer = frame.get_by_text("Leave the list").bounding_box()
    assert heading is not None
    assert footer is not None
    assert footer["y"] >= heading["y"] + heading["height"]
    assert footer["height"] > 2 * heading["height"] / 3  # its lines stay lines

    page.get_by_role("link", name="Text", exact=True).click()
    text = page.locator("#content pre.text")
    assert text.inner_text().split() == f"Letter in plain text {FOOTER}".split()
