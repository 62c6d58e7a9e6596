"""Terms: what is asked for begins with what the text was cut into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.search_terms import MAX_TERM, terms_asked, terms_of

TEXTS = [
    ("Figures for October", ["figures", "for", "october"]),
    ("STRASSE Straße", ["strasse", "strasse"]),
    ("ﬁgures １２", ["figures", "12"]),  # a ligature, wide digits
    ("jane.doe@example.com", ["jane", "doe", "example", "com"]),
    ("snake_case, kebab-case", ["snake", "case", "kebab", "case"]),
    ("東京都", ["東京", "京都", "都"]),
    ("我用iPhone手机", ["我用", "用", "iphone", "手机", "机"]),
    ("いい天気", ["いい", "い天", "天気", "気"]),
    ("서울 날씨", ["서울", "날씨"]),
    ("", []),
    ("—…!", []),
]


@pytest.mark.parametrize(("text", "terms"), TEXTS)
def test_a_text_is_cut_into_terms(text: str, terms: list[str]) -> None:
    assert list(terms_of(text)) == terms


ASKED = [
    ("octo", ["octo"]),
    ("Annual Report", ["annual", "report"]),
    ("都", ["都"]),
    ("京都", ["京都"]),
    ("東京都", ["東京", "京都"]),
    ("手机 12", ["手机", "机", "12"]),
]


@pytest.mark.parametrize(("text", "terms"), ASKED)
def test_words_ask_for_terms(text: str, terms: list[str]) -> None:
    assert terms_asked(text) == terms


def found(text: str, words: str) -> bool:
    """Find as a database does: the terms in a row, the last one by its beginning."""
    terms, asked = list(terms_of(text)), terms_asked(words)
    starts = range(len(terms) - len(asked) + 1)
    return any(
        terms[at : at + len(asked) - 1] == asked[:-1]
        and terms[at + len(asked) - 1].startswith(asked[-1])
        for at in starts
    )


@given(before=st.text(), words=st.text(min_size=1), after=st.text())
def test_words_of_a_text_are_found(before: str, words: str, after: str) -> None:
    if terms_asked(words):
        assert found(f"{before} {words} {after}", words)


@given(st.text(alphabet="京都東天気", min_size=1, max_size=12), st.data())
def test_every_piece_of_an_unspaced_text_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert found(text, text[start:end])


def test_what_is_not_there_is_not_found() -> None:
    assert not found("東京 京都", "東京都")
    assert not found("annual 2026 report", "annual report")


def test_a_very_long_word_is_cut() -> None:
    assert list(terms_of("x" * 500)) == ["x" * MAX_TERM]
    assert terms_asked("x" * 500) == ["x" * MAX_TERM]
