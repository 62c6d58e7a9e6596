"""What is read out of a reply to EHLO; protocol item 26."""

import pytest

from outbox.smtp.extensions import Extensions
from tests.unit.smtp.model_server import extensions


def test_it_keeps_keywords_and_parameters() -> None:
    found = extensions("PIPELINING", "SIZE 1000", "X-ODD one two", "HELP")
    assert found.offered == {"PIPELINING": "", "SIZE": "1000", "X-ODD": "one two", "HELP": ""}


def test_it_does_not_mind_case() -> None:
    found = extensions("pipelining", "Size 1000", "8bitMime", "smtpUTF8", "chunking", "StartTLS")
    assert found.pipelining
    assert found.eight_bit
    assert found.smtputf8
    assert found.chunking
    assert found.starttls
    assert found.size_limit == 1000


def test_it_does_not_take_the_greeting_line_for_an_offer() -> None:
    assert extensions().offered == {}


@pytest.mark.parametrize(
    "offers",
    [
        ["AUTH PLAIN LOGIN"],
        ["auth plain login"],
        ["AUTH=PLAIN LOGIN"],
        ["AUTH PLAIN", "AUTH=LOGIN"],
    ],
)
def test_it_reads_auth_in_the_old_spelling_too(offers: list[str]) -> None:
    """Protocol item 26: "AUTH=LOGIN" tolerated."""
    assert extensions(*offers).auth == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize(
    ("offer", "limit"),
    [
        ("SIZE 1000", 1000),
        ("SIZE", 0),
        ("SIZE 0", 0),
        ("SIZE lots", 0),
        ("SIZE -5", 0),
        ("SIZE 99999999999999999999999999", 0),
        ("SIZE \u0663", 0),
    ],
)
def test_it_reads_the_size_limit_or_none(offer: str, limit: int) -> None:
    """Protocol item 48: SIZE 0 or absent = unknown."""
    found = extensions(offer)
    assert found.size
    assert found.size_limit == limit


def test_it_reads_the_limits_of_a_transaction() -> None:
    """Protocol item 60."""
    found = extensions("LIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1 OTHER=7")
    assert found.recipients_limit == 20
    assert found.mails_limit == 5
    assert found.domains_limit == 1


def test_it_offers_nothing_before_ehlo() -> None:
    nothing = Extensions()
    assert not nothing.pipelining
    assert not nothing.starttls
    assert nothing.auth == frozenset()
