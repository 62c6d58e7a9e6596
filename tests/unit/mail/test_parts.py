"""Looking inside a message: its parts, its headers, its texts."""

import email
import email.policy
import hashlib
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.displayed import text_and_html
from outbox.mail.mime_writer import AttachmentPart, render
from outbox.mail.parts import (
    Part,
    decoded_headers,
    outline,
    part_bytes,
    pictures,
)
from tests.unit.mail.samples import compose

LOGO = AttachmentPart(name="logo.png", content_type="image/png", data=b"p", content_id="l@x")
FILE = AttachmentPart(name="ä.pdf", content_type="application/pdf", data=b"\0\xff")
WHOLE = render(compose(html="<p>x</p>", attachments=[LOGO, FILE]))


def shape(part: Part) -> object:
    inside = [shape(child) for child in part.children]
    return (part.content_type, inside) if inside else part.content_type


def test_it_draws_the_tree() -> None:
    tree = outline(WHOLE)

    assert shape(tree) == (
        "multipart/mixed",
        [
            (
                "multipart/alternative",
                ["text/plain", ("multipart/related", ["text/html", "image/png"])],
            ),
            "application/pdf",
        ],
    )
    assert [part.path for part in tree.walk()] == [
        "1", "1.1", "1.1.1", "1.1.2", "1.1.2.1", "1.1.2.2", "1.2",
    ]  # fmt: skip


def test_a_file_has_all_of_its_properties() -> None:
    assert list(outline(WHOLE).walk())[-1] == Part(
        path="1.2",
        content_type="application/pdf",
        charset="",
        name="ä.pdf",
        size=2,
        disposition="attachment",
        content_id="",
        encoding="base64",
        sha256=hashlib.sha256(b"\0\xff").hexdigest(),
    )


def test_a_part_is_fetched_by_its_path() -> None:
    assert part_bytes(WHOLE, "1.2") == b"\0\xff"
    assert part_bytes(WHOLE, "1.1.1") == b"Hello Bob.\r\n"
    with pytest.raises(KeyError):
        part_bytes(WHOLE, "1.3")


def test_pictures_are_found_by_the_names_html_has_for_them() -> None:
    assert pictures(WHOLE) == {"l@x": ("image/png", b"p")}


def test_it_lists_headers_raw_and_decoded_in_their_order() -> None:
    source = (
        b"Received: a;\r\n\tb\r\nSubject: =?utf-8?q?Z?=\r\n =?utf-8?q?=C3=B6e?=\r\n"
        b"X-Raw: Z\xc3\xb6e\r\nno header\r\nX-Bad: \xe9\x00\r\nReceived: c\r\n\r\nBody: no\r\n"
    )

    assert decoded_headers(source) == [
        ("Received", "a;\n\tb", "a;\tb"),
        ("Subject", "=?utf-8?q?Z?=\n =?utf-8?q?=C3=B6e?=", "Zöe"),
        ("X-Raw", "Zöe", "Zöe"),
        ("X-Bad", "\ufffd\ufffd", "\ufffd\ufffd"),
        ("Received", "c", "c"),
    ]


def multipart(kind: str, *parts: str, boundary: str = "b") -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'
    return (
        head + "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}--\n"
    ).encode()


TEXT, HTML = "Content-Type: text/plain\n\na", "Content-Type: text/html\n\n<b>"
ATTACHED = "Content-Disposition: attachment\nContent-Type: text/plain\n\nc"
FORWARDED = "Content-Type: message/rfc822\n\nSubject: inside\n\nd"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"Subject: a\n\nHello", ("Hello", "")),
        (b"\nno header at all", ("no header at all", "")),
        (b"Subject: a", ("", "")),
        (b"", ("", "")),
        (b"Content-Type: text/html\n\n<p>", ("", "<p>")),
        (b"Content-Type: text/plain; charset=iso-8859-1\n\n\xe9\r\n", ("é\n", "")),
        (b"Content-Type: nonsense\n\nHello", ("Hello", "")),
        (multipart("alternative", TEXT, HTML), ("a", "<b>")),
        (multipart("mixed", TEXT, ATTACHED, FORWARDED), ("a", "")),
        (multipart("mixed", TEXT, "", TEXT), ("a\n\na", "")),
        (multipart("mixed", TEXT)[:-6], ("a\n", "")),
        (multipart("mixed", TEXT, boundary="b b+?"), ("a", "")),
    ],
    ids=["plain", "no header", "no body", "nothing", "HTML", "charset", "no media type",
         "alternative", "attached", "several", "cut off", "an odd boundary"],
)  # fmt: skip
def test_it_finds_the_texts_that_are_shown(source: bytes, expected: tuple[str, str]) -> None:
    assert text_and_html(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (multipart("mixed", FORWARDED), ("multipart/mixed", [("message/rfc822", ["text/plain"])])),
        (multipart("digest", "\nSubject: a\n\nb"),
         ("multipart/digest", [("message/rfc822", ["text/plain"])])),
        (multipart("mixed", "\n--bb\n --b\n--b-\nx"), ("multipart/mixed", ["text/plain"])),
        (multipart("mixed", TEXT).replace(b"--b\n", b"--b  \r\n"),
         ("multipart/mixed", ["text/plain"])),
        (multipart("mixed", TEXT).replace(b"\n\n--b", b"\n\npreamble\n--b"),
         ("multipart/mixed", ["text/plain"])),
        (b"Content-Type: multipart/mixed\n\n--b\n\na\n--b--", "multipart/mixed"),
        (b"Content-Transfer-Encoding: base64\n" + multipart("mixed", TEXT),
         ("multipart/mixed", ["text/plain"])),
    ],
    ids=["enclosed", "digest", "lines like boundaries", "spaces at the end", "preamble",
         "no boundary", "claims to be encoded"],
)  # fmt: skip
def test_it_cuts_at_boundaries_and_nowhere_else(source: bytes, expected: object) -> None:
    assert shape(outline(source)) == expected


def as_the_library_sees_it(message: Message) -> object:
    if message.is_multipart():
        return message.get_content_type(), [
            as_the_library_sees_it(part)
            for part in message.get_payload()
            if isinstance(part, Message)
        ]
    return message.get_content_type(), message.get_payload(decode=True)


def as_we_see_it(source: bytes, part: Part) -> object:
    if part.children:
        return part.content_type, [as_we_see_it(source, child) for child in part.children]
    return part.content_type, part_bytes(source, part.path)


files = st.builds(
    AttachmentPart,
    name=st.just("a"),
    content_type=st.sampled_from(["application/pdf", "image/png"]),
    data=st.binary(max_size=200),
    content_id=st.sampled_from(["", "a@x"]),
)
messages = st.builds(
    AttachmentPart,
    name=st.just("a"),
    content_type=st.just("message/rfc822"),
    data=st.sampled_from(
        [b"Subject: a\r\n\r\nb\r\n", b"\r\nb", b"prose", b"From a\nA: b\n\nc", WHOLE]
    ),
)


@given(st.text(max_size=100), st.sampled_from(["", "<p>"]), st.lists(files | messages, max_size=4))
def test_it_sees_what_the_standard_library_sees(
    text: str, html: str, attachments: list[AttachmentPart]
) -> None:
    source = render(compose(text=text, html=html, attachments=attachments))

    expected = as_the_library_sees_it(email.message_from_bytes(source))

    assert as_we_see_it(source, outline(source)) == expected
