"""Find Python interpreters by version: on PATH, and those of pyenv."""

import os
import shutil
import subprocess
from pathlib import Path


def find_python(*versions: str) -> Path | None:
    """Return the first interpreter that exists, in the order of the versions ("3.13", …)."""
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
    """Return whether an interpreter has a version, and can create a virtual environment.

    The shims of pyenv exist for versions that are not active.
    """
    say = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", say], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version
