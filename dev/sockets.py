"""Where local servers listen: free ports, taken ports, and socket files short enough to bind."""

import os
import socket
import stat
import tempfile
from pathlib import Path

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
PATH_MAX = 100


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        # As servers do, or the connections a stopped server left behind would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def socket_path(directory: Path, name: str) -> Path:
    """Return the path of a socket file in the directory, or of one elsewhere when that is too deep.

    Elsewhere is a private directory that the deep one remembers, so that every process finds it.
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
    """Tell whether a directory is still there, and is ours alone."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
