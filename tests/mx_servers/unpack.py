"""Download and unpack the packages of the servers into `.cache/mta`, without installing them.

    python3 -m tests.mx_servers.unpack

It needs apt and dpkg, and no other module than those of the standard library.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_CACHE = Path(__file__).resolve().parents[2] / ".cache"
ROOT = _CACHE / "mta"
PACKAGES = ("exim4-daemon-light", "libnss-wrapper", "postfix")
PROGRAMS = ("usr/sbin/exim4", "usr/lib/postfix/sbin/smtpd")  # one of each, with most libraries
_ROUNDS = 4  # of libraries that need libraries
_SECONDS = 300.0
_SET_ID = 0o6000


class UnpackError(Exception):
    """The packages could not be downloaded or unpacked."""


def is_unpacked() -> bool:
    """Return whether the cache folder has the programs."""
    return all((ROOT / program).exists() for program in PROGRAMS)


def unpack() -> None:
    """Fill the cache folder unless that was done before. Raise UnpackError if it fails."""
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "mta.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_unpacked():
            return
        folder = Path(tempfile.mkdtemp(prefix="mta-", dir=_CACHE))
        try:
            _fill(folder)
            folder.chmod(0o755)  # the servers run as other users
            shutil.rmtree(ROOT, ignore_errors=True)  # of other packages
            folder.rename(ROOT)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def library_path(root: Path) -> str:
    """Return LD_LIBRARY_PATH for programs below a folder."""
    folders = [root / "usr/lib/postfix", *sorted(root.glob("usr/lib/*-linux-gnu"))]
    return ":".join(map(str, [*folders, *sorted(root.glob("lib/*-linux-gnu"))]))


def _fill(folder: Path) -> None:
    names = set(PACKAGES)
    needed = _download(folder, names)
    for _ in range(_ROUNDS):
        if not _missing(folder):
            break
        needed -= names
        names |= needed
        needed = _download(folder, needed)
    if missing := _missing(folder):
        raise UnpackError(f"No package has {', '.join(missing)}.")


def _download(folder: Path, packages: set[str]) -> set[str]:
    """Download packages and unpack them into a folder. Return the libraries that they need."""
    if not packages:
        return set()
    with tempfile.TemporaryDirectory(prefix="archives-", dir=folder.parent) as name:
        archives = Path(name)
        command = ["apt-get", "download", "-qq", *sorted(packages)]
        try:
            _run(command, archives)
        except UnpackError:
            _run(["apt-get", "update", "-qq"], archives)  # the lists are old, or there are none
            _run(command, archives)
        found = sorted(archives.glob("*.deb"))
        for archive in found:
            _run(["dpkg-deb", "-x", str(archive), str(folder)], archives)
        for path in folder.rglob("*"):  # a set-user-ID program ignores LD_PRELOAD
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & _SET_ID:
                path.chmod(path.stat().st_mode & ~_SET_ID)
        return {name for archive in found for name in _libraries(archive)}


def _libraries(archive: Path) -> list[str]:
    """Return the packages of libraries that a package depends on."""
    fields = _run(["dpkg-deb", "-f", str(archive), "Depends"], archive.parent)
    names = [re.split(r"[ (|]", one.strip())[0] for one in fields.split(",")]
    return [name for name in names if name.startswith("lib") and name != "libc6"]


def _missing(folder: Path) -> list[str]:
    """Return the libraries that neither the system nor the folder has."""
    environment = os.environ | {"LD_LIBRARY_PATH": library_path(folder)}
    lines = "".join(
        _run(["ldd", str(folder / program)], folder, environment) for program in PROGRAMS
    )
    return sorted(set(re.findall(r"(\S+) => not found", lines)))


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        ).stdout
    except subprocess.CalledProcessError as error:
        raise UnpackError(f"{' '.join(command)}: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnpackError(f"{' '.join(command)}: {error}") from None


if __name__ == "__main__":
    try:
        unpack()
    except UnpackError as error:
        sys.exit(f"The mail servers for the tests could not be unpacked: {error}")
