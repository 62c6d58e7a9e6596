"""Whatever code without a reader says to people is on the list that is translated for them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from outbox.api import phrases
from outbox.mail.addresses import AddressError, parse_address

OUTBOX = Path(__file__).resolve().parents[3] / "outbox"
_SMTP = (
    "connection", "content", "envelope", "gate", "opening", "plan", "protocol", "reaching", "reply",
    "sevenbit", "tls", "wire",
)  # fmt: skip
_DELIVERY = (
    "converse", "record", "recorder", "route", "storage", "sweep", "verdict", "webhooks",
)  # fmt: skip
_MAIL = (
    "addresses", "content_type", "custom_fields", "headers", "html", "mailbox", "mime", "source",
)  # fmt: skip
_API = ("composing", "drafts")
SAYING = (
    *(f"smtp/{name}.py" for name in _SMTP),
    *(f"delivery/{name}.py" for name in _DELIVERY),
    *(f"mail/{name}.py" for name in _MAIL),
    *(f"api/{name}.py" for name in _API),
    "models/secrets.py",
)
# Where a sentence stands that nobody reads on a page: logs, SQL, and defects of our own code.
UNREAD = {
    "debug", "info", "warning", "error", "exception", "execute", "compile", "raw",
    "OutOfOrderError", "ValueError", "ImproperlyConfigured", "ConnectionResetError",
}  # fmt: skip
OF_NO_READER = {
    " [cut at 2,048 bytes]", "[cut after 100 lines]",  # stands in what a server said
    "noopener noreferrer nofollow", "compose X X",  # of links, and of keys
}  # fmt: skip
ENHANCED = re.compile(r"^[0-9.]{5,} |^X ")


def said_in(path: Path) -> Iterator[str]:
    """Give every sentence of a module, an X for each value in it; docstrings left out."""
    yield from _said(ast.parse(path.read_text()))


def _said(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and _name(node.func) in UNREAD:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Constant | ast.JoinedStr):
        if _is_sentence(text := _text(node)):
            yield text
        return
    for child in ast.iter_child_nodes(node):
        yield from _said(child)


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(
        str(piece.value) if isinstance(piece, ast.Constant) else "X" for piece in node.values
    )


def _is_sentence(text: str) -> bool:
    words = [word for word in text.split() if word.strip(".,:;“”()").isalpha()]
    return (
        len(words) > 2
        and any(word.islower() for word in words)
        and not text.isupper()
        and "INSERT" not in text
    )


def is_on_the_list(text: str) -> bool:
    """Know a sentence, and a part that code puts together with others."""
    pieces = re.split(r"X|\{\}", ENHANCED.sub("", text))
    part = re.compile(".*".join(re.escape(piece) for piece in pieces))
    return any(part.search(phrase) for phrase in phrases.PHRASES)


@pytest.mark.parametrize("module", SAYING)
def test_every_sentence_made_for_people_is_on_the_list(module: str) -> None:
    said = set(said_in(OUTBOX / module)) - OF_NO_READER
    assert {text for text in said if not is_on_the_list(text)} == set()


ADDRESSES = [
    "anna", "anna@", "@example.com", "a b@example.com", "anna@exa mple.com", '"anna@example.com',
    "anna@example.com>", "<anna@example.com", "<a@b.c> x", "a@@b.c", "a@example.com.",
    f"{'x' * 250}@example.com", f"a@{'x' * 300}.com", "a@[1.2.3]", "(x", "a\x01@b.c",
    "a@b.c, d@e.f", "a@b.c\nx", "a:b", 'x@"y".z',
]  # fmt: skip


@pytest.mark.parametrize("typed", ADDRESSES)
def test_whatever_is_wrong_with_an_address_is_on_the_list(typed: str) -> None:
    with pytest.raises(AddressError) as found:
        parse_address(typed)
    assert phrases.is_known(str(found.value))


def test_a_sentence_is_put_in_the_reader_s_language() -> None:
    with translation.override("zh-hans"):
        assert phrases.translate("“anna” has no @") == "“anna”缺少 @"


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    text = "The whole mail was sent, but its answer was lost: the connection was reset"
    with translation.override("zh-hans"):
        translated = phrases.translate(text)
    assert translated.startswith("整封邮件已经发出")
    assert translated.endswith("连接被重置")


@pytest.mark.parametrize("start", ["5.3.4 ", "auth: ", "192.0.2.1: ", ""])
def test_what_stands_in_front_stays(start: str) -> None:
    with translation.override("zh-hans"):
        assert phrases.translate(f"{start}the connection was reset") == f"{start}连接被重置"


@pytest.mark.parametrize("said", ["451 4.7.1 Please come back", "550 the connection was odd", ""])
def test_what_a_server_said_stays(said: str) -> None:
    with translation.override("zh-hans"):
        assert phrases.translate(said) == said


def test_english_is_left_alone() -> None:
    with translation.override("en-gb"):
        assert phrases.translate("“anna” has no @") == "“anna” has no @"


def test_each_reader_gets_their_own_language() -> None:
    for language, said in (("zh-hans", "连接被重置"), ("en", "the connection was reset")):
        with translation.override(language):
            assert phrases.translate("the connection was reset") == said


def test_the_more_definite_phrase_wins() -> None:
    with translation.override("zh-hans"):
        translated = phrases.translate("the server refused the login: 535 5.7.8 no")
    assert translated.startswith("服务器拒绝了登录")
    assert translated.endswith("535 5.7.8 no")


def test_a_huge_text_costs_nothing() -> None:
    text = "a, " * 100_000 + "certificate of "
    with translation.override("zh-hans"):
        assert phrases.translate(text) == text
