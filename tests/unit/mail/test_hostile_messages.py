"""Messages made to cost much: all end soon, and without an exception (protocol item 134)."""

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.mail.displayed import MAX_TEXT, text_and_html
from outbox.mail.mime_reader import MAX_DEPTH, MAX_PARTS
from outbox.mail.parts import decoded_headers, outline, pictures
from outbox.mail.transfer_encodings import decode_base64


def nested_multiparts(levels: int) -> bytes:
    heads = (
        f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        for level in range(levels)
    )
    return "".join(heads).encode() + b"\ninnermost"


def encoded_containers(levels: int) -> bytes:
    """Each is quoted-printable as a whole, and escapes the next one once more."""
    source = b"x\n" * 30_000
    for level in range(levels):
        escape = b"=" + b"3D" * (levels - level)
        source = (
            b"Content-Type: multipart/mixed; boundary=b%d\n"
            b"Content-Transfer-Encoding: quoted-printable\n\n"
            b"--b%d\nX: %b\n%b" % (level, level, escape, source)
        )
    return source


BOMBS: dict[str, Callable[[], bytes]] = {
    "multiparts in multiparts": lambda: nested_multiparts(2_000),
    "multiparts around a large part": lambda: nested_multiparts(300) + b"x\n" * 100_000,
    "messages in messages": lambda: b"Content-Type: message/rfc822\n\n" * 50_000,
    "parts without end": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 60_000
    ),
    "lines like boundaries": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bb\n" * 60_000
    ),
    "the same boundary at every level": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 50_000
    ),
    "one long header": lambda: b"Subject: " + b"a" * 300_000 + b"\n\n",
    "many headers": lambda: b"A: b\n" * 60_000 + b"\n",
    "a header of one word": lambda: b"a" * 300_000,
    "folds without end": lambda: b"Subject: a" + b"\n " * 60_000 + b"\n\n",
    "encoded words without end": lambda: b"Subject: " + b"=?utf-8?q?a?= " * 50_000 + b"\n\n",
    "starts of encoded words": lambda: b"Subject: " + b"=?utf-8?q?" * 50_000 + b"\n\n",
    "parameters without end": lambda: b"Content-Type: a/b" + b';a="' * 50_000 + b"\n\n",
    "sections without end": lambda: (
        b"Content-Type: a/b" + b"".join(b";name*%d*=%%41" % n for n in range(50_000)) + b"\n\n"
    ),
    "semicolons": lambda: b"Content-Type: a/b" + b";" * 60_000 + b"\n\n",
    "blanks in a parameter": lambda: b"Content-Type: a/b; a" + b" " * 60_000 + b"\n\n",
    "quoted pairs": lambda: b'Content-Type: a/b; a="' + b"\\" * 60_000 + b"\n\n",
    "encoded containers": lambda: encoded_containers(90),
    "containers that claim to be encoded": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n"
        * 3_000
    ),
    "base64 containers": lambda: (
        b"Content-Type: multipart/mixed\nContent-Transfer-Encoding: base64\n\n" + b"QUFB\n" * 60_000
    ),
    "lines like unnamed boundaries": lambda: (
        b"Content-Type: multipart/mixed\n\n" + b"--b\n" * 60_000
    ),
    "unnamed boundaries": lambda: (
        b"Content-Type: multipart/mixed\n\n" + b"--b\nContent-Type: multipart/mixed\n\n" * 9_000
    ),
    "long lines like unnamed boundaries": lambda: (
        b"Content-Type: multipart/mixed\n\n" + (b"--" + b"b " * 150 + b"\n") * 1_000
    ),
    "many HTML parts": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n"
        + (b"--b\nContent-Type: text/html\n\n" + b"<p>a" * 50 + b"\n") * 100
    ),
    "uuencoded": lambda: (
        b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n" + b"#0V%T\n" * 60_000
    ),
    "starts of uuencoded files": lambda: (
        b"Content-Transfer-Encoding: x-uuencode\n\n" + b"begin 644\n" * 40_000
    ),
    "a large base64 body": lambda: b"Content-Transfer-Encoding: base64\n\n" + b"QUFB\n" * 100_000,
    "a large text": lambda: b"\n" + "é".encode() * 300_000,
    "a slow charset": lambda: b"Content-Type: text/plain; charset=punycode\n\n" + b"a-" * 60_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_it_ends_in_bounded_time_and_memory(bomb: Callable[[], bytes]) -> None:
    source = bomb()
    tracemalloc.start()
    started = time.thread_time()

    tree = outline(source)
    headers = decoded_headers(source)
    texts = text_and_html(source)

    took, (_, peak) = time.thread_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 10  # also on a busy machine; tracing makes up most of it
    assert peak < 12 * len(source) + 10_000_000
    assert len(list(tree.walk())) <= MAX_PARTS
    assert len(headers) <= 2_000
    assert all(len(text) <= MAX_TEXT for text in texts)


def test_a_hundred_levels_are_shown() -> None:
    paths = [part.path for part in outline(nested_multiparts(500)).walk()]

    assert len(paths) == MAX_DEPTH == 100


def test_pictures_of_a_preview_are_bounded() -> None:
    part = "--b\nContent-Type: image/png\nContent-ID: <{}>\n\n" + "x" * 3_000_000 + "\n"
    source = "Content-Type: multipart/related; boundary=b\n\n" + "".join(
        part.format(number) for number in range(5)
    )

    assert list(pictures(source.encode())) == ["0", "1", "2"]


@given(st.binary() | st.text("abcd=").map(str.encode))
@example(b"=abbdnoruy")
@example(b"a=bcdefgh")
def test_no_base64_raises(data: bytes) -> None:
    assert isinstance(decode_base64(data), bytes)


@given(st.binary(max_size=500) | st.lists(st.sampled_from([
    b"Content-Type: ", b"multipart/mixed;", b"message/rfc822", b" boundary=b", b"\n", b"\r\n",
    b"--b", b"--b--", b"--", b";", b'"', b" ", b"Content-Transfer-Encoding: base64", b"\xff",
    b"Content-Transfer-Encoding: x-uuencode", b"begin 644 a", b"#0V%T", b"multipart/alternative;",
    b"text/html", b"Content-Transfer-Encoding: quoted-printable", b"=3D",
]), max_size=40).map(b"".join))  # fmt: skip
def test_no_bytes_raise(source: bytes) -> None:
    assert all(part.size >= 0 for part in outline(source).walk())
    assert isinstance(text_and_html(source), tuple)
    assert isinstance(decoded_headers(source), list)
    assert isinstance(pictures(source), dict)
