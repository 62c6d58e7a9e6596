"""A mark beside a neighbor's lock file: which lock an import that was killed has left behind.

A neighbor's lock is a file that stays when its holder is killed. The mark is a file as well, but
the kernel's lock on it ends with the process: a lock that it names while no import holds the mark
is one that nothing uses.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outbox.management.importing.neighbour import NeighbourError


class Mark:
    """The open mark; `left` is what a killed import had written, or empty."""

    def __init__(self, path: Path, left: str) -> None:
        self._path = path
        self.left = left

    def write(self, text: str) -> None:
        """Keep what would be left; before the lock is taken, so that no kill finds it missing."""
        self._path.write_text(text)


@contextmanager
def mark(lock_file: Path) -> Iterator[Mark]:
    """Hold the mark of this lock file. Raises NeighbourError while another import holds it."""
    path = lock_file.with_name(f"{lock_file.name}.outbox-import")
    with path.open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NeighbourError(f"Another import holds {path}; try again.") from None
        held.seek(0)
        yield Mark(path, held.read())
        path.unlink(missing_ok=True)
