"""The Pythons that run the suite: this one with its Django, and a newer one with Django 6.1."""

import subprocess
import sys
from pathlib import Path

from dev.interpreters import find_python

ROOT = Path(__file__).resolve().parents[2]
NEXT_DJANGO = "6.1"
NEXT_PYTHONS = ("3.13", "3.12")  # Django 6.1 needs 3.12
LEFT_OUT = ("Django=",)  # the environment has another one
TOOLS = ("pytest=", "pytest-django=", "pytest-timeout=")
# Packages that tests/settings.py names.
OTHER_PACKAGES = ("django-mailer=", "django-post-office=", "lockfile=")


def find_newer() -> Path | None:
    """Look for a newer Python on PATH and among pyenv's."""
    return find_python(*NEXT_PYTHONS)


def with_next_django(python: Path) -> Path:
    """Return the Python of an environment with Django 6.1, made on first use."""
    folder = ROOT / ".cache" / "django-suite" / f"venv-{NEXT_DJANGO}"
    own, stamp = folder / "bin" / "python", folder / "complete"
    pins = _pins()
    if not stamp.exists() or stamp.read_text() != "\n".join(pins):
        subprocess.run([str(python), "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"Django~={NEXT_DJANGO}.0", *pins], check=True)
        stamp.write_text("\n".join(pins))
    return own


def _pins() -> list[str]:
    """Return what the site is pinned to, but for Django, and what runs its tests."""
    site = _requirements("requirements.txt")
    tools = _requirements("requirements-dev.txt")
    return [line for line in site if not line.startswith(LEFT_OUT)] + [
        line for line in tools if line.startswith(TOOLS + OTHER_PACKAGES)
    ]


def _requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def this_one() -> Path:
    """Return the Python that runs now."""
    return Path(sys.executable)
