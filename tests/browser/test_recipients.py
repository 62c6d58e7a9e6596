"""Recipients as people type, paste, drop and edit them, by keyboard events in a real browser.

What the script makes of a text is compared with the server's parser, and what a real SMTP server
received with both.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.mail.address_tokens import ANY_QUOTES, tokenize
from outbox.mail.addresses import AddressError, parse_address, parse_entry, split_entries
from outbox.models import Account, Contact, Message, Security
from outbox.testing.mailserver import MailServer
from tests.browser.writing import saved, write_new
from tests.conftest import StartWorker

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

DELIVERED = 30  # seconds a delivery may take on a busy machine
SPLIT = """async (texts) => {
    const { splitEntries, parseEntry } = await import("/static/outbox/compose/addresses.js");
    const parsed = (entry) => [entry, parseEntry(entry)?.key ?? null];
    return texts.map((text) => splitEntries(text).map(parsed));
}"""
PASTE = """(field, text) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    const options = { clipboardData: data, bubbles: true, cancelable: true };
    if (field.dispatchEvent(new ClipboardEvent("paste", options))) {
        field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
}"""
DROP = """(box, text) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    const options = { dataTransfer: data, bubbles: true, cancelable: true };
    box.dispatchEvent(new DragEvent("drop", options));
}"""
CHIPS = (
    """(chips) => chips.map((chip) => [chip.dataset.entry, !chip.classList.contains("invalid")])"""
)

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
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path / "mail") as server:
        yield server


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


def to_field(page: "Page") -> "Locator":
    return page.get_by_label("To", exact=True)


def chips(page: "Page") -> list[list[Any]]:
    found: list[list[Any]] = page.locator("#id_to ~ .chips .address-chip").evaluate_all(CHIPS)
    return found


def empty(page: "Page") -> None:
    page.evaluate("""() => {
        for (const chip of document.querySelectorAll("#id_to ~ .chips .chip-remove")) chip.click();
        document.querySelector("#id_to_entry").value = "";
    }""")
    to_field(page).focus()


def form_value(page: "Page") -> str:
    value: str = page.locator("#id_to").evaluate("field => field.value")
    return value


def test_the_script_splits_as_the_server_does(page: "Page") -> None:
    write_new(page)

    @in_browser(60)
    @given(st.lists(mixtures(pasted_separators), min_size=20, max_size=20))
    def compare(texts: list[str]) -> None:
        split = page.evaluate(SPLIT, texts)
        for text, entries in zip(texts, split, strict=True):
            assert entries == [[entry, key_of(entry)] for entry in split_entries(text)], text

    compare()


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


def test_no_paste_sticks_to_what_stands_before_it(page: "Page") -> None:
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
                assert any(address.spec in text.replace("＠", "@") for text in texts) or re.search(
                    r"[\s@.<>\"()]$", texts[0]
                ), (texts, entry)

    paste_each()


def test_the_separated_word_is_red_at_once_and_joins_nothing(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("jane,")
    assert chips(page) == [["jane", False]]
    page.keyboard.type("bob@example.org;carl@example.org")
    page.keyboard.press("Enter")
    assert chips(page) == [["jane", False], ["bob@example.org", True], ["carl@example.org", True]]
    assert page.locator("#id_to_error").inner_text() == "“jane” is not a valid email address."


def test_send_is_blocked_with_the_text_that_is_no_address(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Subject").fill("Never sent")
    to_field(page).focus()
    page.keyboard.type("bob@example.org, jane")
    page.keyboard.press("Control+Enter")
    page.locator(".address-chip.invalid .chip-name:focus").wait_for()
    assert "“jane”" in page.get_by_role("alert").filter(has_text="valid email address").inner_text()
    page.keyboard.press("Enter")  # edit it
    assert to_field(page).input_value() == "jane"
    page.keyboard.type("jane@example.org")
    page.keyboard.press("Enter")
    assert chips(page) == [["bob@example.org", True], ["jane@example.org", True]]
    assert page.locator("#id_to_error").inner_text() == ""
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="Never sent").wait_for()
    sent = Message.objects.get().recipients.order_by("pk").values_list("address", flat=True)
    assert list(sent) == ["bob@example.org", "jane@example.org"]


def test_editing_chips_by_keys_never_joins_them(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("ann@example.org,bob@example.org,")
    page.keyboard.press("Backspace")  # goes to the chip; what is typed now is another recipient
    page.keyboard.type("jane@example.org,")
    assert [entry for entry, _ in chips(page)] == [
        "ann@example.org", "bob@example.org", "jane@example.org",
    ]  # fmt: skip
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("F2")  # bob's text, selected
    page.keyboard.type("carl@example.org")
    page.keyboard.press("Tab")
    assert [entry for entry, _ in chips(page)] == [
        "ann@example.org", "jane@example.org", "carl@example.org",
    ]  # fmt: skip
    to_field(page).focus()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.press("Delete")
    assert [entry for entry, _ in chips(page)] == ["ann@example.org"]
    page.keyboard.press("Control+z")
    page.keyboard.type("x")
    assert to_field(page).input_value() == "x"


def test_a_click_on_a_chip_and_typing_adds_another_recipient(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("bob@example.org,jane,")
    page.locator(".address-chip .chip-name").first.click()
    page.keyboard.type("carl@example.org,")
    page.locator(".address-chip.invalid .chip-name").click()
    page.keyboard.type("jane@example.org,")
    assert [entry for entry, _ in chips(page)] == [
        "bob@example.org", "carl@example.org", "jane@example.org",
    ]  # fmt: skip


def test_a_suggestion_replaces_only_what_it_was_found_for(page: "Page", anna: User) -> None:
    Contact.of(anna.pk, parse_address("Jack <jack@example.com>"), is_kept=True).save()
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("jane,ja")
    page.locator("#id_to_options [aria-selected=true]").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.type("bob@example.org ja")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert chips(page) == [
        ["jane", False], ["Jack <jack@example.com>", True], ["bob@example.org ja", False],
    ]  # fmt: skip


def test_an_input_method_composes_in_peace(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    session = page.context.new_cdp_session(page)
    session.send(
        "Input.imeSetComposition", {"text": "wang，", "selectionStart": 5, "selectionEnd": 5}
    )
    assert chips(page) == []
    session.send("Input.insertText", {"text": "王，"})
    assert chips(page) == [["王", False]]
    page.keyboard.type("wang@example.cn")
    session.send("Input.insertText", {"text": "；"})
    assert chips(page) == [["王", False], ["wang@example.cn", True]]


def test_the_smtp_server_receives_what_was_typed(
    page: "Page", server: MailServer, start_worker: StartWorker
) -> None:
    Account.objects.update(host=server.host, port=server.port, security=Security.NONE, username="")
    start_worker()
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("taro..suzuki@mobile.example.jp，.taro@example.jp;")
    to_field(page).evaluate(PASTE, "Doe, John <john@example.org>\nAnn Lee\tann@example.net\r\n")
    page.keyboard.type(f"{'t' * 70}@example.org x@i❤.example")
    page.keyboard.press("Tab")
    page.get_by_text("Cc, Bcc").click()
    page.get_by_label("Bcc", exact=True).focus()
    page.keyboard.type('"Lee, Bo" <bo@example.net>')
    page.get_by_label("Subject").fill("To all")
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="To all").wait_for()
    deadline = time.monotonic() + DELIVERED
    while not (entries := server.entries()):
        assert time.monotonic() < deadline, page.locator("#main").inner_text()
        page.wait_for_timeout(100)
    received = {address for entry in entries for address in entry.accepted}
    assert received == {
        "taro..suzuki@mobile.example.jp", ".taro@example.jp", "john@example.org", "ann@example.net",
        f"{'t' * 70}@example.org", "x@xn--i-7iq.example", "bo@example.net",
    }  # fmt: skip


def test_without_a_recipient_the_field_says_so_and_has_the_focus(page: "Page") -> None:
    write_new(page)
    page.locator("#id_to_entry:focus").wait_for()
    page.get_by_label("Text").fill("The plan is attached.")
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").get_by_text("Enter at least one recipient.").wait_for()
    page.locator("#id_to_entry[aria-invalid=true][aria-describedby=id_to_error]:focus").wait_for()
    assert page.get_by_text("The subject is empty.").count() == 0
    page.get_by_label("Subject").focus()
    page.keyboard.type("Plan")
    with saved(page, "The plan is attached."):  # saving finds no fault, and removes none
        pass
    page.locator("#id_to_error").get_by_text("Enter at least one recipient.").wait_for()
    to_field(page).focus()
    page.keyboard.type("bob@example.org,")
    page.locator("#id_to_error").wait_for(state="hidden")
    page.keyboard.press("Control+Enter")
    page.locator(".advice:focus").wait_for()


def test_every_error_of_the_server_is_still_displayed_beside_the_scripts(
    page: "Page", anna: User
) -> None:
    write_new(page)
    Account.objects.all().delete()
    page.get_by_role("button", name="Later").click()
    page.get_by_label("At another time").fill("2001-01-01T09:00")
    page.locator("#send").click()
    page.locator("#id_account[aria-invalid=true]:focus").wait_for()
    for field in ("account", "to", "send_at"):
        assert page.locator(f"#id_{field}_error").text_content(), field
        assert page.locator(f"[aria-describedby~=id_{field}_error]:not([hidden])").count() == 1
