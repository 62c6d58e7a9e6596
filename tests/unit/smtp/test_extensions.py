"""What is read out of a reply to EHLO; protocol item 26."""

import time

import pytest

from outbox.smtp.extensions import Extensions
from outbox.smtp.reply import Reply
from tests.unit.smtp.model_server import extensions


def test_it_keeps_keywords_and_parameters() -> None:
    found = extensions("PIPELINING", "SIZE 1000", "X-ODD one two", "HELP")
    assert found.offered == {"PIPELINING": "", "SIZE": "1000", "X-ODD": "one two", "HELP": ""}


def test_it_ignores_case() -> None:
    found = extensions("pipelining", "Size 1000", "8bitMime", "smtpUTF8", "chunking", "StartTLS")
    assert found.pipelining
    assert found.eight_bit
    assert found.smtputf8
    assert found.chunking
    assert found.starttls
    assert found.size_limit == 1000


def test_it_does_not_parse_the_greeting_line_as_a_keyword() -> None:
    assert extensions().offered == {}


@pytest.mark.parametrize(
    "lines",
    [
        ["AUTH PLAIN LOGIN"],
        ["auth plain login"],
        ["AUTH=PLAIN LOGIN"],
        ["AUTH PLAIN", "AUTH=LOGIN"],
        ["AUTH=LOGIN PLAIN", "AUTH LOGIN PLAIN"],
        ["AUTH= PLAIN LOGIN"],
        ["AUTH\tPLAIN\tLOGIN"],
        ["AUTH: PLAIN LOGIN"],
        ["Auth = PLAIN,LOGIN"],
        [*(f"X-{number}" for number in range(150)), "AUTH PLAIN LOGIN"],
        [*(f"X-{number} {'x' * 1_900}" for number in range(5)), "AUTH PLAIN LOGIN"],
        [" AUTH  PLAIN  LOGIN "],
        ["AUTH PLAIN,LOGIN"],
        ["AUTH=PLAIN=LOGIN"],
    ],
)
def test_it_reads_auth_in_the_old_spelling_too(lines: list[str]) -> None:
    """Protocol item 26: "AUTH=LOGIN" tolerated."""
    assert extensions(*lines).auth == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("SIZE 1000", 1000),
        ("SIZE", 0),
        ("SIZE 0", 0),
        ("SIZE lots", 0),
        ("SIZE -5", 0),
        ("SIZE 99999999999999999999999999", 0),
        ("SIZE \u0663", 0),
        ("SIZE 3.5e7", 0),
        ("SIZE 35M", 0),
        ("SIZE 35,882,577", 0),
        ("SIZE 0x100", 0),
        ("SIZE +1000", 0),
        ("SIZE=35882577", 35882577),
        ("size = 35882577", 35882577),
        ("SIZE\t35882577", 35882577),
        ("SIZE  35882577 ", 35882577),
        ("SIZE 10 MB", 0),
    ],
)
def test_it_reads_the_size_limit_or_none(line: str, limit: int) -> None:
    """Protocol item 48: SIZE 0 or absent = unknown."""
    found = extensions(line)
    assert found.size
    assert found.size_limit == limit


def test_it_reads_the_limits_of_a_transaction() -> None:
    """Protocol item 60."""
    found = extensions("LIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1 OTHER=7")
    assert found.rcpt_max == 20
    assert found.mail_max == 5
    assert found.rcpt_domain_max == 1


def test_it_has_no_extensions_before_ehlo() -> None:
    nothing = Extensions()
    assert not nothing.pipelining
    assert not nothing.starttls
    assert nothing.auth == frozenset()


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        (["SIZE 1000", "SIZE 2000"], 2000),
        (["SIZE 2000", "SIZE 1000"], 2000),
        (["SIZE 1000", "SIZE 0"], 0),
        (["SIZE", "SIZE 1000"], 1000),
        (["SIZE 1000", "SIZE lots"], 0),
    ],
)
def test_the_largest_of_several_limits_counts(lines: list[str], limit: int) -> None:
    """The server rejects a message that a smaller limit excludes; we would fail it unasked."""
    assert extensions(*lines).size_limit == limit


def test_it_ignores_empty_lines_and_reads_each_keyword_once() -> None:
    found = extensions("", "  ", "=", "PIPELINING", "pipelining", "DSN\t")
    assert found.offered == {"PIPELINING": "", "DSN": ""}
    assert found.pipelining
    assert found.dsn


@pytest.mark.parametrize("line", ["= " * 100_000, "A=" * 100_000, " " * 200_000])
def test_a_line_of_200_kb_is_read_at_once(line: str) -> None:
    began = time.process_time()
    Extensions.of(Reply(250, "", f"far.test\n{line}"))
    assert time.process_time() - began < 0.5
