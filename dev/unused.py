"""A gate of `make check`: unused code, fixtures, templates and static files.

    python -m dev.unused

vulture reads the Python code. A name that a template or a script contains is used, too, and so is a
name that a framework calls (FRAMEWORK). Variables and attributes are not checked, because Django
accesses most of them by name. Unused translations are found by a test of the catalog.
"""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from vulture import Vulture
from vulture.core import Item

ROOT = Path(__file__).resolve().parent.parent
READ = ("outbox", "signin", "mailsite", "dev", "tests", "bench", "manage.py", "noxfile.py")
GATED = ("outbox", "signin", "mailsite", "dev")
PAGES = ("templates", "outbox/static")
KINDS = {"function", "method", "class", "import", "property", "unreachable_code"}
# Names that Django, Celery, asyncio, Python and its standard library call.
FRAMEWORK = (
    *("Meta", "Command", "*Config", "add_arguments", "clean_*", "*_middleware"),
    *("label_from_instance", "delete_queryset"),
    "do_*",  # http.server
    *("has_*_permission", "get_deleted_objects", "get_fieldsets", "get_search_results"),
    *("get_changelist", "get_ordering", "get_ordering_field_columns", "get_results"),
    *("autocomplete_fields", "raw_id_fields"),
    *("db_type", "get_db_prep_value", "get_placeholder_sql", "as_sqlite", "view_on_site"),
    *("from_db_value", "get_prep_value", "value_to_string", "format_value"),
    *("eof_received", "pause_writing", "handle_starttag", "handle_endtag", "_write_lines"),
    "datagram_received",
    *("formatStack", "setup", "post_worker_init"),  # logging and gunicorn
    *("_create_IMAP4", "_set_read_timeout"),  # imapclient
    *("PasswordBackend", "RecordedMinimumLength", "password_changed"),
    *("__getattr__", "pytest_*"),
)


# Templates that Django renders by name.
OF_DJANGO = re.compile(r"(?:400|403|403_csrf|404|500)\.html|registration/.*|admin/.*")
_DIALOG = re.compile(r'render_dialog\(\s*\w+,\s*"(\w+)"')  # renders two templates of that name


def main() -> None:
    """Print what is unused; exit with 1 if there is any."""
    lines = [*(_described(item) for item in unused(ROOT)), *unused_fixtures(ROOT)]
    lines += [*unused_templates(ROOT), *unused_static_files(ROOT)]
    print(*lines, sep="\n", end="\n" if lines else "")
    sys.exit(1 if lines else 0)


def _described(item: Item) -> str:
    place = Path(item.filename).relative_to(ROOT)
    return f"{place}:{item.first_lineno}: unused {item.typ} {item.name!r}"


def unused(root: Path) -> list[Item]:
    """Return the unused code below `root`, in the order of its files."""
    vulture = Vulture(ignore_decorators=["@admin.*", "@*register*", "@receiver*", "@*task*"])
    paths = [str(root / name) for name in READ if (root / name).exists()]
    vulture.scavenge(paths, exclude=["*/migrations/*"])
    words = words_in_pages(root)
    return [
        item
        for item in vulture.get_unused_code()
        if Path(item.filename).relative_to(root).parts[0] in GATED
        and item.typ in KINDS
        and item.name not in words
        and not any(fnmatch(item.name, pattern) for pattern in FRAMEWORK)
    ]


def words_in_pages(root: Path) -> set[str]:
    """Return every word of the templates and scripts."""
    paths = [path for name in PAGES for path in (root / name).rglob("*") if path.is_file()]
    return {word for path in paths for word in re.findall(r"\w+", path.read_text())}


def unused_fixtures(root: Path) -> Iterator[str]:
    """Yield the pytest fixtures that no test and no other fixture requests."""
    fixtures: dict[str, Path] = {}
    requested: set[str] = set()
    for path in sorted((root / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                requested |= {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
                if any(map(_makes_fixture, node.decorator_list)):
                    fixtures[node.name] = path
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                requested.add(node.value)  # usefixtures, getfixturevalue
    for name, path in fixtures.items():
        if name not in requested:
            yield f"{path.relative_to(root)}: unused fixture {name!r}"


def _makes_fixture(decorator: ast.expr) -> bool:
    written = ast.unparse(decorator)
    return written.startswith("pytest.fixture") and "autouse" not in written


def unused_templates(root: Path) -> Iterator[str]:
    """Yield the templates whose name occurs in no code and in no other template."""
    sources = _sources(root, "outbox", "signin", "mailsite", "templates")
    dialogs = {name for text in sources.values() for name in _DIALOG.findall(text)}
    for path in sorted((root / "templates").rglob("*.html")):
        name = path.relative_to(root / "templates").as_posix()
        if OF_DJANGO.fullmatch(name) or path.stem.removeprefix("_") in dialogs:
            continue
        if not any(name in text for other, text in sources.items() if other != path):
            yield f"templates/{name}: unused template"


def unused_static_files(root: Path) -> Iterator[str]:
    """Yield the scripts, styles and pictures that no template, code or other script names."""
    sources = _sources(root, "outbox", "templates")
    for path in sorted((root / "outbox" / "static").rglob("*.*")):
        if not any(path.name in text for other, text in sources.items() if other != path):
            yield f"{path.relative_to(root)}: unused static file"


def _sources(root: Path, *folders: str) -> dict[Path, str]:
    return {
        path: path.read_text()
        for folder in folders
        for path in (root / folder).rglob("*.*")
        if path.suffix in {".py", ".html", ".js", ".css"}
    }


if __name__ == "__main__":
    main()
