"""Errors of this host: it has no file descriptor, memory, thread or port left.

No server is at fault then, so such an error must not count against one.
"""

import errno
import os

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.faults import FaultKind, Phase, SmtpFault

_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
_NO_THREAD = "can't start new thread"  # the whole text of a RuntimeError


def is_exhausted(error: BaseException) -> bool:
    """Return whether the error means that this host lacks a resource."""
    if isinstance(error, OSError):
        return error.errno in _ERRNOS
    return isinstance(error, MemoryError) or str(error) == _NO_THREAD


def has_descriptor() -> bool:
    """Return whether a file can be opened. DNS reports the lack of one as a failed lookup."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return not is_exhausted(error)
    return True


def exhausted(phase: Phase, error: BaseException) -> SmtpFault:
    """Return the fault of a session that this host has no resource for."""
    return SmtpFault(phase, FaultKind.EXHAUSTED, exhaustion_reason(error))


def exhaustion_reason(error: BaseException) -> Reason:
    """Return what this host lacks."""
    strerror = error.strerror if isinstance(error, OSError) else None
    cause = strerror or str(error) or type(error).__name__
    return Reason(ReasonCode.HOST_EXHAUSTED, cause=cause)
