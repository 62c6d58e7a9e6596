"""Replies come in any portions and any shape; protocol items 81 to 87."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.smtp import ProtocolError, Reply, ReplyParser
from outbox.smtp.reply import LINE_KEPT, LINE_MAX, LINES_KEPT, LINES_MAX, REPLY_KEPT, WHOLE_MAX


def parse(data: bytes, size: int = 1 << 20) -> list[Reply]:
    parser = ReplyParser()
    replies = []
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])
        while (reply := parser.next()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"250 ok\r\n", Reply(250, "", "ok"), id="plain"),
        pytest.param(b"250\r\n", Reply(250, "", ""), id="code alone"),
        pytest.param(b"250 \r\n", Reply(250, "", ""), id="code and blank"),
        pytest.param(b"250 ok  \r\n", Reply(250, "", "ok  "), id="trailing spaces stay"),
        pytest.param(b"250-a\r\n250-\r\n250 c\r\n", Reply(250, "", "a\n\nc"), id="three lines"),
        pytest.param(b"250-a\r\n250\r\n", Reply(250, "", "a\n"), id="last line is a code alone"),
        pytest.param(b"250-a\n250 b\n", Reply(250, "", "a\nb"), id="LF alone ends lines"),
        pytest.param(b"250-a\r\n250 b\n", Reply(250, "", "a\nb"), id="mixed line ends"),
        pytest.param(b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "2.1.0 Ok"), id="enhanced"),
        pytest.param(b"250 2.1.0\r\n", Reply(250, "2.1.0", "2.1.0"), id="enhanced alone"),
        pytest.param(b"550 4.1.1 no\r\n", Reply(550, "", "4.1.1 no"), id="another class"),
        pytest.param(b"550 5.1.1-no\r\n", Reply(550, "", "5.1.1-no"), id="no blank after it"),
        pytest.param(b"550 no 5.7.1 x\r\n", Reply(550, "", "no 5.7.1 x"), id="amid the text"),
        pytest.param(b"550 15.1.1 x\r\n", Reply(550, "", "15.1.1 x"), id="class of two digits"),
        pytest.param(b"550 5.1.1000 x\r\n", Reply(550, "", "5.1.1000 x"), id="detail of four"),
        pytest.param(b"354 3.0.0 x\r\n", Reply(354, "", "3.0.0 x"), id="no class 3 (RFC 3463)"),
        pytest.param(
            b"550-5.1.1 no\r\n550 5.7.1 at all\r\n",
            Reply(550, "5.1.1", "5.1.1 no\n5.7.1 at all"),
            id="the first line's counts",
        ),
        pytest.param(
            b"550-no\r\n550 5.7.1 at all\r\n",
            Reply(550, "5.7.1", "no\n5.7.1 at all"),
            id="a later line's counts if the first line has none",
        ),
        pytest.param(
            b"550-4.1.1 no\r\n550 5.7.1 at all\r\n",
            Reply(550, "5.7.1", "4.1.1 no\n5.7.1 at all"),
            id="or one of another class",
        ),
        pytest.param(b"550 #5.1.0 no\r\n", Reply(550, "5.1.0", "#5.1.0 no"), id="with a sign"),
        pytest.param(b"550 [5.1.1] no\r\n", Reply(550, "5.1.1", "[5.1.1] no"), id="in brackets"),
        pytest.param(b"550 5.1.1: no\r\n", Reply(550, "5.1.1", "5.1.1: no"), id="with a colon"),
        pytest.param(b"550 5.1.1.\r\n", Reply(550, "5.1.1", "5.1.1."), id="with a period"),
        pytest.param(b"550 5.1.1.1 x\r\n", Reply(550, "", "5.1.1.1 x"), id="four numbers"),
        pytest.param(b"550   5.1.1 x\r\n", Reply(550, "5.1.1", "  5.1.1 x"), id="many blanks"),
        pytest.param(b"550 \t5.1.1 x\r\n", Reply(550, "5.1.1", "\t5.1.1 x"), id="a tab before it"),
        pytest.param(b"550 (#5.1.1) x\r\n", Reply(550, "5.1.1", "(#5.1.1) x"), id="two signs"),
        pytest.param(b"452 4.5.3Too\r\n", Reply(452, "4.5.3", "4.5.3Too"), id="a word after it"),
        pytest.param(b"250ok\r\n", Reply(250, "", "ok"), id="no blank after the code"),
        pytest.param(b"250_ok\r\n", Reply(250, "", "_ok"), id="another sign after the code"),
        pytest.param(b"250: ok\r\n", Reply(250, "", ": ok"), id="a colon after the code"),
        pytest.param(b"250\0ok\r\n", Reply(250, "", "\\x00ok"), id="NUL after the code"),
        pytest.param(b"250-a\r\n250b\r\n", Reply(250, "", "a\nb"), id="in the last line"),
        pytest.param(
            b"250-a\r\nhello\r\n250 b\r\n",
            Reply(250, "", "a\nhello\nb"),
            id="a line without a code",
        ),
        pytest.param(
            b"250-queued as\r\n ABC\r\n\t\r\n25\r\n250 b\r\n",
            Reply(250, "", "queued as\n ABC\n\t\n25\nb"),
            id="a line that was broken",
        ),
        pytest.param(b"250\tok\r\n", Reply(250, "", "ok"), id="a tab after the code"),
        pytest.param(b"250 ok\r\r\n", Reply(250, "", "ok"), id="two CR"),
        pytest.param(b"250\r\r\n", Reply(250, "", ""), id="code alone and two CR"),
        pytest.param(b"\r\n\n250 ok\r\n\r\n", Reply(250, "", "ok"), id="empty lines around it"),
        pytest.param(b"250-a\r\n\r\n250 b\r\n", Reply(250, "", "a\nb"), id="an empty line within"),
        pytest.param(
            b"550-5.1.1 a\r\n554 5.7.1 b\r\n",
            Reply(554, "5.1.1", "5.1.1 a\n5.7.1 b"),
            id="two codes of one class: the last line's ends it",
        ),
    ],
)
def test_it_reads_a_reply_however_it_is_split(data: bytes, expected: Reply) -> None:
    """Protocol items 81, 85 and 86."""
    for size in (1 << 20, 7, 3, 2, 1):
        assert parse(data, size) == [expected]


def test_it_reads_several_replies_of_one_packet_in_order() -> None:
    """Protocol item 85."""
    data = b"250 a\r\n550-b\r\n550 c\r\n354 d\r\n"
    assert [reply.code for reply in parse(data)] == [250, 550, 354]
    assert parse(data, 1) == parse(data)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"hello", "is not an SMTP reply"),
        (b"25", "is not an SMTP reply"),
        (b"25 ok", "is not an SMTP reply"),
        (b"2500 ok", "is not an SMTP reply"),
        (b" 250 ok", "is not an SMTP reply"),
        (b"\xb2\xb50 ok", "is not an SMTP reply"),
        (b"000 ok", "the code 000"),
        (b"099 ok", "the code 099"),
        (b"600 ok", "the code 600"),
        (b"999 ok", "the code 999"),
        (b"450-a\r\n550 b", "two codes, 450 and 550"),
        (b"250-a\r\n550 b", "two codes, 250 and 550"),
        (b"250-a\r\n2500 b", "is not an SMTP reply"),
        (b"250-a\r\n999 b", "the code 999"),
        (b"250-a\r\nhello\r\n550 b", "two codes, 250 and 550"),
    ],
)
def test_it_rejects_an_invalid_reply(line: bytes, why: str) -> None:
    """Protocol item 82."""
    for size in (1 << 20, 1):
        with pytest.raises(ProtocolError, match=why):
            parse(line + b"\r\n", size)


def test_lines_without_a_code_count_as_lines() -> None:
    with pytest.raises(ProtocolError):
        parse(b"250-a\r\n" + b"hello\r\n" * LINES_MAX)


def test_it_keeps_the_whole_of_a_reply_only_where_it_is_read() -> None:
    lines = b"".join(b"250-%04d\r\n" % number for number in range(LINES_MAX - 1)) + b"250 end\r\n"
    for data in (lines, b"334 " + b"x" * 3_000 + b"\r\n"):
        [cut] = parse(data)
        assert cut.full_text == cut.text
        parser = ReplyParser()
        parser.keeps_whole = True
        parser.feed(data)
        reply = parser.next()
        assert reply == cut
        assert reply is not None
        expected = [line[4:].decode() for line in data.split(b"\r\n")[:-1]]
        assert reply.full_text.split("\n") == expected


def test_a_reply_that_fits_is_kept_once() -> None:
    parser = ReplyParser()
    parser.keeps_whole = True
    for data in (b"250-a\r\n250 b\r\n", b"250 b\r\n"):
        parser.feed(data)
        reply = parser.next()
        assert reply is not None
        assert not reply.whole


def test_what_is_kept_of_a_whole_reply_is_limited() -> None:
    parser = ReplyParser()
    parser.keeps_whole = True
    parser.feed((b"250-" + b"x" * 60_000 + b"\r\n") * 20 + b"250 end\r\n")
    reply = parser.next()
    assert reply is not None
    assert len(reply.whole) < 3 * WHOLE_MAX


def test_it_keeps_waiting_for_the_last_line() -> None:
    """Protocol item 82: what is missing is missed by the deadline, not taken as read."""
    parser = ReplyParser()
    parser.feed(b"250-a\r\n250-b\r\n")
    assert parser.next() is None
    assert parser.pending
    parser.feed(b"250 c\r\n")
    assert parser.next() == Reply(250, "", "a\nb\nc")
    assert not parser.pending


def test_it_truncates_a_long_line_visibly() -> None:
    """Protocol item 83: over 512 octets is tolerated, over the cap is cut."""
    (reply,) = parse(b"250 " + b"x" * 600 + b"\r\n")
    assert reply.text == "x" * 600
    (reply,) = parse(b"250 " + b"x" * (LINE_KEPT + 1) + b"\r\n")
    assert reply.text == "x" * (LINE_KEPT - 4) + " [cut at 2,048 bytes]"


def test_it_truncates_many_lines_visibly() -> None:
    """Protocol item 83."""
    (reply,) = parse(b"250-x\r\n" * (LINES_KEPT + 5) + b"250 end\r\n")
    assert reply.text == "x\n" * LINES_KEPT + "[cut after 100 lines]"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"x" * 2_040, id="letters"),
        pytest.param("中".encode() * 600, id="three bytes a character"),
        pytest.param(b"\xff" * 2_040, id="four bytes for one that is not text"),
        pytest.param(b"\0" * 2_040, id="control characters"),
    ],
)
@pytest.mark.parametrize("lines", [1, 3, 100])
def test_it_keeps_a_bounded_number_of_bytes(line: bytes, lines: int) -> None:
    """Escapes take more than what arrived, and a server may send 200 KB."""
    (reply,) = parse((b"250-" + line + b"\r\n") * (lines - 1) + b"250 " + line + b"\r\n")
    assert len(reply.text.encode()) <= REPLY_KEPT + 30
    if lines == 100:
        assert reply.text.endswith(" [cut at 4,096 bytes]")
    assert len(reply.quoted) <= 500


@pytest.mark.parametrize("size", [1 << 16, 1 << 10])
def test_it_rejects_a_line_without_end(size: int) -> None:
    """Protocol item 83: bounded in bytes."""
    with pytest.raises(ProtocolError, match="line of more than"):
        parse(b"250 " + b"x" * (LINE_MAX + 1), size)


def test_it_rejects_a_reply_without_end() -> None:
    """Protocol item 83: bounded in lines."""
    with pytest.raises(ProtocolError, match="reply of more than"):
        parse(b"250-x\r\n" * (LINES_MAX + 1))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param("grüß".encode(), "grüß", id="UTF-8 stays"),
        pytest.param("grüß".encode("latin-1"), "gr\\xfc\\xdf", id="other bytes"),
        pytest.param(b"a\0b", "a\\x00b", id="NUL"),
        pytest.param(b"\x1b[31mred", "\\x1b[31mred", id="ANSI escape"),
        pytest.param(b"a\rb", "a\\rb", id="CR alone"),
        pytest.param(b"a\x7fb", "a\\x7fb", id="DEL"),
        pytest.param("a\u009bb".encode(), "a\\x9bb", id="C1"),
        pytest.param("a\u202eb".encode(), "a\\u202eb", id="bidirectional override"),
        pytest.param("a\u2066b".encode(), "a\\u2066b", id="bidirectional isolate"),
        pytest.param("a\u2028b".encode(), "a\\u2028b", id="line separator"),
        pytest.param(b"a\tb", "a\tb", id="tab stays"),
        pytest.param("a\u00a0b".encode(), "a\u00a0b", id="no-break space stays"),
    ],
)
def test_it_makes_dangerous_bytes_visible(raw: bytes, shown: str) -> None:
    """Protocol item 84."""
    assert parse(b"550 " + raw + b"\r\n")[0].text == shown
    assert parse(b"550-" + raw + b"\r\n550 end\r\n")[0].text == f"{shown}\nend"


@pytest.mark.parametrize(
    ("code", "claim"),
    [(250, "accepted"), (354, "intermediate"), (451, "transient"), (550, "permanent")],
)
def test_it_is_an_email_message_of_django(code: int, claim: str) -> None:
    reply = Reply(code, "", "")
    claims = ["accepted", "intermediate", "transient", "permanent"]
    assert [name for name in claims if getattr(reply, name)] == [claim]


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (b"432 4.3.2 x", "3.2"),
        (b"550 4.5.3 x", "5.3"),  # of another class
        (b"550-no\r\n550 #5.7.8 x", "7.8"),
        (b"550 see 5.7.8", ""),
        (b"550", ""),
    ],
)
def test_it_has_the_detail_of_the_enhanced_code(reply: bytes, detail: str) -> None:
    assert parse(reply + b"\r\n")[0].detail == detail


def test_it_rejects_a_thousand_empty_lines() -> None:
    """Protocol item 83: bounded in lines."""
    with pytest.raises(ProtocolError, match="reply of more than"):
        parse(b"\r\n" * (LINES_MAX + 1))


def test_its_text_is_the_reply_as_received() -> None:
    assert str(Reply(250, "", "a\nb")) == "250-a\n250 b"


replies = st.builds(
    lambda code, texts: (
        "".join(f"{code}-{text}\r\n" for text in texts[:-1]) + f"{code} {texts[-1]}\r\n"
    ),
    st.integers(100, 599),
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "P"])), min_size=1),
)


@given(st.lists(replies), st.integers(1, 40))
def test_it_ignores_where_packets_end(written: list[str], size: int) -> None:
    """Protocol item 85."""
    data = "".join(written).encode()
    assert "".join(f"{reply}\n" for reply in parse(data, size)) == data.decode().replace("\r", "")


@given(st.lists(st.binary(max_size=200)))
def test_it_survives_arbitrary_bytes(pieces: list[bytes]) -> None:
    """Protocol item 82: whatever comes is a reply, the need for more, or a ProtocolError."""
    parser = ReplyParser()
    with suppress(ProtocolError):
        for piece in pieces:
            parser.feed(piece)
            while (reply := parser.next()) is not None:
                assert 100 <= reply.code < 600
                assert "\0" not in reply.text
                assert "\r" not in reply.text
                reply.text.encode()
