"""Makes `.venv` and installs the pinned requirements, or returns at once when that is done.

Runs on the bare Python it is given, so it uses the standard library only. A stamp in the virtual
environment names the hashes of the requirements it holds.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "requirements.json"
SITE, RUN, DEV = "requirements.txt", "requirements-run.txt", "requirements-dev.txt"
FILES = {"run": [SITE, RUN], "dev": [SITE, RUN, DEV]}
OLDEST = (3, 11)


def main(purpose: str) -> None:
    """Bring the virtual environment up to what `run` or `dev` needs."""
    if sys.version_info < OLDEST:
        sys.exit("The outbox needs Python 3.11 or newer: name one with `make PYTHON=python3.12 …`.")
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two terminals may both be first
        ensure(purpose)


def ensure(purpose: str) -> None:
    """Create, install and stamp what is missing."""
    wanted = {name: hash_of(ROOT / name) for name in FILES[purpose]}
    if not works():
        create()
    present = stamped()
    if all(present.get(name) == hashed for name, hashed in wanted.items()):
        return
    say(f"Installing {FILES[purpose][-1]} into .venv")
    install(FILES[purpose][-1])
    STAMP.write_text(json.dumps(kept(present, wanted) | wanted, indent=1))


def kept(present: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Return the stamps that stay true after an install.

    requirements-dev.txt includes the other files, so its packages may have been replaced when one
    of those changed.
    """
    changed = any(present.get(name) != hashed for name, hashed in wanted.items() if name != DEV)
    return {} if changed else present


def works() -> bool:
    """Tell whether the virtual environment runs, here, on a Python that is new enough."""
    if not PYTHON.exists():
        return False
    probe = f"import pip, sys; sys.exit(sys.version_info < {OLDEST} or sys.prefix != {str(VENV)!r})"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0


def create() -> None:
    """Make the virtual environment anew."""
    say(f"Making .venv with Python {sys.version.split()[0]}")
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot make a virtual environment with pip "
            "(on Debian and Ubuntu: apt-get install python3-venv)."
        )


def install(requirements: str) -> None:
    """Let pip install a requirements file, quietly."""
    quietly = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [PYTHON, "-m", "pip", "install", *quietly, "--requirement", ROOT / requirements],
        check=False,
    )
    if done.returncode:
        sys.exit(f"pip could not install {requirements}; its message is above.")


def stamped() -> dict[str, str]:
    """Return what the stamp says, or nothing when there is none to read."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def say(line: str) -> None:
    """Print at once, before pip does."""
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
