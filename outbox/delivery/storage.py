"""Storage: read the source of a mail, and tell a storage that is away from a file that is gone.

The first mends itself, and the mail waits; the second is for a person.
"""

from pathlib import Path

from outbox.models import Source


class StorageAwayError(Exception):
    """The storage cannot be read at present; nothing says that the file is gone."""


def read_source(message_id: int, using: str) -> bytes:
    """Read one source, wherever it is kept.

    Raises StorageAwayError, and what is for a person to mend: Source.DoesNotExist, ValueError for
    an empty row, FileNotFoundError.
    """
    source = Source.objects.using(using).get(pk=message_id)
    if source.data is None and not source.file:
        raise ValueError("the source is neither in its row nor in storage")
    try:
        return source.read()
    except FileNotFoundError as error:
        if _is_unmounted(source):
            raise StorageAwayError(str(error)) from error
        raise
    except Exception as error:  # a storage that is no file system raises its library's own
        raise StorageAwayError(f"{type(error).__name__}: {error}") from error


def _is_unmounted(source: Source) -> bool:
    """Tell whether the whole folder is missing, as where a volume is not mounted."""
    try:
        return not Path(source.file.path).parent.exists()
    except NotImplementedError:  # no file system
        return False
