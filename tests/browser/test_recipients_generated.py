"""Random mixtures of recipients, typed and pasted: the script and the server's parser agree."""

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.mail.address_tokens import ANY_QUOTES, tokenize
from outbox.mail.addresses import AddressError, parse_entry, split_entries
from tests.browser.address_field import DROP, PASTE, chips, to_field
from tests.browser.writing import write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page

SPLIT = """async (texts) => {
    const { splitEntries, parseEntry } = await import("/static/outbox/compose/address_parser.js");
    const parsed = (entry) => [entry, parseEntry(entry)?.key ?? null];
    return texts.map((text) => splitEntries(text).map(parsed));
}"""
pieces = st.sampled_from([
    "jane", "bob@example.org", "Carl@Example.org", "Jane Roe", "Doe", "john", "@", "a@b", ".",
    "taro..suzuki@example.jp", ".x@example.org", "Jane Roe <jane@example.org>", "王老师",
    "李@例子.中国",
    '"Lee, Ann" <ann@example.net>', '"open', "<ann@example.net>", "<", ">", "(note)", "(", ")", ":",
    "Team: a@x.org, b@x.org;", "mailto:m@example.org", "x@i❤.example", "x@-bad.org", "a@x.org.",
    "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "x@[1.2.3]", "“王，李” <w@example.cn>",
    "＜w@example.cn＞",
    "e" * 65 + "@example.org", "Ünal", "3com", "van", "de Vries",
])  # fmt: skip
separators = st.sampled_from([",", ", ", ";", "; ", " ", "，", "；", "、", ""])
pasted_separators = separators | st.sampled_from(["\n", "\r\n", "\t", "\n\n", " \t "])


def mixtures(between: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(pieces, between), min_size=1, max_size=6)
    return pairs.map(lambda found: "".join(piece + separator for piece, separator in found))


def in_browser(examples: int) -> settings:
    return settings(
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def key_of(entry: str) -> str | None:
    try:
        return parse_entry(entry).key
    except AddressError:
        return None


def expected_chips(entries: list[str]) -> list[list[Any]]:
    """Return each entry and whether it is an address; of one mailbox, the first entry only."""
    chips: list[list[Any]] = []
    known: set[str] = set()
    for entry in entries:
        key = key_of(entry)
        if key is None or key not in known:
            chips.append([entry, key is not None])
        known |= {key} if key else set()
    return chips


def typed_entries(text: str) -> list[str]:
    """Split what was typed: a separator separates at the keystroke, also inside "Doe, John <…>"."""
    apart = "".join(
        "\n" if token.in_ascii.text in {",", ";"} else token.text
        for token in tokenize(text, ANY_QUOTES)
    )
    return split_entries(apart)


def empty(page: "Page") -> None:
    page.evaluate("""() => {
        for (const chip of document.querySelectorAll("#id_to ~ .chips .chip-remove")) chip.click();
        document.querySelector("#id_to_entry").value = "";
    }""")
    to_field(page).focus()


def form_value(page: "Page") -> str:
    value: str = page.locator("#id_to").evaluate("field => field.value")
    return value


@pytest.mark.system
def test_the_script_splits_as_the_server_does(page: "Page") -> None:
    write_new(page)

    @in_browser(60)
    @given(st.lists(mixtures(pasted_separators), min_size=20, max_size=20))
    def compare(texts: list[str]) -> None:
        split = page.evaluate(SPLIT, texts)
        for text, entries in zip(texts, split, strict=True):
            assert entries == [[entry, key_of(entry)] for entry in split_entries(text)], text

    compare()


@pytest.mark.system
def test_typed_text_becomes_the_chips_that_the_server_would_make(page: "Page") -> None:
    write_new(page)
    to = to_field(page)

    @in_browser(30)
    @given(mixtures(separators))
    def type_it(text: str) -> None:
        empty(page)
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        assert to.input_value() == ""
        expected = expected_chips(typed_entries(text))
        assert chips(page) == expected, text
        assert split_entries(form_value(page)) == [entry for entry, _ in expected], text

    type_it()


def test_pasted_text_becomes_the_chips_that_the_server_would_make(page: "Page") -> None:
    write_new(page)
    to = to_field(page)

    @in_browser(30)
    @given(mixtures(pasted_separators), st.sampled_from([PASTE, DROP]))
    def paste_it(text: str, how: str) -> None:
        empty(page)
        to.evaluate(how, text)
        page.keyboard.press("Enter")
        assert to.input_value() == ""
        assert chips(page) == expected_chips(split_entries(text)), text

    paste_it()


def test_pasted_entries_stay_separate_from_earlier_ones(page: "Page") -> None:
    write_new(page)
    to = to_field(page)

    @in_browser(30)
    @given(st.lists(pieces, min_size=2, max_size=4), st.sampled_from([PASTE, DROP]))
    def paste_each(texts: list[str], how: str) -> None:
        empty(page)
        for text in texts:
            to.evaluate(how, text)
        page.keyboard.press("Enter")
        for entry, is_right in chips(page):
            if is_right:
                address = parse_entry(entry)
                # A text that ends inside an address may be continued by the next one.
                is_continued = any(re.search(r"[\s@.<>\"()]$", text) for text in texts[:-1])
                is_whole = any(address.spec in text.replace("＠", "@") for text in texts)
                assert is_whole or is_continued, (texts, entry)

    paste_each()
