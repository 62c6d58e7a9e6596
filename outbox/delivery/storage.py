"""Read the source of a message, and distinguish an unavailable storage from a missing file.

An unavailable storage comes back, so the message waits. A missing file needs a person.

A storage may also hang: a network file system whose server is gone blocks a read without an error.
Each file is read in a thread of its own, which is not waited for after a timeout. It ends nothing
else, and does not keep the process from ending.
"""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

from django.db import connections

from outbox.delivery.pool import Owner, Pool
from outbox.models import Message, Source
from outbox.reasons import Reason, ReasonCode
from outbox.texts import cause_of

_READS_AT_ONCE = 16
_UNFINISHED_MAX = 64  # threads, most of which hang then


class StorageUnavailableError(Exception):
    """The storage cannot be read at present. The file may well exist."""

    def __init__(self, cause: str | Reason) -> None:
        super().__init__(cause)
        self.cause = cause


class SourceMissingError(Exception):
    """The source is neither in its row nor in the file storage."""


class SourceErasedError(Exception):
    """The message is sensitive, and its delivery had ended."""


class SourceReader:
    """Reads the files of sources for one event loop."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._permits = Pool(_READS_AT_ONCE)
        self._unfinished: set[int] = set()  # sources whose thread has not ended

    async def read(self, source: Source, owner: Owner) -> bytes:
        """Return the bytes of a source.

        Raises StorageUnavailableError, or an error that only a person can solve:
        SourceMissingError, FileNotFoundError.
        """
        if source.data is not None:
            return source.read()
        if not source.file:
            raise SourceMissingError
        async with self._permits.holding(owner, 1):
            if source.pk in self._unfinished or len(self._unfinished) >= _UNFINISHED_MAX:
                raise StorageUnavailableError(self._silence)
            return await self._read_in_thread(source)

    @property
    def _silence(self) -> Reason:
        return Reason(ReasonCode.STORAGE_SILENT, seconds=self._timeout)

    async def _read_in_thread(self, source: Source) -> bytes:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[bytes] = loop.create_future()
        # A pool of threads would wait for one that hangs when the process ends.
        thread = threading.Thread(
            target=self._run, args=(source, found, loop), name="outbox-storage", daemon=True
        )
        thread.start()
        self._unfinished.add(source.pk)
        try:
            async with asyncio.timeout(self._timeout):
                return await found
        except TimeoutError:
            raise StorageUnavailableError(self._silence) from None

    def _run(
        self, source: Source, found: asyncio.Future[bytes], loop: asyncio.AbstractEventLoop
    ) -> None:
        result: bytes | Exception
        try:
            result = _read(source)
        except Exception as error:  # noqa: BLE001  # raised where it is awaited
            result = error
        finally:
            connections.close_all()  # some storages keep files in a database
        with suppress(RuntimeError):  # the loop has ended, and nothing waits
            loop.call_soon_threadsafe(self._end, source.pk, found, result)

    def _end(self, pk: int, found: asyncio.Future[bytes], result: bytes | Exception) -> None:
        self._unfinished.discard(pk)
        if found.done():
            return  # it took too long
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)


def find_source(message_id: int, using: str) -> Source:
    """Return the row of a source. Raises SourceErasedError and Source.DoesNotExist."""
    source = Source.objects.using(using).filter(pk=message_id).first()
    if source is not None:
        return source
    if Message.objects.using(using).filter(pk=message_id, is_sensitive=True).exists():
        raise SourceErasedError
    raise Source.DoesNotExist


def _read(source: Source) -> bytes:
    try:
        return source.read()
    except FileNotFoundError as error:
        if _is_unmounted(source):
            raise StorageUnavailableError(cause_of(error)) from error
        raise
    except Exception as error:  # a storage other than the file system raises its library's own
        raise StorageUnavailableError(cause_of(error)) from error


def _is_unmounted(source: Source) -> bool:
    """Return whether the whole folder is missing, as when a volume is not mounted."""
    try:
        return not Path(source.file.path).parent.exists()
    except NotImplementedError:  # not a file system
        return False
