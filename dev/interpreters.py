"""Finds the Pythons of this machine by their version: on PATH, and among pyenv's."""

import os
import shutil
import subprocess
from pathlib import Path


def find_python(*versions: str) -> Path | None:
    """Return the first that is there, in the order of the versions ("3.13", …)."""
    for version in versions:
        on_path = shutil.which(f"python{version}")
        candidates = [Path(on_path)] if on_path else []
        candidates += sorted(_pyenv().glob(f"versions/{version}.*/bin/python"))
        for candidate in candidates:
            if _is(candidate, version):
                return candidate
    return None


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def _is(python: Path, version: str) -> bool:
    """Tell whether it is what its name says: pyenv's shims answer to versions that are not set.

    One that cannot make an environment is of no use.
    """
    say = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", say], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version
