"""The Chinese catalog has one word for one concept, as dev/chinese_terms.toml says."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import polib
import pytest
from django.utils import translation

from dev.messages import CATALOG, ROOT
from outbox.api.alarms.shown import format_duration

LIST = ROOT / "dev" / "chinese_terms.toml"


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of the list."""

    ban: re.Pattern[str]
    write: str
    english: re.Pattern[str]  # matches every text if the entry names none
    example: tuple[str, str]

    def rejects(self, english: str, chinese: str) -> bool:
        return bool(self.english.search(english) and self.ban.search(chinese))


def load(path: Path = LIST) -> list[Term]:
    return [
        Term(
            re.compile(entry["ban"]),
            entry["write"],
            re.compile(entry.get("english", ""), re.IGNORECASE),
            tuple(entry["example"]),
        )
        for entry in tomllib.loads(path.read_text())["terms"]
    ]


TERMS = load()


def test_no_translation_uses_another_word_for_a_term() -> None:
    found = [
        f"{entry.msgid!r}: {chinese!r} — write: {term.write}"
        for entry in polib.pofile(str(CATALOG))
        for chinese in (entry.msgstr, *entry.msgstr_plural.values())
        for term in TERMS
        if term.rejects(entry.msgid, chinese)
    ]
    assert found == []


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.ban.pattern)
def test_each_entry_rejects_its_example(term: Term) -> None:
    assert term.rejects(*term.example)


def test_an_entry_applies_only_to_its_english() -> None:
    pause = [term for term in TERMS if term.rejects("Hold delivery", "暂停投递")]
    assert pause
    assert not any(term.rejects("Pause delivery", "暂停投递") for term in TERMS)


@pytest.mark.parametrize(
    ("language", "expected"), [("en", "1 hour, 30 minutes"), ("zh-hans", "1 小时 30 分钟")]
)
def test_the_parts_of_a_duration_are_joined_as_the_language_does(
    language: str, expected: str
) -> None:
    with translation.override(language):
        assert format_duration(5_400) == expected
