"""Fetch the source archive of the installed Django, once, and unpack its tests of email."""

import subprocess
import sys
import tarfile
from pathlib import Path

import django

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "django-suite"


def mail_tests() -> Path:
    """Return the folder that holds Django's package `mail` of tests."""
    name = f"django-{django.__version__}"
    folder = CACHE / name / "tests"
    if not (folder / "mail" / "__init__.py").exists():
        _unpack(_downloaded(name), f"{name}/tests/mail/")
    return folder


def _downloaded(name: str) -> Path:
    archive = CACHE / f"{name}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        source = ["--no-deps", "--no-binary", "django", "--dest", str(CACHE)]
        subprocess.run([*pip, *source, f"django=={django.__version__}"], check=True)
    return archive


def _unpack(archive: Path, folder: str) -> None:
    with tarfile.open(archive) as members:
        wanted = [member for member in members.getmembers() if member.name.startswith(folder)]
        members.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        members.extractall(CACHE, wanted)  # noqa: S202  # filtered by the line above
