"""The project's texts use standard terms: dev/banned_words.toml, applied to all of its files."""

from pathlib import Path

import pytest

from dev.words import files, find, load

BANNED = load()


def found_in(text: str) -> list[str]:
    return [finding.found for finding in BANNED.in_text("example.md", text)]


def test_no_file_uses_a_banned_word() -> None:
    assert [str(finding) for finding in find(files(), BANNED)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("The bell rings.", ["bell", "rings"], id="words"),
        pytest.param("Bells and string", ["bells"], id="whole words in any case"),
        pytest.param("route.ask_leave(1)", ["route", "ask leave"], id="names with underscores"),
        pytest.param("askLeave(1)", ["ask leave"], id="names in camel case"),
        pytest.param("that it\n    # takes leave", ["takes leave"], id="a wrapped comment"),
        pytest.param("It stands in the log.", ["stands in"], id="two words"),
        pytest.param("Who reads plain text sees nothing.", ["Who"], id="a word in one case only"),
        pytest.param("The user who wrote it.", [], id="the same word in another case"),
        pytest.param("def offers(self) -> None: ...", [], id="a verb"),
    ],
)
def test_it_finds_banned_words(text: str, expected: list[str]) -> None:
    assert found_in(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Leave the message on the server.",
        "A unit test, and tests/unit/mail.",
        "The next message is due; schedule it.",
        "The site is behind a reverse proxy.",
        "There is no address.",
        "let count = 0;",
        "Each in turn.",
    ],
)
def test_it_allows_words_in_their_standard_contexts(text: str) -> None:
    assert found_in(text) == []


def test_a_finding_names_the_place_and_the_replacement(tmp_path: Path) -> None:
    (tmp_path / "example.md").write_text("First line\n\nA message to nobody\n")

    (finding,) = find(["example.md"], BANNED, tmp_path)

    assert str(finding).startswith("example.md:3: “nobody” — write: name the subject")


def test_it_reads_the_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "far_end.py").touch()

    (finding,) = find(["far_end.py"], BANNED, tmp_path)

    assert (finding.line, finding.found) == (0, "far end")


def test_it_reads_the_unreleased_part_of_a_changelog(tmp_path: Path) -> None:
    text = "# Changelog\n\n## Unreleased\n\nNew twin\n\n## 1.0\n\nOld twin\n"
    (tmp_path / "CHANGELOG.md").write_text(text)

    findings = find(["CHANGELOG.md"], BANNED, tmp_path)

    assert [finding.line for finding in findings] == [5]


def test_it_reads_the_source_texts_of_a_catalog(tmp_path: Path) -> None:
    (tmp_path / "django.po").write_text(
        'msgid "One mail"\nmsgid_plural "%d mails"\nmsgstr[0] "a mail"\n'
        '\n#~ msgid "Old mails"\n#~ msgstr ""\n'
    )

    findings = find(["django.po"], BANNED, tmp_path)

    assert [finding.found for finding in findings] == ["one mail", "mails"]


def test_docstrings_start_with_a_standard_verb(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text('def size() -> int:\n    """Give the size."""\n')

    (finding,) = find(["example.py"], BANNED, tmp_path)

    assert (finding.line, finding.found) == (2, "Give")


@pytest.mark.parametrize(
    ("summary", "wrong"),
    [
        ("delivery: Fix a race between claim and sweep", ""),
        ("tests: Let no test depend on the clock", "“Let” is not a standard verb"),
        ("Fix a race", "write “area: Imperative summary”"),
        (f"docs: Add {'x' * 72}", "longer than 72 characters"),
    ],
)
def test_summaries_of_commits(summary: str, wrong: str) -> None:
    found = BANNED.in_summary(summary)

    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)
