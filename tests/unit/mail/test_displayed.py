"""Sections are displayed in the order of the message."""

import base64
import quopri
import re
from collections.abc import Iterator
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.displayed import read_displayed, text_and_html
from outbox.mail.html import clean_for_preview
from outbox.mail.parts import files, outline


def entity(content_type: str, body: str, *fields: str) -> str:
    return "".join(f"{line}\n" for line in (f"Content-Type: {content_type}", *fields)) + f"\n{body}"


def multipart(kind: str, *parts: str, fields: tuple[str, ...] = (), preamble: str = "") -> str:
    boundary = f"={kind}-{len(''.join(parts))}"
    body = preamble + "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}--\n"
    return entity(f'multipart/{kind}; boundary="{boundary}"', body, *fields)


LETTER = multipart(
    "alternative", entity("text/plain", "letter"), entity("text/html", "<p>letter</p>")
)
RELATED = multipart(
    "related",
    entity("text/html", '<p>letter</p><img src="cid:a">', "Content-ID: <root>"),
    entity("image/png", "png", "Content-ID: <a>"),
)
FOOTER = entity("text/plain", "footer & list")
PICTURE = entity("image/jpeg", "jpeg", 'Content-Disposition: inline; filename="a.jpg"')
ENCLOSED = entity("message/rfc822", "Subject: inside\n\nenclosed")


def shown(source: str) -> tuple[list[str], list[str]]:
    """The words of the text, and those of the preview."""
    displayed = read_displayed(source.encode())
    preview = clean_for_preview(displayed.documents, {})[0]
    return displayed.text.split(), re.sub("<[^>]*>", " ", preview).split()


IN_ORDER = {
    "a footer below an alternative": (
        multipart("mixed", LETTER, FOOTER),
        "letter footer & list", "letter footer &amp; list",
    ),
    "a header above an alternative": (
        multipart("mixed", entity("text/plain", "header"), LETTER, FOOTER),
        "header letter footer & list", "header letter footer &amp; list",
    ),
    "text around a picture": (
        multipart("mixed", entity("text/plain", "one"), PICTURE, entity("text/plain", "two")),
        "one two", "",
    ),
    "HTML around a picture": (
        multipart("mixed", entity("text/html", "<b>one"), PICTURE, entity("text/html", "two")),
        "", "one two",
    ),
    "HTML alone, with a footer": (
        multipart("mixed", entity("text/html", "<p>letter"), FOOTER),
        "letter footer & list", "letter footer &amp; list",
    ),
    "several HTML parts and text between": (
        multipart("mixed", entity("text/html", "<i>one"), entity("text/plain", "two"),
                  entity("text/html", "<b>three")),
        "one two three", "one two three",
    ),
    "related inside an alternative": (
        multipart("mixed", multipart("alternative", entity("text/plain", "text"), RELATED), FOOTER),
        "text footer & list", "letter footer &amp; list",
    ),
    "mixed inside an alternative": (
        multipart("alternative", entity("text/plain", "text"),
                  multipart("mixed", entity("text/html", "<b>one"), PICTURE,
                            entity("text/html", "two"))),
        "text", "one two",
    ),
    "mixed inside related": (
        multipart("related", multipart("mixed", entity("text/html", "one"), FOOTER), PICTURE),
        "one footer & list", "one footer &amp; list",
    ),
    "an alternative with the HTML first": (
        multipart("alternative", entity("text/html", "html"), entity("text/plain", "text")),
        "text", "html",
    ),
    "a second version of the HTML": (
        multipart("alternative", entity("text/plain", "text"), entity("text/x-amp-html", "amp"),
                  entity("text/html", "html"), entity("text/html", "best")),
        "text", "best",
    ),
    "an alternative without a text worth reading": (
        multipart("mixed", multipart("alternative", entity("text/plain", " "),
                                     entity("text/html", "html")), FOOTER),
        "html footer & list", "html footer &amp; list",
    ),
    "an alternative without HTML": (
        multipart("alternative", entity("text/plain", "text"), entity("text/calendar", "BEGIN:")),
        "text", "",
    ),
    "signed": (
        multipart("signed", multipart("mixed", LETTER, FOOTER),
                  entity("application/pgp-signature", "signature")),
        "letter footer & list", "letter footer &amp; list",
    ),
    "a report": (
        multipart("report", entity("text/plain", "failed"),
                  entity("message/delivery-status", "Action: failed"), ENCLOSED),
        "failed", "",
    ),
    "an enclosed message between": (
        multipart("mixed", entity("text/plain", "one"), ENCLOSED, entity("text/plain", "two")),
        "one two", "",
    ),
    "a digest": (
        multipart("mixed", entity("text/plain", "contents"),
                  multipart("digest", "\nSubject: a\n\nb", "\nSubject: c\n\nd"), FOOTER),
        "contents footer & list", "",
    ),
    "an attached text between": (
        multipart("mixed", entity("text/plain", "one"),
                  entity("text/plain", "hidden", "Content-Disposition: attachment"),
                  entity("text/plain", "two")),
        "one two", "",
    ),
    "HTML that leaves a comment open": (
        multipart("mixed", entity("text/html", "<p>letter<!-- "), FOOTER),
        "letter footer & list", "letter footer &amp; list",
    ),
    "HTML that leaves a style open": (
        multipart("mixed", entity("text/html", "<p>letter<style>"), FOOTER),
        "letter footer & list", "letter footer &amp; list",
    ),
    "text in an HTML part": (
        multipart("mixed", entity("text/html", "a"), entity("text/plain", "<b>b</b>")),
        "a <b>b</b>", "a &lt;b&gt;b&lt;/b&gt;",
    ),
    "an alternative with empty HTML": (
        multipart("mixed", multipart("alternative", entity("text/plain", "text"),
                                     entity("text/html", " \n")), entity("text/html", "footer")),
        "text footer", "text footer",
    ),
    "a message in a message": (
        entity("message/rfc822", f"Subject: inside\n{multipart('mixed', LETTER, FOOTER)}"),
        "letter footer & list", "letter footer &amp; list",
    ),
    "text of another kind, alone": (entity("text/markdown", "# one"), "# one", ""),
}  # fmt: skip


@pytest.mark.parametrize(("source", "text", "preview"), IN_ORDER.values(), ids=IN_ORDER)
def test_sections_are_displayed_in_order(source: str, text: str, preview: str) -> None:
    assert shown(source) == (text.split(), preview.split())


def test_lines_of_a_footer_stay_lines_in_the_preview() -> None:
    source = multipart("mixed", LETTER, entity("text/plain", "one\n  two\n"))

    preview = clean_for_preview(read_displayed(source.encode()).documents, {})[0]

    assert '<div style="white-space:pre-wrap">one\n  two</div>' in preview


def test_text_that_no_view_shows_is_a_file() -> None:
    source = multipart(
        "alternative",
        entity("text/plain", "text"),
        entity("text/html", "html", "Content-ID: <root>"),
        entity("text/calendar; method=REQUEST", "BEGIN:VCALENDAR"),
    )

    assert [part.path for part in files(outline(source.encode()))] == ["1.3"]


# --- containers that others would not show --------------------------------------------------------

BODY = (
    "--b\nContent-Type: text/plain; charset=utf-8\n\nfirst\n"
    "--b\nContent-Type: text/html; charset=utf-8\n\n<p>second</p>\n--b--\n"
)


def encoded(encoding: str, body: str) -> str:
    coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}[encoding]
    return coded(body.encode()).decode()


def container(body: str, *fields: str, parameter: str = "boundary=b") -> str:
    return entity(f"multipart/mixed; {parameter}", body, *fields)


ENCODING = "Content-Transfer-Encoding: {}"
DIVIDED = {
    "base64 in name only": container(BODY, ENCODING.format("base64")),
    "quoted-printable in name only": container(BODY, ENCODING.format("quoted-printable")),
    "base64": container(encoded("base64", BODY), ENCODING.format("Base64")),
    "quoted-printable": container(encoded("quoted-printable", BODY),
                                  ENCODING.format("quoted-printable")),
    "an encoding with a comment": container(encoded("base64", BODY),
                                            ENCODING.format("base64 (really)")),
    "no boundary named": container(BODY, parameter="charset=utf-8"),
    "an empty boundary": container(BODY, parameter='boundary=""'),
    "another boundary": container(BODY, parameter="boundary=c"),
    "another boundary, encoded": container(encoded("base64", BODY), ENCODING.format("base64"),
                                           parameter="boundary=c"),
    "blanks at the end of the name": container(BODY, parameter='boundary="b  "'),
    "spaces after the lines": container(BODY.replace("--b\n", "--b \t\n"), ),
    "no closing line": container(BODY.removesuffix("--b--\n")),
    "CRLF": container(BODY.replace("\n", "\r\n")),
    "a preamble": container(f"This is a message in MIME format.\n\n{BODY}", parameter="x=y"),
    "a boundary of dashes": container(BODY.replace("--b", "------=_Part_1"), parameter="x=y"),
}  # fmt: skip


@pytest.mark.parametrize("source", DIVIDED.values(), ids=DIVIDED)
def test_a_container_is_divided_although_its_header_is_wrong(source: str) -> None:
    assert shown(source) == (["first", "second"], ["first", "second"])
    assert [part.content_type for part in outline(source.encode()).children] == [
        "text/plain",
        "text/html",
    ]


UNDIVIDED = {
    "plain text": container("first line\nsecond -- line\n"),
    "a signature": container("first\n\n-- \nAnn\n", parameter="x=y"),
    "base64": container(encoded("base64", "first line\nsecond\n"), ENCODING.format("base64")),
    "quoted-printable": container("first=20line\nse=\ncond\n",
                                  ENCODING.format("quoted-printable")),
    "a boundary too long": container("--b\n\nfirst\n", parameter=f"boundary={'b' * 300}"),
    "only the closing line": container("first line\n--b--\n"),
    "inside another": multipart("mixed", container("first\n", parameter="x=y")),
}  # fmt: skip


@pytest.mark.parametrize("source", UNDIVIDED.values(), ids=UNDIVIDED)
def test_a_container_that_cannot_be_divided_shows_its_text(source: str) -> None:
    assert "first" in text_and_html(source.encode())[0]
    assert "=\n" not in text_and_html(source.encode())[0]


def test_a_container_in_an_encoded_one_is_divided() -> None:
    inner = multipart("alternative", entity("text/plain", "text"), entity("text/html", "html"))
    body = f"--b\n{inner}\n--b\n{FOOTER}\n--b--\n"
    source = container(encoded("base64", body), ENCODING.format("base64"))

    assert shown(source) == (["text", "footer", "&", "list"], ["html", "footer", "&amp;", "list"])


# --- any tree -------------------------------------------------------------------------------------

leaves = st.sampled_from(["plain", "html", "attached", "picture"])
trees = st.recursive(
    leaves,
    lambda children: st.tuples(
        st.sampled_from(["mixed", "related", "alternative", "signed", "parallel"]),
        st.lists(children, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


def build(tree: object, numbers: Iterator[int]) -> Message:
    if isinstance(tree, tuple):
        kind, children = tree
        made = MIMEMultipart(kind)
        for child in children:
            made.attach(build(child, numbers))
        return made
    number = next(numbers)
    if tree == "html":
        return MIMEText(f"<p>w{number}", "html")
    leaf = MIMEText(f"w{number}", "plain")
    if tree == "picture":
        leaf.replace_header("Content-Type", "image/png")
    if tree == "attached":
        leaf["Content-Disposition"] = "attachment"
    return leaf


def numbered() -> Iterator[int]:
    yield from range(1_000)


@given(trees)
def test_any_tree_has_its_parts_in_their_order(tree: object) -> None:
    message = build(tree, numbered())
    source = message.as_bytes()

    found = [part.content_type for part in outline(source).walk()]

    assert found == [part.get_content_type() for part in message.walk()]


@given(trees)
def test_any_tree_is_shown_in_its_order(tree: object) -> None:
    source = build(tree, numbered()).as_bytes()
    text, html = text_and_html(source)

    for view in (text, html):
        numbers = [int(number) for number in re.findall(r"\bw(\d+)", view)]
        assert numbers == sorted(set(numbers))


@given(trees.filter(lambda tree: "alternative" not in str(tree)))
def test_without_alternatives_nothing_readable_is_left_out(tree: object) -> None:
    kinds = re.findall(r"plain|html|attached|picture", str(tree))
    readable = [number for number, kind in enumerate(kinds) if kind in {"plain", "html"}]
    text, html = text_and_html(build(tree, numbered()).as_bytes())

    view = html or text
    assert [int(number) for number in re.findall(r"\bw(\d+)", view)] == readable
    if "plain" in kinds:
        assert [int(number) for number in re.findall(r"\bw(\d+)", text)] == readable
