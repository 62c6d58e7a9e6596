"""`make messages`: update the catalog from the sources, and compile it.

    python -m dev.messages

It finds every text in Python and in templates that is marked for translation, adds new texts to the
catalog, removes old ones, and compiles it. The gettext tools are not needed. A changed text is a
new one: no entry is ever fuzzy.
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
CATALOG = ROOT / "outbox" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
SOURCES = ("outbox", "signin", "templates", "mailsite")
# The meaning of a call's arguments: context, singular, plural.
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
# Django converts templates to such calls, with anything between them.
_CALL = re.compile(r"\b(?:_|n?p?gettext(?:_lazy|_noop)?)\(")


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be translated; the same words in another context are another text."""

    text: str
    plural: str = ""
    context: str | None = None


def main() -> None:
    """Write the catalog and list the untranslated texts; exit with 1 if there are any."""
    catalog = polib.pofile(str(CATALOG), wrapwidth=100)
    update(catalog, found_in_sources())
    catalog.save(str(CATALOG))
    catalog.save_as_mofile(str(CATALOG.with_suffix(".mo")))
    missing = catalog.untranslated_entries()
    print(f"{len(catalog)} texts, {len(missing)} of them not translated")
    for entry in missing:
        print(f"  {entry.msgid!r}")
    sys.exit(1 if missing else 0)


def update(catalog: polib.POFile, found: dict[Text, list[str]]) -> None:
    """Replace the entries of the catalog by the given texts, in the order of their files."""
    known = {_text_of(entry): entry for entry in catalog}
    catalog.clear()
    for text, places in found.items():
        entry = known.get(text) or polib.POEntry(
            msgid=text.text,
            msgid_plural=text.plural,
            msgctxt=text.context,
            msgstr_plural={0: ""} if text.plural else {},
        )
        # Without line numbers, which would change with every edit above.
        entry.occurrences = [(place, "") for place in dict.fromkeys(places)]
        entry.flags = ["python-format"] if "%(" in text.text else []
        catalog.append(entry)


def _text_of(entry: polib.POEntry) -> Text:
    return Text(entry.msgid, entry.msgid_plural, entry.msgctxt)


def found_in_sources() -> dict[Text, list[str]]:
    """Return every text with its files."""
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
        return []  # most files: parsing them takes long
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
    """Parse the call at the start of a source."""
    end = 0
    while True:
        end = source.index(")", end) + 1
        try:
            parsed = ast.parse(source[:end], mode="eval").body
        except SyntaxError:
            continue  # this bracket is part of a text
        assert isinstance(parsed, ast.Call)
        return parsed


def _read_call(call: ast.Call) -> Text | None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    given = [node.value for node in call.args if isinstance(node, ast.Constant)]
    parts = _FUNCTIONS.get(name, ())
    texts = [value for value in given[: len(parts)] if isinstance(value, str)]
    if not parts or len(texts) != len(parts):
        return None  # a variable: its text is marked elsewhere
    return Text(**dict(zip(parts, texts, strict=True)))


if __name__ == "__main__":
    main()
