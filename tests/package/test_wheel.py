"""What the wheel holds is the app, whole, and it asks for what the app imports."""

import ast
import re
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.package.wheel import ROOT, declared

OUTBOX = ROOT / "outbox"
TEMPLATES = ROOT / "templates" / "outbox"
# Imported only where the project has them already.
OPTIONAL = {
    *("anymail", "imapclient", "lockfile", "mailer", "post_office", "prometheus_client", "psycopg"),
    *("pytest", "unfold"),
}


@pytest.fixture(scope="session")
def inside(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts
    }


def test_it_holds_every_file_of_the_app_and_its_templates(inside: set[str]) -> None:
    app = {f"outbox/{name}" for name in _files(OUTBOX)}
    templates = {f"outbox/templates/outbox/{name}" for name in _files(TEMPLATES)}
    of_admin = TEMPLATES.parent / "admin" / "outbox"
    templates |= {f"outbox/templates/admin/outbox/{name}" for name in _files(of_admin)}

    assert {name for name in inside if ".dist-info/" not in name} == app | templates


@pytest.mark.parametrize(
    "name",
    [
        "outbox/py.typed",
        "outbox/migrations/0001_tables.py",
        "outbox/static/outbox/outbox.css",
        "outbox/templates/outbox/base.html",
        "outbox/testing/scenarios/greylisting.scn",
    ],
)
def test_among_them_is(name: str, inside: set[str]) -> None:
    assert name in inside


def test_every_translation_is_compiled(inside: set[str]) -> None:
    texts = {name.removesuffix(".po") for name in inside if name.endswith(".po")}

    assert {f"{name}.mo" for name in texts} <= inside


def test_its_templates_need_no_others() -> None:
    named = {
        (path.name, other)
        for path in TEMPLATES.rglob("*.html")
        for other in re.findall(r'{%-? *(?:extends|include) "([^"]+)"', path.read_text())
    }

    allowed = ("outbox/", "admin/")  # the pages of the admin extend its own
    assert {pair for pair in named if not pair[1].startswith(allowed)} == set()


def test_it_asks_for_what_the_app_imports_and_no_more() -> None:
    asked = sorted(re.split(r"[\[<>=~]", one)[0].strip().lower() for one in declared())
    names = packages_distributions()
    imported = sorted({names[module][0].lower() for module in _imported() - OPTIONAL})

    assert imported == asked


def _imported() -> set[str]:
    """Name the packages of others that any module of the app imports."""
    tops: set[str] = set()
    for path in OUTBOX.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    return tops - set(sys.stdlib_module_names) - {"outbox"}
