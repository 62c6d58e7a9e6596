"""A composition becomes one message, with the fields and parts it must have."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.addresses import Address
from outbox.mail.mime_writer import AttachmentPart, make_message_id, render
from outbox.mail.source import normalize, validate_source
from tests.unit.mail.samples import ANN, BOB, compose, head_of, modern

LOGO = AttachmentPart(name="logo.png", content_type="image/png", data=b"p", content_id="logo")
FILE = AttachmentPart(name="a.pdf", content_type="application/pdf", data=b"\0\xff")


def shape(**changes: object) -> list[str]:
    return [part.get_content_type() for part in modern(**changes).walk()]


def test_it_renders_a_plain_mail_in_full() -> None:
    assert render(compose()).decode().split("\r\n") == [
        "Date: Sun, 01 Mar 2026 12:30:00 +0000",
        "From: Ann <ann@example.net>",
        "To: bob@example.org",
        "Subject: Hello",
        "Message-ID: <1@example.net>",
        "X-Priority: 3",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello Bob.",
        "",
    ]


def test_it_nests_text_pictures_and_files() -> None:
    assert shape(html='<img src="cid:logo">', attachments=[LOGO, FILE]) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]


kinds = st.sampled_from(
    [
        ("application/pdf", ""),
        ("image/png", ""),
        ("image/png", "inline"),
        ("text/calendar; method=REQUEST", ""),
        ("message/rfc822", ""),
    ]
)


@given(st.lists(st.tuples(kinds, st.binary(max_size=50)), max_size=8), st.booleans())
def test_any_files_come_back_in_their_order(
    given_files: list[tuple[tuple[str, str], bytes]], has_html: bool
) -> None:
    attachments = [
        AttachmentPart(
            name=f"{number}.bin",
            content_type=content_type,
            data=data,
            content_id=content_id and f"{content_id}{number}",
        )
        for number, ((content_type, content_id), data) in enumerate(given_files)
    ]

    message = modern(html="<p>" if has_html else "", attachments=attachments)

    # Pictures of the HTML come right after it, before all files.
    expected = sorted(attachments, key=lambda one: not (one.content_id and has_html))
    found = [part for part in message.walk() if part.get_filename()]
    assert [part.get_filename() for part in found] == [one.name for one in expected]
    for part, one in zip(found, expected, strict=True):
        if not one.content_type.startswith("message/"):
            assert part.get_content_type() == one.content_type.partition(";")[0]
            assert part.get_payload(decode=True) == one.data


def test_no_container_stands_without_need() -> None:
    assert shape() == ["text/plain"]
    assert shape(html="x") == ["multipart/alternative", "text/plain", "text/html"]
    assert shape(attachments=[FILE]) == ["multipart/mixed", "text/plain", "application/pdf"]


def test_a_picture_without_html_is_a_file_like_others() -> None:
    part = next(modern(attachments=[LOGO]).iter_attachments())

    assert part.get_content_disposition() == "attachment"


def test_html_alone_gets_a_text_part() -> None:
    """Protocol item 14."""
    message = modern(text=" ", html="<p>Hello <b>Bob</b>")

    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content() == "Hello Bob\r\n"


def test_each_field_that_must_be_there_once_is_there_once() -> None:
    """Protocol item 3."""
    source = render(compose(html="x", attachments=[LOGO, FILE], cc=[ANN], reply_to=[BOB]))

    count = Counter(line.partition(b":")[0].lower() for line in head_of(source))

    assert [count[name] for name in (b"date", b"from", b"message-id", b"mime-version")] == [1] * 4


def test_message_ids_are_ours_and_never_the_same() -> None:
    """Protocol item 3."""
    made = {make_message_id("Exämple.org") for _ in range(1000)}

    assert len(made) == 1000
    assert all(re.fullmatch(r"<[0-9a-f]{32}@xn--exmple-cua\.org>", found) for found in made)


def test_rendering_again_gives_the_same_bytes() -> None:
    """Protocol items 3, 4 and 20: nothing in it comes from the clock or from chance."""
    composition = compose(html="x", attachments=[LOGO, FILE])

    assert render(composition) == render(composition)


def test_a_rendered_mail_needs_no_change_to_be_sent() -> None:
    """Protocol item 20: what is stored is what is sent."""
    source = render(compose(html="x", attachments=[LOGO, FILE]))

    assert normalize(source) == source
    assert not validate_source(source).is_8bit


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        (UTC, "+0000"),
        (timezone(timedelta(hours=-3, minutes=-30)), "-0330"),
        (timezone(timedelta(minutes=53, seconds=28)), "+0000"),
    ],
)
def test_the_date_has_a_numeric_zone(zone: timezone, written: str) -> None:
    """Protocol item 4."""
    date = datetime(2026, 3, 1, 12, 30, tzinfo=zone)

    line = head_of(render(compose(date=date)))[0].decode()

    assert line.endswith(f" {written}")
    assert modern(date=date)["Date"].datetime == date


def test_the_sender_is_named_where_it_is_not_the_author() -> None:
    """Protocol item 5: a composition has one author, so nothing else calls for a Sender."""
    assert modern(sender=BOB)["Sender"] == "bob@example.org"
    assert "Sender" not in modern(sender=ANN)


def test_a_message_with_hidden_recipients_only_has_a_group() -> None:
    """Protocol item 6: there is no way to render a Bcc."""
    message = modern(to=[])

    assert message["To"] == "undisclosed-recipients:;"
    assert "Bcc" not in message


def test_domains_go_out_in_a_labels_and_local_parts_as_they_are() -> None:
    """Protocol item 16."""
    source = render(compose(to=[Address("Zoë", "zoe", "exämple.org")]))
    assert b"<zoe@xn--exmple-cua.org>" in source
    assert not validate_source(source).needs_smtputf8

    source = render(compose(to=[Address("Zoë", "zoë", "exämple.org")]))
    assert "<zoë@xn--exmple-cua.org>".encode() in source
    assert validate_source(source).needs_smtputf8


def test_automatic_and_bulk_mail_can_say_so() -> None:
    """Protocol item 19."""
    headers = {
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": "<https://example.net/u/" + "x" * 200 + ">",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }

    message = modern(headers=headers)

    assert {name: message[name] for name in headers} == headers


def test_a_reply_names_its_parent() -> None:
    """Protocol item 15."""
    message = modern(in_reply_to="<b@x.org>", references=["<a@x.org>", "<b@x.org>"])

    assert message["In-Reply-To"] == "<b@x.org>"
    assert message["References"] == "<a@x.org> <b@x.org>"


@pytest.mark.parametrize(
    ("importance", "header"),
    [("high", ("high", "1")), ("normal", (None, "3")), ("low", ("low", "5"))],
)
def test_importance_is_written_in_both_forms(
    importance: str, header: tuple[str | None, str]
) -> None:
    message = modern(importance=importance)

    assert (message["Importance"], message["X-Priority"]) == header
