"""Write the tables of docs/reference.md from the code that they describe.

    python -m dev.reference

A table stands between two marks. Its rows are the fields, members or signals of one class or
module, and the meaning of each is the comment beside it.
"""

import ast
import enum
import inspect
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
COMMANDS = ROOT / "outbox" / "management" / "commands"
_MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = tuple[str, ...]


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def commented(of: type | ModuleType) -> Iterator[tuple[ast.stmt, str]]:
    """Yield each statement of a class or module with the comment beside and below it."""
    source = inspect.getsource(of)
    tree: ast.Module | ast.ClassDef = ast.parse(source)
    if inspect.isclass(of):
        (definition,) = tree.body
        assert isinstance(definition, ast.ClassDef)
        tree = definition
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        token.start[0]: token.string.removeprefix("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    lines = source.splitlines()
    for statement in tree.body:
        number = statement.end_lineno or 0
        words = [comments.get(number, "")]
        while number < len(lines) and lines[number].lstrip().startswith("#"):
            number += 1
            words.append(comments[number])
        yield statement, " ".join(words)


def annotated(of: type) -> dict[str, tuple[str, str]]:
    """Return the type and the comment of each annotated name of a class."""
    return {
        statement.target.id: (ast.unparse(statement.annotation), comment)
        for statement, comment in commented(of)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def members(of: type[enum.Enum]) -> list[Row]:
    """Return value and comment of an enumeration's members."""
    return [(f"`{of[name].value}`", comment) for name, comment in _assigned(of)]


def _assigned(of: type | ModuleType) -> Iterator[tuple[str, str]]:
    """Yield name and comment of each plain assignment."""
    for statement, comment in commented(of):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, comment


def settings() -> str:
    from outbox.conf import Conf

    comments = annotated(Conf)
    rows = [
        (f"`{field.name.upper()}`", f"`{_literal(field.default)}`", comments[field.name][1])
        for field in fields(Conf)
        if "counted" not in field.metadata
    ]
    return table(("setting", "default", "meaning"), rows)


def limits() -> str:
    from outbox.conf import Conf
    from outbox.conf import limits as fields_of_limits

    comments = annotated(Conf)
    rows = [
        (
            f"`{field.name.upper()}`",
            f"`{_literal(field.default)}`",
            field.metadata["counted"],
            field.metadata["per"],
            comments[field.name][1],
        )
        for field in fields_of_limits()
    ]
    return table(("setting", "default", "counted in", "per", "limits"), rows)


def _literal(default: Any) -> str:
    """Return a default as documentation writes it: 25_000_000, "text", True."""
    if isinstance(default, str):
        return json.dumps(default)
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    return f"{default:_}" if is_number else repr(default)


def options() -> str:
    from outbox.api.options import SendOptions

    return table(
        ("option", "meaning"),
        [(f"`{name}`", text) for name, (_, text) in annotated(SendOptions).items()],
    )


def errors() -> str:
    from outbox import exceptions

    classes = [one for one in vars(exceptions).values() if inspect.isclass(one)]
    texts = {one.__name__: (inspect.getdoc(one) or "").split() for one in classes[1:]}
    return table(
        ("error", "when"), [(f"`{name}`", " ".join(words)) for name, words in texts.items()]
    )


def change() -> str:
    from outbox.signals import Change

    rows = [(f"`{name}`", f"`{kind}`", text) for name, (kind, text) in annotated(Change).items()]
    return table(("field", "type", "meaning"), rows)


def signals() -> str:
    from django.dispatch import Signal

    from outbox import signals as module

    rows = [
        (f"`{name}`", comment)
        for name, comment in _assigned(module)
        if isinstance(vars(module)[name], Signal)
    ]
    return table(("signal", "a recipient"), rows)


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


def alarms() -> str:
    from outbox.api.alarms.conditions import CONDITIONS

    rows = [
        (
            f"`{one.kind.value}`",
            f"`{one.setting.upper()}`",
            re.sub(r"%\((\w+)\)s", r"*\1*", one.sentence),
            one.what_to_do,
        )
        for one in CONDITIONS
    ]
    return table(("alarm", "limit", "sentence", "what to do"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "limits": limits,
    "errors": errors,
    "options": options,
    "signals": signals,
    "change": change,
    "states": states,
    "statuses": statuses,
    "changes": changes,
    "commands": commands,
    "alarms": alarms,
}


def filled(text: str) -> str:
    """Return the page with each table written anew between its marks."""
    return _MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def _write(path: Path) -> None:
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    _write(REFERENCE)
