"""Messages made to cost much are inspected in bounded time and memory (protocol item 134)."""

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.inbound.inspect import inspect
from tests.unit.inbound.samples import read_samples
from tests.unit.mail.test_hostile_messages import BOMBS

_HEAD = b"Return-Path: <>\nFrom: MAILER-DAEMON@far.test\nSubject: Undeliverable\n"
_REPORT = _HEAD + b"Content-Type: message/delivery-status\n\n"
_SECONDS = 10  # also on a busy machine; tracing makes up most of it
_ADDRESSES = (b"a@b.c " * 330 + b"\n") * 32
_LONG_TO = _HEAD + b"To: " + b"a@1 " * 50_000 + b"\n"


def _enclosing(enclosed: bytes) -> bytes:
    """Return a notice made of addresses that encloses another message."""
    boundary = b"b%d" % len(enclosed)
    return b"\n".join(
        [
            _LONG_TO + b"Content-Type: multipart/mixed; boundary=" + boundary,
            b"\n--" + boundary + b"\n\n" + _ADDRESSES,
            b"--" + boundary + b"\nContent-Type: message/rfc822\n\n" + enclosed,
        ]
    )


NOTICES: dict[str, Callable[[], bytes]] = {
    "addresses without end": lambda: (
        _HEAD + b"\n" + b"could not deliver to\n<a@far.test>:\n" * 40_000
    ),
    "one long line of addresses": lambda: _HEAD + b"\n" + b"a@far.test " * 100_000,
    "lines of addresses and a long To": lambda: _LONG_TO + b"\n" + _ADDRESSES,
    "such a notice in two others": lambda: _enclosing(_enclosing(_LONG_TO + b"\n" + _ADDRESSES)),
    "failed addresses in long lines": lambda: (
        _LONG_TO
        + b"\n"
        + b"".join(b"\nfailed " * (n % 200 == 0) + b"a%d@b.c " % n for n in range(9_000))
    ),
    "signs without an address": lambda: _HEAD + b"\n" + b"@" * 500_000,
    "one long word": lambda: _HEAD + b"\n" + b"a" * 500_000 + b"@",
    "dots": lambda: _HEAD + b"\na@" + b"a." * 250_000,
    "recipients without end": lambda: (
        _REPORT + b"Final-Recipient: rfc822;a@far.test\nAction: failed\n\n" * 20_000
    ),
    "a recipient folded without end": lambda: (
        _REPORT + b"Final-Recipient: rfc822;a@far.test" + b"\n a" * 200_000
    ),
    "an address of a megabyte": lambda: (
        _REPORT + b"Final-Recipient: rfc822;" + b"a" * 1_000_000 + b"@far.test\nAction: failed\n"
    ),
    "a diagnostic of a megabyte": lambda: (
        _REPORT
        + b"Final-Recipient: rfc822;a@far.test\nAction: failed\nDiagnostic-Code: smtp; "
        + b"5.1.1 550 " * 100_000
    ),
    "comments": lambda: _REPORT + b"Final-Recipient: rfc822;" + b"(" * 500_000 + b"\n",
    "headers in the text": lambda: _HEAD + b"\n" + b"Received: a\nFrom: b\n" * 30_000,
    "line ends": lambda: _HEAD + b"\n" * 500_000,
    "blanks": lambda: _HEAD + b"\n" + b" " * 500_000,
    "ten thousand parts": lambda: (
        _HEAD
        + b"Content-Type: multipart/report; boundary=b\n\n"
        + b"--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: a@b.test\n" * 10_000
    ),
    "hundreds of long reports": lambda: (
        _HEAD
        + b"Content-Type: multipart/report; boundary=b\n\n"
        + (
            b"--b\nContent-Type: message/delivery-status\n\n"
            + b"Final-Recipient: rfc822; a@b.test\nAction: failed\nStatus: 5.1.1\n\n" * 700
        )
        * 200
    ),
    "bounces in bounces": lambda: (_HEAD + b"Content-Type: message/rfc822\n\n") * 2_000,
    "failed recipients": lambda: b"X-Failed-Recipients: a@far.test\n" * 20_000 + _HEAD + b"\n",
    "JSON in JSON": lambda: _HEAD + b'\n{"notificationType":' + b"[" * 100_000,
    "HTML in HTML": lambda: _HEAD + b"Content-Type: text/html\n\n" + b"<div>a@b.test" * 40_000,
    "quoted local parts": lambda: _HEAD + b'\n"' + b'\\"' * 200_000,
}


@pytest.mark.parametrize("bomb", [*BOMBS.values(), *NOTICES.values()], ids=[*BOMBS, *NOTICES])
def test_it_ends_in_bounded_time_and_memory(bomb: Callable[[], bytes]) -> None:
    source = bomb()
    tracemalloc.start()
    started = time.thread_time()

    found = inspect(source)

    took, (_, peak) = time.thread_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < _SECONDS
    assert peak < 12 * len(source) + 20_000_000
    assert len(found.recipients) <= 1_000
    assert all(len(one.address) <= 320 and len(one.reason) <= 500 for one in found.recipients)


_PIECES = [
    b"From: MAILER-DAEMON@far.test", b"Return-Path: <>", b"\n", b"\r\n", b"Subject: Undeliverable",
    b"Content-Type: multipart/report; boundary=b", b"--b", b"--b--", b"Content-Type: ",
    b"message/delivery-status", b"message/rfc822", b"message/feedback-report", b"text/html",
    b"Final-Recipient: rfc822;", b"a@b.test", b"<", b">:", b"Action: failed", b"Status: 5.1.1",
    b"could not be delivered", b'{"notificationType":"Bounce"', b"\xff\xfe", b"\0", b"@",
    b"X-Failed-Recipients: ", b"-- Original message --", b"message/disposition-notification",
]  # fmt: skip


@given(
    st.binary(max_size=500)
    | st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join)
    | st.lists(st.sampled_from(_PIECES), max_size=40).map(b"\n".join)
)
def test_no_bytes_raise(source: bytes) -> None:
    found = inspect(source)
    assert all("\0" not in one.reason for one in found.recipients)


@pytest.mark.parametrize("sample", read_samples(), ids=lambda sample: str(sample["name"]))
def test_a_truncated_message_raises_nothing(sample: dict[str, bytes]) -> None:
    source = sample["source"]
    for end in range(0, len(source), 97):
        inspect(source[:end])
