"""Builds the wheel and installs it into an environment that knows nothing of this tree."""

import contextlib
import fcntl
import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "package"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
# What the project's own tests run on; pinned, like everything below, as this site has it.
# Celery's pools need eventlet and gevent, and one of the projects has the admin of django-unfold.
TOOLS = ("pytest", "pytest-django", "eventlet", "gevent", "django-unfold==0.91.0")


def build(folder: Path) -> Path:
    """Build the wheel of this tree, as pip does."""
    _run(sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("outbox-*.whl")
    return wheel


@contextlib.contextmanager
def environment(wheel: Path) -> Iterator[Path]:
    """Yield the Python of an environment with this wheel, its dependencies and TOOLS.

    Its dependencies stay from run to run, until those asked for change; the wheel itself is put in
    anew. It is ours for as long as the block runs: another run may test another state of the
    tree.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / f"venv-{_fingerprint()}"
        python = folder / "bin" / "python"
        again = ["--force-reinstall", "--no-deps"] if (folder / "complete").exists() else []
        if not again:
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            constraints = folder / "pins.txt"
            constraints.write_text("\n".join(pins()))
            _run(python, *PIP, "install", "--constraint", str(constraints), str(wheel), *TOOLS)
            (folder / "complete").touch()
        else:
            _run(python, *PIP, "install", *again, str(wheel))
        yield python


def _fingerprint() -> str:
    """Name what the environment holds beside the wheel."""
    described = [sys.version, *TOOLS, *pins(), *declared()]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


def declared() -> list[str]:
    """Return the requirements that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def pins() -> list[str]:
    """Return what requirements.txt pins as constraints, which know no extras."""
    lines = [
        line
        for name in ("requirements.txt", "requirements-run.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
    ]
    return [re.sub(r"\[.*?\]", "", line) for line in lines if "==" in line]


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
