"""The tables of the reference, made of the code that they describe.

`python -m tests.unit.docs.tables` writes them into docs/reference.md, each between its two marks.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tests.unit.docs.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference.md"
COMMANDS = ROOT / "outbox" / "management" / "commands"
_MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FIELD = re.compile(r"    (\w+): ([^=#]+?)(?: = ([^#]+?))?(?:  # (.*))?$")
_MEMBER = re.compile(r"    ([A-Z_]+) = \"(\w*)\".*?(?:  # (.*))?$")
_SIGNAL = re.compile(r"(\w+) = Signal\(\)  # (.*)$")

Row = tuple[str, ...]


def table(head: Row, rows: Sequence[Row]) -> str:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def fields(of: type) -> Iterator[Row]:
    """Give name, type, default and comment of a class's fields; a comment may go on below."""
    rows: list[list[str]] = []
    for line in inspect.getsource(of).splitlines():
        if found := _FIELD.match(line):
            rows.append([found[1], found[2], found[3] or "", found[4] or ""])
        elif line.startswith("    # ") and rows:
            rows[-1][3] += " " + line.removeprefix("    # ")
    for row in rows:
        yield tuple(row)


def members(of: type) -> list[Row]:
    """Give value and comment of an enumeration's members."""
    found = map(_MEMBER.match, inspect.getsource(of).splitlines())
    return [(f"`{one[2]}`", one[3] or "") for one in found if one]


def settings() -> str:
    from outbox.conf import Conf

    rows = [
        (f"`{name.upper()}`", f"`{_plain(default)}`", comment)
        for name, _, default, comment in fields(Conf)
    ]
    return table(("setting", "default", "meaning"), rows)


def _plain(default: str) -> str:
    """Work out a product, as a reader would."""
    number = re.fullmatch(r"[\d_ .*]+", default)
    return f"{eval(default):_}" if number else default  # noqa: S307  # digits only


def wishes() -> str:
    from outbox.api.options import Wishes

    return table(("wish", "meaning"), [(f"`{row[0]}`", row[3]) for row in fields(Wishes)])


def errors() -> str:
    from outbox import exceptions

    classes = [one for one in vars(exceptions).values() if inspect.isclass(one)]
    texts = {one.__name__: (inspect.getdoc(one) or "").split() for one in classes[1:]}
    return table(
        ("error", "when"), [(f"`{name}`", " ".join(words)) for name, words in texts.items()]
    )


def change() -> str:
    from outbox.signals import Change

    rows = [(f"`{name}`", f"`{kind}`", text) for name, kind, _, text in fields(Change)]
    return table(("field", "type", "meaning"), rows)


def signals() -> str:
    from outbox import signals as module

    found = _lines(module, _SIGNAL)
    return table(("signal", "a recipient"), [(f"`{one[1]}`", one[2]) for one in found])


def _lines(module: ModuleType, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    matches = map(pattern.match, inspect.getsource(module).splitlines())
    return [one for one in matches if one]


def states() -> str:
    from outbox.models import State

    return table(("state", "meaning"), members(State))


def statuses() -> str:
    from outbox.models import Status

    return table(("status", "meaning"), members(Status))


def changes() -> str:
    from outbox.models import CHANGES

    rows = [(f"`{old}`", ", ".join(f"`{new}`" for new in after)) for old, after in CHANGES.items()]
    return table(("from", "to"), rows)


def commands() -> str:
    from django.core.management import load_command_class

    rows = []
    for path in sorted(COMMANDS.glob("outbox_*.py")):
        command = load_command_class("outbox", path.stem)
        rows.append((f"`{path.stem}`", command.help.partition("\n")[0]))
    return table(("command", "what it does"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "errors": errors,
    "wishes": wishes,
    "signals": signals,
    "change": change,
    "states": states,
    "statuses": statuses,
    "changes": changes,
    "commands": commands,
}


def filled(text: str) -> str:
    """Put each table between its marks."""
    return _MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def _write(path: Path) -> None:
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    _write(REFERENCE)
