"""The code blocks of the documentation, and a way to run them as a reader would."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import CO_COROUTINE
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EXPECTED = re.compile(r"#\s*→\s*(.*)$")

Namespace = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, and the line it begins on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    text = page.read_text()
    for found in _FENCED.finditer(text):
        yield Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)


def run(block: Block, namespace: Namespace, page: str) -> None:
    """Run a Python block; the text after “# →” is the value of the expression before it."""
    lines = block.text.splitlines()
    tree = ast.parse(block.text)
    ast.increment_lineno(tree, block.line - 1)
    for statement in tree.body:
        last = lines[(statement.end_lineno or 0) - block.line]
        expected = _EXPECTED.search(last[statement.end_col_offset or 0 :])
        if expected and isinstance(statement, ast.Expr):
            value = _evaluate(ast.Expression(statement.value), namespace, page)
            assert str(value) == expected[1], f"{page}:{statement.lineno}"
        else:
            assert not expected, f"{page}:{statement.lineno}: there is no expression"
            _evaluate(ast.Module([statement], []), namespace, page)


def _evaluate(tree: ast.Module | ast.Expression, namespace: Namespace, page: str) -> Any:
    mode = "eval" if isinstance(tree, ast.Expression) else "exec"
    code = compile(tree, page, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, namespace)  # noqa: S307  # our own documentation
    return async_to_sync(_awaited)(value) if code.co_flags & CO_COROUTINE else value


async def _awaited(coroutine: Any) -> Any:
    return await coroutine
