"""Text outside ASCII in headers: RFC 2047, both ways."""

import email.header
import email.utils
import re

import pytest
from hypothesis import given

from outbox.mail.addresses import Address
from outbox.mail.encoded_words import decode_words, encode_words
from outbox.mail.mime_writer import render
from tests.unit.mail.samples import classic, compose, head_of, line, modern, texts


def decoded_by_the_classic_parser(value: str) -> str:
    unfolded = value.replace("\r\n", "").replace("\n", "")
    return str(email.header.make_header(email.header.decode_header(unfolded)))


@given(texts)
def test_a_subject_comes_back_from_two_parsers(subject: str) -> None:
    """Protocol item 9."""
    assert modern(subject=subject)["Subject"] == subject
    assert decoded_by_the_classic_parser(classic(subject=subject)["Subject"]) == subject


@given(texts)
def test_our_own_reader_gives_back_what_was_written(text: str) -> None:
    assert decode_words(" ".join(encode_words(text, 30))) == text


@given(texts)
def test_each_word_is_short_and_whole(text: str) -> None:
    """Protocol item 9: at most 75 characters, and no character is split."""
    for word in encode_words(text, 20):
        assert len(word) <= 75
        assert re.fullmatch(r"=\?utf-8\?[qb]\?[!->@-~]*\?=", word)
        assert "\ufffd" not in decode_words(word).replace("\ufffd" if "\ufffd" in text else "", "")


@given(line)
def test_no_line_with_an_encoded_word_is_over_76(name: str) -> None:
    """RFC 2047 2, and protocol item 10."""
    source = render(compose(subject=name))

    assert all(len(found) <= 76 for found in head_of(source) if b"=?" in found)


@given(texts)
def test_a_name_comes_back_from_the_classic_parser(name: str) -> None:
    value = classic(from_=Address(name, "ann", "example.net"))["From"]

    read, spec = email.utils.parseaddr(value)

    assert (decoded_by_the_classic_parser(read), spec) == (name, "ann@example.net")


@pytest.mark.parametrize(
    "name", ["Zoë", "Lee, Ann", 'Ann "A" Lee', "日本語 📬", "a\\b", "=?utf-8?q?x?=", "J. Doe", "@"]
)
def test_a_name_comes_back_from_the_modern_parser(name: str) -> None:
    """Of one word each: until Python 3.13 this parser put a blank between the words of a name."""
    found = modern(from_=Address(name, "ann", "example.net"))["From"].addresses[0]

    assert (found.display_name, found.addr_spec) == (name, "ann@example.net")


@given(texts)
def test_a_name_never_touches_the_address(name: str) -> None:
    """Protocol item 9: no encoded word inside an addr-spec or a quoted string."""
    source = render(compose(to=[Address(name, "bob", "example.org")]))
    field = b" ".join(line.strip() for line in head_of(source)[2:] if line).decode()
    value = field[field.index("To: ") : field.index("Subject:")]

    assert "<bob@example.org>" in value or value.strip() == "To: bob@example.org"
    assert not re.search(r'"[^"]*=\?utf-8[^"]*"', value)


READ = {
    "plain": ("Hello", "Hello"),
    "both encodings": ("=?UTF-8?B?w6k=?= and =?utf-8?Q?=C3=A9_?=", "é and é "),
    "blanks between words vanish": ("=?utf-8?q?a?=   =?utf-8?q?b?= c", "ab c"),
    "a character over two words": ("=?utf-8?b?w6k=?= =?utf-8?q?=C3?= =?utf-8?q?=A9?=", "éé"),
    "two charsets": ("=?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?=", "éé"),
    "a language": ("=?utf-8*fr?q?=C3=A9t=C3=A9?=", "été"),
    "an unknown charset": ("=?x-unknown?q?=C3=A9?=", "é"),
    "a codec that is not a charset": ("=?zlib?b?eJw=?= =?punycode?q?a?=", "xœa"),
    "broken base64": ("=?utf-8?b?w6kx!?=", "é1"),
    "no padding": ("=?utf-8?b?w6k?=", "é"),
    "blanks inside a word": ("=?utf-8?q?a b?=", "a b"),
    "a line break inside a word": ("=?utf-8?q?a=0D=0ABcc:_x?=", "a\ufffd\ufffdBcc: x"),
    "NUL": ("=?utf-8?q?a=00b?=", "a\ufffdb"),
    "never ended": ("=?utf-8?q?abc", "=?utf-8?q?abc"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), READ.values(), ids=READ)
def test_it_reads_what_senders_write(raw: str, expected: str) -> None:
    assert decode_words(raw) == expected
