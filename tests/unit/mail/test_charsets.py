"""Text of any declared charset, or of none."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.charsets import decode_text

READ = {
    "declared": (b"\xe9", "iso-8859-15", "é"),
    "quoted": ("é".encode(), '"UTF-8"', "é"),
    "Latin 1 means Windows": (b"\x93a\x94", "iso-8859-1", "“a”"),
    "ASCII means what works": ("é".encode(), "us-ascii", "é"),
    "wrongly declared": ("日本".encode(), "ascii", "日本"),
    "wrong and no UTF-8": (b"\xe9", "utf-8", "\ufffd"),
    "unknown, UTF-8 inside": ("é".encode(), "x-unknown", "é"),
    "unknown, Windows inside": (b"\xe9", "unknown-8bit", "é"),
    "none": (b"\xe9", "", "é"),
    "GB2312 means GB18030": ("鎔".encode("gb18030"), "gb2312", "鎔"),
    "Japanese": ("日本".encode("iso2022_jp"), "iso-2022-jp", "日本"),
    "no charset but a codec": (b"YQ==", "base64", "YQ=="),
    "escapes are not run": (b"\\x41", "unicode_escape", "\\x41"),
    "half a pair": (b"+2AA-", "utf-7", "\ufffd"),
    "NUL": (b"a\0b", "utf-8", "a\ufffdb"),
    "a hostile name": (b"a", "utf-8\0" * 100, "a"),
    "a path as the name": (b"a", "../../x", "a"),
}


@pytest.mark.parametrize(("data", "charset", "text"), READ.values(), ids=READ)
def test_it_reads_what_was_meant(data: bytes, charset: str, text: str) -> None:
    assert decode_text(data, charset) == text


@given(
    st.binary(), st.text(max_size=10) | st.sampled_from(["utf-16", "utf-7", "hz", "big5", "idna"])
)
def test_it_never_raises_and_the_text_can_be_stored(data: bytes, charset: str) -> None:
    text = decode_text(data, charset)

    assert "\0" not in text
    assert text.encode("utf-8") is not None


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "iso-2022-jp", "hz"])
def test_no_charset_takes_long(charset: str) -> None:
    """Protocol item 134: the codecs punycode and idna of Python take quadratic time."""
    started = time.process_time()

    decode_text(b"a-" * 500_000, charset)

    assert time.process_time() - started < 1
