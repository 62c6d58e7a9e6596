"""The imports of the outbox point down only. The table is the design; this file reads the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OUTBOX = Path(__file__).resolve().parents[2] / "outbox"

# From the top down; a module imports from its own layer and those below it.
LAYERS = (
    ("edge", {"web", "admin", "backend", "management", "checks", "templatetags", "testing"}),
    ("verbs", {"tasks", "api"}),
    ("work", {"delivery", "inbound", "webhooks"}),
    ("store", {"models", "signals", "wakeup"}),
    ("database", {"conf", "db", "reply_rules", "mx_shaping"}),  # knows no model
    ("protocols", {"smtp", "pop3", "oauth", "net"}),
    (
        "pure",
        {
            "mail",
            "exceptions",
            "backoff",
            "reason_codes",
            "reasons",
            "retry_hint",
            "texts",
            "log_lines",
        },
    ),
)
DEPTH = {piece: depth for depth, (_, pieces) in enumerate(LAYERS) for piece in pieces}
# Django reads these; they hold no code of a layer.
OUTSIDE = {"__init__", "apps", "migrations", "locale", "static", "templates"}
# Protocol and pure code runs, and is tested, without a site around it.
NO_SITE = {
    "smtp",
    "pop3",
    "oauth",
    "net",
    "mail",
    "exceptions",
    "backoff",
    "reason_codes",
    "reasons",
    "retry_hint",
    "texts",
    "log_lines",
}
SITE = {"django", "celery", "kombu", "redis", "csp", "environ"}


def piece_of(path: Path) -> str:
    return path.relative_to(OUTBOX).with_suffix("").parts[0]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(OUTBOX.rglob("*.py")):
        if (piece := piece_of(path)) not in OUTSIDE:
            yield piece, path


def imports(source: str, package: str) -> Iterator[str]:
    """Yield the dotted name of every import in the source, late imports included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def faults(piece: str, source: str, package: str) -> list[str]:
    """Return which imports of this piece's source point the wrong way."""
    found = []
    for name in imports(source, package):
        top, *rest = name.split(".")
        if piece in NO_SITE and top in SITE:
            found.append(f"{piece} imports {name}, and knows no site")
        elif top == "outbox" and rest and DEPTH.get(rest[0], len(LAYERS)) < DEPTH[piece]:
            found.append(f"{piece} imports {name}, which lies above it")
    return found


def test_every_piece_of_the_outbox_has_a_layer() -> None:
    pieces = {
        piece_of(path)
        for path in OUTBOX.iterdir()
        if (path.is_dir() or path.suffix == ".py")
        and not path.name.startswith(("__pycache__", "."))
    }
    assert pieces - OUTSIDE - set(DEPTH) == set()


def test_the_outbox_knows_neither_the_site_nor_its_sign_in() -> None:
    """It is shipped without them. Only the site's own settings and pages name the sign-in."""
    found = {
        f"{path.relative_to(OUTBOX.parent)}: {name}"
        for path in OUTBOX.rglob("*.py")
        for name in imports(path.read_text(), ".".join(path.relative_to(OUTBOX.parent).parts[:-1]))
        if name.partition(".")[0] in {"signin", "mailsite"}
    }
    assert found == set()


def test_imports_point_down() -> None:
    found = [
        f"{path.relative_to(OUTBOX.parent)}: {fault}"
        for piece, path in modules()
        for fault in faults(
            piece, path.read_text(), ".".join(path.relative_to(OUTBOX.parent).parts[:-1])
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    ("piece", "line", "refused"),
    [
        pytest.param("mail", "import re", False, id="the standard library"),
        pytest.param("mail", "import django.utils", True, id="Django in pure code"),
        pytest.param("smtp", "from celery import Task", True, id="Celery in protocol code"),
        pytest.param("smtp", "from outbox.mail import render", False, id="down"),
        pytest.param("mail", "from outbox import smtp", True, id="up by the package"),
        pytest.param("models", "from ..delivery import claim", True, id="up by a relative import"),
        pytest.param("models", "from . import states", False, id="the same package"),
        pytest.param("models", "def f():\n    import outbox.api", True, id="up in a late import"),
        pytest.param("db", "from outbox.models import Message", True, id="helpers know no model"),
        pytest.param("web", "from outbox.admin import site", False, id="its own layer"),
        pytest.param("api", "from outbox.web import views", True, id="verbs do not know pages"),
        pytest.param("models", "from outbox import __version__", False, id="the package itself"),
    ],
)
def test_the_reader_knows_up_from_down(piece: str, line: str, refused: bool) -> None:
    assert bool(faults(piece, line, f"outbox.{piece}")) is refused
