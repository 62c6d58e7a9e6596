"""A file storage whose disk is full: it creates each file, writes a part of it, and fails."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage


@contextmanager
def full_storage(number: int = errno.ENOSPC) -> Iterator[None]:
    """Raise this error of the operating system for every write."""
    write = FileSystemStorage._save  # type: ignore[attr-defined]  # the stubs lack it

    def fail(storage: FileSystemStorage, name: str, content: Any) -> str:
        write(storage, name, ContentFile(content.read(10)))
        raise OSError(number, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileSystemStorage, "_save", fail)
        yield


def stored_files() -> set[str]:
    """Return the paths of all files in the storage."""
    root = Path(default_storage.path(""))
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
