"""A lock of the import, kept next to the lock file of the app that messages are imported from.

The app's own lock is a file that remains when its process is killed. The import's lock is a file as
well, but the kernel releases it with the process. So if the app's lock names an import, and no
import holds this lock, the app's lock is a leftover.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outbox.management.importing.source import ImportSourceError


class ImportLock:
    """The lock; `leftover` is the text of an import that was killed, or empty."""

    def __init__(self, path: Path, leftover: str) -> None:
        self._path = path
        self.leftover = leftover

    def write(self, text: str) -> None:
        """Record what would remain after a kill, before the app's lock is acquired."""
        self._path.write_text(text)


@contextmanager
def import_lock(lock_file: Path) -> Iterator[ImportLock]:
    """Exclude other imports. Raise ImportSourceError while another import is running."""
    path = lock_file.with_name(f"{lock_file.name}.outbox-import")
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImportSourceError(f"Another import holds {path}; try again.") from None
        file.seek(0)
        yield ImportLock(path, file.read())
        path.unlink(missing_ok=True)
