"""Every regular expression of the outbox takes linear time, for any text.

One reply, one header or one pasted text must not occupy a process for seconds. The patterns are
found by importing every module, so a new one is tested too.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import mul
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import outbox

Pattern = re.Pattern[str] | re.Pattern[bytes]

_LETTERS = ("a", "1", "中")
_MARKS = tuple(" \n\r\t.-<>()[]{}\"'\\=@:;,&/?!#%_+~|")
_FILLERS = (*_LETTERS, *_MARKS, *(f"a{mark}" for mark in _MARKS))
_LARGE = 50_000  # four times as long is 200,000
_SMALL = (300, 6_000)
_SUSPECT = 0.02  # seconds; a pattern that is not linear takes longer for one of the small texts
_TRIALS = 4
_RATIO_MAX = 8  # of the times for a text and one four times as long: 4 is linear, 16 quadratic
_WHOLE = {"match", "fullmatch"}
_LITERAL = re.compile(r"[a-z<&\"'={@:\[(!-]{2,30}+", re.IGNORECASE)


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(outbox.__path__, "outbox."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def _patterns_in(value: Any) -> Iterator[Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _patterns_in(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _patterns_in(inner)
    elif _compiles_when_called(value):
        yield value()


def _compiles_when_called(value: Any) -> bool:
    """Return whether a value is a cached function without parameters that returns a pattern."""
    if not hasattr(value, "cache_info"):
        return False
    signature = inspect.signature(value, eval_str=True)
    return not signature.parameters and signature.return_annotation in Pattern.__args__


def _uses_of(name: str, source: str) -> set[str]:
    """Return the methods of a pattern that its module calls."""
    return set(re.findall(rf"\b{name}(?:\(\))?\.(\w+)", source)) - {"pattern"}


def _inline(module: ModuleType, source: str) -> Iterator[tuple[str, Pattern, bool]]:
    """Yield the patterns that are written at a call, such as `re.sub(r"a+", …)`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("re"), attr=method),
                args=[ast.Constant(value=str() | bytes() as written), *_],
            ) if method != "compile":
                yield (
                    f"{module.__name__}:{node.lineno}",
                    re.compile(written),
                    method in _WHOLE,
                )


def _all_patterns() -> Iterator[Any]:
    seen: set[int] = set()
    for module in _modules():
        source = Path(str(module.__file__)).read_text()  # inspect fails for an empty file
        for name, value in vars(module).items():
            for number, pattern in enumerate(_patterns_in(value)):
                if id(pattern) in seen:
                    continue
                seen.add(id(pattern))
                uses = _uses_of(name, source)
                whole = bool(uses) and uses <= _WHOLE
                yield pytest.param(pattern, whole, id=f"{module.__name__}.{name}[{number}]")
        for label, pattern, whole in _inline(module, source):
            yield pytest.param(pattern, whole, id=label)


def _texts(pattern: Pattern) -> Iterator[Callable[[int], str]]:
    """Yield functions that return a hostile text of a given length."""
    written = pattern.pattern
    plain = written.decode("latin-1") if isinstance(written, bytes) else written
    literals = dict.fromkeys(literal.replace("\\", "") for literal in _LITERAL.findall(plain))
    for filler in _FILLERS:
        yield partial(mul, filler)
    for literal in literals:
        for filler in ("", "a", "1", " ", "-"):
            piece = literal + filler
            yield partial(_repeated, piece)
            if filler:
                yield partial(_followed, literal, filler)


def _repeated(piece: str, size: int) -> str:
    return piece * (size // len(piece))


def _followed(first: str, filler: str, size: int) -> str:
    return first + filler * size


def _seconds(pattern: Pattern, text: str, *, whole: bool) -> float:
    subject: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
    began = time.thread_time()
    if whole:
        pattern.match(subject)
        pattern.fullmatch(subject)
    else:
        for _ in pattern.finditer(subject):
            pass
    return time.thread_time() - began


def _assert_linear(pattern: Pattern, text: Callable[[int], str], size: int, *, whole: bool) -> None:
    ratios = []
    for _ in range(_TRIALS):
        short, long = (_seconds(pattern, text(length), whole=whole) for length in (size, 4 * size))
        if long < _SUSPECT or long <= _RATIO_MAX * short:
            return
        ratios.append(long / short)
    pytest.fail(f"{text(30)[:30]!r}…: {min(ratios):.1f} times as long for four times the text")


@pytest.mark.parametrize(("pattern", "whole"), list(_all_patterns()))
def test_a_pattern_takes_linear_time(pattern: Pattern, whole: bool) -> None:
    for text in _texts(pattern):
        for size in _SMALL:
            if _seconds(pattern, text(size), whole=whole) >= _SUSPECT:
                _assert_linear(pattern, text, size, whole=whole)
    for letter in _LETTERS:
        _assert_linear(pattern, partial(mul, letter), _LARGE, whole=whole)
