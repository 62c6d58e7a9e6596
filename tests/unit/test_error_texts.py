"""Errors of code that knows no reader: each has a template that the pages translate."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address

OUTBOX = Path(__file__).resolve().parents[2] / "outbox"
ERRORS = {"address_error", "HeaderError", "SourceError", "HtmlTooLongError", "TemplatePartError"}
ADDRESSES = [
    "anna", "anna@", "@example.com", "a b@example.com", "anna@exa mple.com", '"anna@example.com',
    "anna@example.com>", "<anna@example.com", "<a@b.c> x", "a@@b.c", "a@example.com.",
    f"{'x' * 250}@example.com", f"a@{'x' * 300}.com", "a@[1.2.3]", "(x", "a\x01@b.c",
    "a@b.c, d@e.f", "a@b.c\nx", "a:b", 'x@"y".z',
]  # fmt: skip


def unmarked_texts(path: Path) -> Iterator[str]:
    """Yield where an error gets a sentence that is not marked for translation."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
            for value in node.args:
                is_sentence = isinstance(value, ast.Constant) and " " in str(value.value)
                if is_sentence or isinstance(value, ast.JoinedStr):
                    yield f"{path.relative_to(OUTBOX)}:{node.lineno}"


def test_each_sentence_is_marked_for_translation() -> None:
    # `@domain` is what the error quotes, not a sentence.
    found = [place for path in OUTBOX.rglob("*.py") for place in unmarked_texts(path)]
    assert [place for place in found if not place.startswith("mail/mailbox.py")] == []


@pytest.mark.parametrize("typed", ADDRESSES)
def test_each_error_of_an_address_is_translated(typed: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(typed)
    with translation.override("zh-hans"):
        translated = in_words(caught.value)
    assert translated != str(caught.value)
    assert any("\u4e00" <= char <= "\u9fff" for char in translated)


def test_an_error_within_an_error_is_translated_too() -> None:
    with pytest.raises(AddressError) as caught:
        parse_address("anna")
    error = InvalidMessageError("source", "The message cannot be sent: %(why)s.", why=caught.value)
    assert str(error) == "The message cannot be sent: “anna” has no @."
    with translation.override("zh-hans"):
        assert "“anna”缺少 @" in in_words(error)


def test_an_error_takes_over_the_text_of_another() -> None:
    with pytest.raises(AddressError) as caught:
        parse_address("100%@")
    error = InvalidMessageError("to", caught.value)
    assert (error.field, str(error)) == ("to", str(caught.value))
    assert "100%@" in str(error)


def test_a_text_without_values_is_kept_as_it_is() -> None:
    assert str(InvalidMessageError("subject", "100 %(of) them")) == "100 %(of) them"
