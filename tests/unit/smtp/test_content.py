"""Line ends and dots of the body; protocol items 49, 64, 65 and 66."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.envelope import UnsendableError
from outbox.smtp.content import Content
from tests.unit.smtp.model_server import BOB, MODES, Client, ModelServer


def sent(source: bytes, mode: str = "pipelined") -> bytes:
    """What a server that undoes the stuffing gets."""
    server = ModelServer()
    Client(server, MODES[mode]).send(BOB, source=source)
    (mail,) = server.messages
    return mail


@pytest.mark.parametrize(
    ("source", "stuffed"),
    [
        (b".\r\n", b"..\r\n"),
        (b".a\r\n", b"..a\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n..\r\n", b"a\r\n...\r\n"),
        (b"a\r\n.\r\n.\r\n.\r\n", b"a\r\n..\r\n..\r\n..\r\n"),
        (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n"),
        (b"\r\n.a\r\n", b"\r\n..a\r\n"),
    ],
)
def test_it_doubles_a_leading_dot(source: bytes, stuffed: bytes) -> None:
    """Protocol item 64."""
    assert Content.of(source).stuffed() == stuffed


def test_it_doubles_a_dot_after_a_long_block() -> None:
    """Protocol item 64: across the edges of what is written at once."""
    line = b"x" * 65_534 + b"\r\n"
    assert sent(line + b".\r\n" + line + b".y\r\n") == line + b".\r\n" + line + b".y\r\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("source", "arrives"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"a", b"a\r\n", id="no newline gets one"),
        pytest.param(b"a\r\n", b"a\r\n", id="one newline stays one"),
        pytest.param(b"a\r\n\r\n", b"a\r\n\r\n", id="two stay two"),
        pytest.param(b".", b".\r\n", id="a dot alone"),
        pytest.param(b"\r\n", b"\r\n", id="a newline alone"),
    ],
)
def test_it_ends_with_one_newline(source: bytes, arrives: bytes, mode: str) -> None:
    """Protocol item 65."""
    assert sent(source, mode) == arrives


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        pytest.param(b"a\n.\nb\n", b"a\r\n.\r\nb\r\n", id="LF.LF"),
        pytest.param(b"a\r.\rb\r", b"a\r\n.\r\nb\r\n", id="CR.CR"),
        pytest.param(b"a\r\n.\nb\r\n", b"a\r\n.\r\nb\r\n", id="CRLF.LF"),
        pytest.param(b"a\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n", id="LF.CRLF"),
        pytest.param(b"a\r\n.\rb\r\n", b"a\r\n.\r\nb\r\n", id="CRLF.CR"),
        pytest.param(b"a\r\r\n.\r\n", b"a\r\n.\r\n", id="CRCRLF"),
    ],
)
def test_it_sends_no_bare_line_end(source: bytes, canonical: bytes) -> None:
    """Protocol item 66: nothing that another server could read as the end of the message."""
    assert Content.of(source).source == canonical
    assert sent(source) == canonical


def test_it_rejects_a_nul() -> None:
    """Protocol item 66."""
    with pytest.raises(UnsendableError, match=r"^5\.6\.0 .*NUL"):
        Content.of(b"a\r\n.\0\r\n")


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\xe9", b"\r\n.\r\n"])))
def test_it_is_one_message_for_any_source(pieces: list[bytes]) -> None:
    """Protocol items 64 to 66, for any mixture of dots and line ends."""
    source = b"".join(pieces)
    stuffed = Content.of(source).stuffed() + b".\r\n"
    assert stuffed.count(b"\r") == stuffed.count(b"\n") == stuffed.count(b"\r\n")
    assert (b"\r\n" + stuffed).count(b"\r\n.\r\n") == 1
    assert sent(source) == Content.of(source).source == sent(source, "single write")


def test_it_keeps_a_canonical_source() -> None:
    """Protocol item 20, seen from here: what was stored is what is sent."""
    source = b"Subject: x\r\n\r\n.\r\n"
    assert Content.of(source).source is source
