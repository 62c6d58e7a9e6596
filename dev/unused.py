"""A gate of `make check`: code that nothing uses.

    python -m dev.unused

vulture reads the Python code. A name counts as used, too, when a template or a script contains it,
or when a framework calls it (FRAMEWORK). Variables and attributes are left out, since Django reads
most of them by name.
"""

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from vulture import Vulture
from vulture.core import Item

ROOT = Path(__file__).resolve().parent.parent
READ = ("outbox", "mailsite", "dev", "tests", "bench", "manage.py", "noxfile.py")
GATED = ("outbox", "mailsite", "dev")
PAGES = ("templates", "outbox/static")
KINDS = {"function", "method", "class", "import", "property", "unreachable_code"}
# What Django, Celery, asyncio and the standard library call by name.
FRAMEWORK = (
    *("Meta", "Command", "OutboxConfig", "add_arguments", "clean_*", "health_middleware"),
    "label_from_instance",
    *("has_*_permission", "get_deleted_objects", "get_fieldsets", "get_search_results"),
    *("db_type", "get_db_prep_value", "get_placeholder_sql", "view_on_site"),
    *("eof_received", "pause_writing", "handle_starttag", "handle_endtag", "_write_lines"),
    *("pytest_*",),
)


def main() -> None:
    """Print what nothing uses; exit with 1 when there is any."""
    found = unused(ROOT)
    for item in found:
        place = Path(item.filename).relative_to(ROOT)
        print(f"{place}:{item.first_lineno}: unused {item.typ} {item.name!r}")
    sys.exit(1 if found else 0)


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


if __name__ == "__main__":
    main()
