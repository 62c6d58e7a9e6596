"""Create `.venv` and install the pinned requirements, unless they are already installed.

This runs on a Python without packages, so it uses the standard library only. A stamp in the virtual
environment contains the hashes of its requirements.
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
    """Update the virtual environment to what `run` or `dev` needs."""
    if sys.version_info < OLDEST:
        sys.exit("The outbox needs Python 3.11 or newer: use `make PYTHON=python3.12 …`.")
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two terminals may both be first
        ensure(purpose)


def ensure(purpose: str) -> None:
    """Create the environment, install the requirements and write the stamp, where necessary."""
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
    """Return the stamps that remain valid after an installation.

    requirements-dev.txt includes the other files. If one of those changed, the installation may
    have replaced packages.
    """
    changed = any(present.get(name) != hashed for name, hashed in wanted.items() if name != DEV)
    return {} if changed else present


def works() -> bool:
    """Return whether the virtual environment works, at this path, with a recent Python."""
    if not PYTHON.exists():
        return False
    probe = f"import pip, sys; sys.exit(sys.version_info < {OLDEST} or sys.prefix != {str(VENV)!r})"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0


def create() -> None:
    """Create the virtual environment."""
    say(f"Creating .venv with Python {sys.version.split()[0]}")
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot create a virtual environment with pip "
            "(on Debian and Ubuntu: apt-get install python3-venv)."
        )


def install(requirements: str) -> None:
    """Install a requirements file."""
    quietly = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [PYTHON, "-m", "pip", "install", *quietly, "--requirement", ROOT / requirements],
        check=False,
    )
    if done.returncode:
        sys.exit(f"pip could not install {requirements}; its message is above.")


def stamped() -> dict[str, str]:
    """Return the content of the stamp, empty if there is none."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def say(line: str) -> None:
    """Print a line immediately, before pip prints."""
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
