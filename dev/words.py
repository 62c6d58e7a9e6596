"""Find banned words (dev/banned_words.toml) in files, and banned verbs in commit summaries.

python -m dev.words                   all files of the project
python -m dev.words PATH…             these files, or all below these folders
python -m dev.words --commits main..  the summaries of these commits
"""

import argparse
import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polib

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "dev" / "banned_words.toml"
PLACES = (
    *("outbox", "signin", "mailsite", "deploy", "templates", "docs", "dev", "bench", "tests"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "Procfile"),
    *("pyproject.toml", ".env.example", "docker-compose.yml", "Dockerfile", "manage.py"),
)
# The list itself and its test, generated files, names of places, and pictures.
# Among them are texts that other programs wrote.
LEFT_OUT = re.compile(
    r"outbox/inbound/notification_texts\.toml$|tests/unit/inbound/samples/\w+\.toml$|"
    r"dev/banned_words\.toml$|tests/unit/dev/test_words\.py$|outbox/migrations/|zones\.json$|\.(?:mo|webp|svg)$"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BREAK = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#|//|\*|\"|')?[ \t]*)"  # a space in prose that may be wrapped
_SPACE = re.compile(
    r"\[(?:\\.|[^]\\])*]|\(\?<[!=][^)]*\)| "
)  # classes and lookbehinds stay as they are
_CONTEXT = 60  # characters on both sides of a word that its context may include
_SUMMARY = re.compile(r"\w[\w, -]*: (\w+)")


class Finding(NamedTuple):
    path: str
    line: int
    found: str
    write: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: “{self.found}” — write: {self.write}"


@dataclass(frozen=True)
class Word:
    """One entry of the list."""

    ban: re.Pattern[str]
    exact: re.Pattern[str]
    allow: re.Pattern[str] | None
    write: str


@dataclass(frozen=True)
class BannedWords:
    """The list: words anywhere, and verbs that start no docstring and no commit summary."""

    words: tuple[Word, ...]
    ban: re.Pattern[str]  # the words of all entries, for one pass over a text
    exact: re.Pattern[str]
    docstrings: frozenset[str]
    commits: frozenset[str]

    def in_text(self, path: str, text: str, *, first_line: int = 1) -> Iterator[Finding]:
        """Yield the findings in a text that starts at `first_line` of a file."""
        plain = _CAMEL.sub(" ", text).replace("_", " ")
        lower = plain.lower()
        if len(lower) != len(plain):  # İ becomes two characters
            lower = plain
        found = list(self.ban.finditer(lower))
        found += self.exact.finditer(plain)
        for match in sorted(found, key=re.Match.start):
            word = self._entry_of(match)
            if not _is_allowed(word, lower, match):
                line = first_line + plain.count("\n", 0, match.start())
                yield Finding(path, line, " ".join(match[0].split()), word.write)

    def _entry_of(self, match: re.Match[str]) -> Word:
        for word in self.words:
            pattern = word.ban if match.re is self.ban else word.exact
            if pattern.match(match.string, match.start()):
                return word
        raise AssertionError(match[0])

    def in_docstrings(self, path: str, text: str) -> Iterator[Finding]:
        """Yield the docstrings of a module that start with a banned verb."""
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, documented) and (docstring := ast.get_docstring(node)):
                first = docstring.split()[0]
                if first in self.docstrings:
                    line = node.body[0].lineno
                    yield Finding(path, line, first, "a docstring starts with Return, Check, Send…")

    def in_summary(self, summary: str) -> str:
        """Return what is wrong with the summary of a commit, or an empty string."""
        match = _SUMMARY.match(summary)
        if match is None:
            return "write “area: Imperative summary”"
        if match[1] in self.commits:
            return f"“{match[1]}” is not a standard verb: Add, Fix, Remove, Rename, Move, Test…"
        return "" if len(summary) <= 72 else "longer than 72 characters"  # noqa: PLR2004


def load(path: Path = LIST) -> BannedWords:
    """Return the list that a file contains."""
    read = tomllib.loads(path.read_text())
    entries = read["words"]
    return BannedWords(
        words=tuple(map(_word, entries)),
        ban=_words_of(pattern for entry in entries for pattern in entry["ban"]),
        exact=_words_of(pattern for entry in entries for pattern in entry.get("exact", ())),
        docstrings=frozenset(read["docstrings"]["not_first"]),
        commits=frozenset(read["commits"]["not_first"]),
    )


def _word(entry: dict[str, Any]) -> Word:
    allow = entry.get("allow", ())
    return Word(
        ban=_words_of(entry["ban"]),
        exact=_words_of(entry.get("exact", ())),
        allow=re.compile(_wrapped("|".join(allow)), re.IGNORECASE | re.MULTILINE)
        if allow
        else None,
        write=entry["write"],
    )


def _words_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one pattern of whole words; of no words, one that matches nothing."""
    either = "|".join(map(_wrapped, patterns)) or "(?!)"
    return re.compile(rf"\b(?:{either})(?!\w)", re.MULTILINE)


def _wrapped(pattern: str) -> str:
    """Return a pattern whose spaces also match a line break."""
    return _SPACE.sub(lambda part: _BREAK if part[0] == " " else part[0], pattern)


def _is_allowed(word: Word, text: str, match: re.Match[str]) -> bool:
    """Return whether a match is part of a context in which the word is correct."""
    if word.allow is None:
        return False
    start = max(0, match.start() - _CONTEXT)
    contexts = word.allow.finditer(text, start, match.end() + _CONTEXT)
    return any(one.start() <= match.start() and match.end() <= one.end() for one in contexts)


def find(paths: Iterable[str], banned: BannedWords, root: Path = ROOT) -> list[Finding]:
    """Return the findings in files, whose paths are relative to `root`."""
    found: list[Finding] = []
    for path in paths:
        found += banned.in_text(path, path, first_line=0)  # its own name, as line 0
        text = (root / path).read_text()
        if path.endswith(".po"):
            found += _in_catalog(path, root, banned)
            continue
        if path == "CHANGELOG.md":
            text = _unreleased(text)
        found += banned.in_text(path, text)
        if path.endswith(".py"):
            found += banned.in_docstrings(path, text)
    return found


def _in_catalog(path: str, root: Path, banned: BannedWords) -> Iterator[Finding]:
    for entry in polib.pofile(str(root / path)):
        if not entry.obsolete:
            for text in filter(None, (entry.msgid, entry.msgid_plural)):
                for finding in banned.in_text(path, text):
                    yield finding._replace(line=entry.linenum or 0)


def _unreleased(changelog: str) -> str:
    """Return the changelog up to its second heading of a version."""
    parts = re.split(r"(?m)^(?=## )", changelog)
    return "".join(parts[:2])


def files(paths: Iterable[str] = PLACES, root: Path = ROOT) -> list[str]:
    """Return the files that git knows in some places, without those that are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *paths],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [path for path in listed if not LEFT_OUT.search(path) and (root / path).is_file()]


def summaries(commits: str) -> list[str]:
    """Return the summaries of a range of commits."""
    command = ["git", "log", "--no-merges", "--format=%s", commits]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def main() -> None:
    """Print the findings; exit with 1 when there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", help="files and folders; all of the project if empty")
    parser.add_argument("--commits", help="check the summaries of these commits: main..")
    options = parser.parse_args()
    banned = load()
    lines: list[str] = []
    if options.commits:
        checked = ((summary, banned.in_summary(summary)) for summary in summaries(options.commits))
        lines = [f"{summary} — {wrong}" for summary, wrong in checked if wrong]
    else:
        lines = [str(one) for one in find(files(options.paths or PLACES), banned)]
    print(*lines, sep="\n")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
