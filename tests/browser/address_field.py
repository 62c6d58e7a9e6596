"""The To field of the composer, as tests write into it and read it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

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


def to_field(page: "Page") -> "Locator":
    return page.get_by_label("To", exact=True)


def chips(page: "Page") -> list[list[Any]]:
    found: list[list[Any]] = page.locator("#id_to ~ .chips .address-chip").evaluate_all(CHIPS)
    return found
