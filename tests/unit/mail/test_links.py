"""The links of a message: text, target, and which of them deceive."""

import time

import pytest

from outbox.mail.links import Link, links_of_html, links_of_text


def test_it_lists_what_a_link_shows_and_where_it_leads() -> None:
    html = (
        '<p><a href="https://example.com/a?b=1&amp;c=2">the <b>figures</b>\n of May</a>'
        '<a href="mailto:a@example.com">write</a> <a name="top">top</a>'
        '<a href="http://example.org"><img src="cid:x" alt="Logo"></a>'
    )
    assert list(links_of_html(html)) == [
        Link("the figures of May", "https://example.com/a?b=1&c=2", "example.com"),
        Link("Logo", "http://example.org", "example.org"),
    ]


def test_it_lists_the_addresses_in_a_plain_text() -> None:
    text = "See https://example.com/a (or http://example.org/b?c=d)."
    assert [link.target for link in links_of_text(text)] == [
        "https://example.com/a",
        "http://example.org/b?c=d",
    ]


def test_a_host_of_other_letters_is_shown_in_its_ascii_form() -> None:
    (link,) = links_of_html('<a href="https://\u0430pple.com/">Apple</a>')
    assert link.host == "xn--pple-43d.com"


@pytest.mark.parametrize(
    ("shown", "target", "claimed"),
    [
        ("https://bank.example.com/login", "https://evil.example.org/", "bank.example.com"),
        ("www.bank.com", "https://bank.com.evil.org/", "www.bank.com"),
        ("bank.com/login", "https://evil.org/bank.com/login", "bank.com"),
        ("b&#97;nk.com", "https://evil.org", "bank.com"),
        ("bank.com", "https://\u0430bank.com", "bank.com"),
        ("bank.com", "https://bank.com@evil.org/", "bank.com"),
        # the same host, or one of the same domain
        ("bank.com", "https://www.bank.com/", ""),
        ("www.bank.com", "https://login.bank.com/", ""),
        ("https://mail.bank.com/", "https://bank.com/", ""),
        # names of no host
        ("report.pdf", "https://example.org/report.pdf", ""),
        ("our bank", "https://example.org/", ""),
        ("read bank.com and weep", "https://example.org/", ""),
    ],
)
def test_it_finds_texts_that_name_another_host(shown: str, target: str, claimed: str) -> None:
    (link,) = links_of_html(f'<a href="{target}">{shown}</a>')
    assert link.claims == claimed


@pytest.mark.parametrize(
    "html",
    ["<a href=https://a.b/>x" * 20_000, '<a href="https://[">x</a>', "<a href='https://a.b/'>" * 9],
    ids=["many", "no host", "open"],
)
def test_hostile_links_cost_little_and_raise_nothing(html: str) -> None:
    began = time.process_time()
    assert list(links_of_html(html))
    assert time.process_time() - began < 5
