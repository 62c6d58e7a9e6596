"""Which of the courses a transaction takes: one command at a time, in groups, in chunks."""

from dataclasses import dataclass

from outbox.smtp.extensions import Extensions
from outbox.smtp.server import Server

LAST_CHUNK = 65_536  # bytes of the last BDAT, so few that it leaves in one piece


@dataclass(frozen=True, slots=True)
class Course:
    grouped: bool = False  # MAIL, RCPT and DATA in one write (RFC 2920)
    chunked: bool = False  # BDAT in place of DATA (RFC 3030)
    at_once: bool = False  # MAIL, RCPT and the only chunk in one write: one round trip in all
    asks_early: bool = False  # `before_dot` runs beside the envelope instead of beside the body


def choose_course(server: Server, extensions: Extensions, size: int, *, proven: bool) -> Course:
    """Choose the quickest course the server offers and this message allows.

    All at once has no 354 that would show a reply too many before the message leaves. So it needs
    a session that has `proven` itself: a mail went through it with each reply in its place.
    Only such a session asks early, too: where the 354 is not sure to come, a worker that dies
    waiting for it would leave uncertain what was certainly unsent.
    """
    grouped = server.pipelining and extensions.pipelining
    chunked = server.chunking and extensions.chunking
    at_once = grouped and chunked and proven and size <= LAST_CHUNK
    return Course(grouped, chunked, at_once, asks_early=grouped and proven)
