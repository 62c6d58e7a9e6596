"""Addresses for local servers: free ports, and paths of socket files that are short enough."""

import os
import socket
import stat
import tempfile
from pathlib import Path

# sun_path has 108 bytes on Linux and 104 on macOS, including the final NUL.
PATH_MAX = 100


def free_port() -> int:
    """Return a loopback port that is free at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on a loopback port."""
    with socket.socket() as probe:
        # Like servers, so that old connections of a stopped server do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def socket_path(directory: Path, name: str) -> Path:
    """Return the path of a socket file in a directory, or elsewhere if that path is too long.

    The other directory is private. A file in the first one contains its path, so that every process
    finds it.
    """
    path = directory / name
    if len(bytes(path)) <= PATH_MAX:
        return path
    note = directory / f"{name}.elsewhere"
    elsewhere = Path(note.read_text()) if note.exists() else None
    if elsewhere is None or not is_private(elsewhere):
        elsewhere = Path(tempfile.mkdtemp(prefix="outbox-"))
        note.write_text(str(elsewhere))
    return elsewhere / name


def is_private(directory: Path) -> bool:
    """Return whether a directory exists, and only this user has access."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
