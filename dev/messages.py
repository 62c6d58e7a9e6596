"""`make messages`: bring the catalogue up to the sources, and compile it.

    python -m dev.messages

Finds every text marked for translation in Python and in templates, adds what is new to the
catalogue, drops what is gone, and writes the compiled file beside it. No gettext tools are needed.
A text that changed is new: nothing is guessed, so no entry is ever fuzzy.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polib
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "outbox" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
SOURCES = ("outbox", "templates", "mailsite")
# Which of a call's arguments are texts: context, singular, plural.
_FUNCTIONS = {
    "_": ("text",),
    "gettext": ("text",),
    "gettext_lazy": ("text",),
    "gettext_noop": ("text",),
    "ngettext": ("text", "plural"),
    "ngettext_lazy": ("text", "plural"),
    "pgettext": ("context", "text"),
    "pgettext_lazy": ("context", "text"),
    "npgettext": ("context", "text", "plural"),
    "npgettext_lazy": ("context", "text", "plural"),
}
_MARKED = re.compile(r"gettext|trans")
# Templates are turned into such calls by Django, with anything between them.
_CALL = re.compile(r"\b(?:_|n?p?gettext(?:_lazy|_noop)?)\(")


@dataclass(frozen=True, slots=True)
class Text:
    """What is translated as one: the same words in another context are another text."""

    text: str
    plural: str = ""
    context: str | None = None


def main() -> None:
    """Write the catalogue and say what is left to translate."""
    catalogue = polib.pofile(str(CATALOGUE), wrapwidth=100)
    update(catalogue, found_in_sources())
    catalogue.save(str(CATALOGUE))
    catalogue.save_as_mofile(str(CATALOGUE.with_suffix(".mo")))
    missing = catalogue.untranslated_entries()
    print(f"{len(catalogue)} texts, {len(missing)} of them not translated")
    for entry in missing:
        print(f"  {entry.msgid!r}")
    sys.exit(1 if missing else 0)


def update(catalogue: polib.POFile, found: dict[Text, list[str]]) -> None:
    """Make the catalogue hold exactly the texts found, in the order of the files they stand in."""
    known = {_text_of(entry): entry for entry in catalogue}
    catalogue.clear()
    for text, places in found.items():
        entry = known.get(text) or polib.POEntry(
            msgid=text.text,
            msgid_plural=text.plural,
            msgctxt=text.context,
            msgstr_plural={0: ""} if text.plural else {},
        )
        # A line would change with every edit above it.
        entry.occurrences = [(place, "") for place in dict.fromkeys(places)]
        entry.flags = ["python-format"] if "%(" in text.text else []
        catalogue.append(entry)


def _text_of(entry: polib.POEntry) -> Text:
    return Text(entry.msgid, entry.msgid_plural, entry.msgctxt)


def found_in_sources() -> dict[Text, list[str]]:
    """Return every text and the files it stands in."""
    found: dict[Text, list[str]] = defaultdict(list)
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        for text in read_file(path):
            found[text].append(name)
    return dict(found)


def _files() -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".html", ".txt"} and "migrations" not in path.parts:
                yield path


def read_file(path: Path) -> list[Text]:
    """Return the texts of a Python file or a template."""
    source = path.read_text()
    if not _MARKED.search(source):
        return []  # most have none, and reading them takes its time
    return list(_in_python(source) if path.suffix == ".py" else _in_template(source))


def _in_python(source: str) -> Iterator[Text]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if text := _read_call(call):
            yield text


def _in_template(source: str) -> Iterator[Text]:
    calls = templatize(source)
    for start in _CALL.finditer(calls):
        if text := _read_call(_parse_call(calls[start.start() :])):
            yield text


def _parse_call(source: str) -> ast.Call:
    """Parse the call the source begins with, whatever follows it."""
    end = 0
    while True:
        end = source.index(")", end) + 1
        try:
            parsed = ast.parse(source[:end], mode="eval").body
        except SyntaxError:
            continue  # this bracket belongs to a text
        assert isinstance(parsed, ast.Call)
        return parsed


def _read_call(call: ast.Call) -> Text | None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    given = [node.value for node in call.args if isinstance(node, ast.Constant)]
    parts = _FUNCTIONS.get(name, ())
    texts = [value for value in given[: len(parts)] if isinstance(value, str)]
    if not parts or len(texts) != len(parts):
        return None  # a name: its text is marked where it is written
    return Text(**dict(zip(parts, texts, strict=True)))


if __name__ == "__main__":
    main()
