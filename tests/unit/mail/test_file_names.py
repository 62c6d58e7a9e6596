"""File names outside ASCII, by RFC 2231."""

import pytest
from hypothesis import given

from outbox.mail.header_reader import parameters
from outbox.mail.mime_writer import AttachmentPart, render
from outbox.mail.parts import outline
from tests.unit.mail.samples import classic, compose, modern, texts


@given(texts.filter(bool))
def test_a_file_name_comes_back_from_every_parser(name: str) -> None:
    """Protocol item 11."""
    given = [AttachmentPart(name=name, content_type="application/pdf", data=b"a")]

    read = [
        next(modern(attachments=given).iter_attachments()).get_filename(),
        [part.get_filename() for part in classic(attachments=given).walk()][-1],
    ]
    assert read == [name.strip()] * 2  # the standard library strips what it read
    assert outline(render(compose(attachments=given))).children[1].name == name


def test_a_long_name_is_written_in_numbered_sections() -> None:
    """RFC 2231 3 and 4.1; the charset is said once."""
    given = [AttachmentPart(name="ü" * 10, content_type="application/pdf", data=b"a")]

    assert (
        b"Content-Disposition: attachment;\r\n"
        b" filename*0*=utf-8''%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC;\r\n"
        b" filename*1*=%C3%BC\r\n"
    ) in render(compose(attachments=given))


READ = {
    "bare": ("attachment; filename=a.txt", "a.txt"),
    "quoted": (r'attachment; filename="a \"b\"; c.txt"', 'a "b"; c.txt'),
    "upper case": ("attachment; FILENAME=a.txt", "a.txt"),
    "bare with blanks": ("attachment; filename=a b.txt ; size=3", "a b.txt"),
    "charset": ("attachment; filename*=iso-8859-1'de'%FCber.txt", "über.txt"),
    "sections": ("attachment; filename*1*=%C3%BC.txt; filename*0*=utf-8''a%20", "a ü.txt"),
    "mixed sections": ("""attachment; filename*0*=utf-8''%C3%BC; filename*1="%C3" """, "ü%C3"),
    "a character over two sections": (
        "attachment; filename*0*=utf-8''%C3; filename*1*=%BC.txt", "ü.txt"),
    "encoded words": ('attachment; filename="=?utf-8?q?=C3=BC?=.txt"', "ü.txt"),
    "both forms": ("attachment; filename=u.txt; filename*=utf-8''%C3%BC.txt", "ü.txt"),
    "no charset": ("attachment; filename*=%C3%BC.txt", "ü.txt"),
    "never closed": ('attachment; filename="a.txt', ""),
    "none": ("attachment", ""),
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), READ.values(), ids=READ)
def test_it_reads_the_names_senders_write(value: str, expected: str) -> None:
    assert parameters(value).get("filename", "") == expected
