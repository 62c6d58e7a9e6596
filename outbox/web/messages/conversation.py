"""An attempt as the message page shows it: outcome, time spent in each phase, and transcript.

An attempt that is still running has fewer facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.api.reasons import in_words
from outbox.api.tls_levels import TlsLevels, levels_of
from outbox.models import Attempt, SmtpSession
from outbox.models.removal import REMOVED
from outbox.reasons import Reason
from outbox.smtp.faults import OPENING_PHASES, TRANSACTION_PHASES
from outbox.web.display import PHASES

SPEAKERS = {"C": "client", "S": "server", "-": "note"}
MIN_SHARE = 0.8  # percent, so that very short phases are visible in the bar


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript, with its time in milliseconds since the session began."""

    ms: float
    speaker: str  # client, server, note
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """One of the three sections of a transcript: connection, transfer and close."""

    title: str | Promise
    lines: list[Line]
    remark: str = ""  # shown if there are no lines

    @property
    def began_ms(self) -> float:
        """Return when the section began, in milliseconds since the session began."""
        return self.lines[0].ms if self.lines else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an attempt for one recipient."""

    address: str
    state: str
    reply_code: int | None
    reply_enhanced: str
    reply_text: str
    reply_command: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One phase in the bar of times. `start` and `share` are percentages of the bar."""

    phase: str
    label: str | Promise
    ms: float
    start: float
    share: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """One attempt with its session."""

    attempt: Attempt
    session: SmtpSession | None
    number: int  # of the attempts at this message, counted from one
    sections: list[Section]
    segments: list[Segment]
    results: list[Result]
    tls_levels: TlsLevels | None = None  # that were requested and achieved, with delivery by MX
    shows_network: bool = True  # the worker, and the addresses of the private network

    @property
    def took_ms(self) -> float | None:
        """Return the time from the claim to the recorded outcome."""
        if self.attempt.ended_at is None:
            return None
        return (self.attempt.ended_at - self.attempt.started_at).total_seconds() * 1000

    @property
    def is_reused(self) -> bool:
        """Return whether the connection had sent another message before."""
        return self.attempt.number_in_session > 1

    @property
    def server(self) -> str:
        """Return the name of the server, or an empty text if none was reached."""
        return str(self.session) if self.session else ""


def read_conversation(attempt: Attempt, number: int) -> Conversation:
    """Return the conversation of an attempt whose session is loaded."""
    session = attempt.session
    return Conversation(
        attempt=attempt,
        session=session,
        number=number,
        sections=_sections(attempt, session),
        segments=segments(_phase_times(attempt, session)),
        results=[_result(row) for row in attempt.result_rows],
        tls_levels=levels_of(session),
    )


def _result(row: Mapping[str, Any]) -> Result:
    return Result(
        address=str(row.get("address", "")),
        state=str(row.get("state", "")),
        reply_code=row.get("code"),
        reply_enhanced=str(row.get("enhanced", "")),
        reply_text=str(row.get("text", "")),
        reply_command=str(row.get("command", "")),
    )


def read_lines(stored: Iterable[Sequence[Any]]) -> list[Line]:
    """Return the lines of a stored transcript. A reply of several lines is one line here."""
    return [_line(float(ms), SPEAKERS.get(sign, "note"), str(text)) for ms, sign, text in stored]


def _line(ms: float, speaker: str, text: str) -> Line:
    return Line(ms, speaker, in_words(Reason.load(text)) if speaker == "note" else text)


def _sections(attempt: Attempt, session: SmtpSession | None) -> list[Section]:
    opening = read_lines(session.opening_lines) if session else []
    transfer = read_lines(attempt.transfer_lines)
    closing = read_lines(session.closing_lines) if session else []
    return [
        Section(gettext_lazy("Connection"), opening, _opening_remark(attempt)),
        Section(gettext_lazy("Transfer"), transfer, _transfer_remark(attempt)),
        Section(
            pgettext_lazy("of a conversation", "Close"), closing, _closing_remark(attempt, session)
        ),
    ]


def _opening_remark(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return _("No conversation recorded yet.")
    if attempt.session and attempt.session.opening == REMOVED:
        return _("The conversation was removed.")
    return _("No conversation took place.")


def _transfer_remark(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return _("Recorded when the attempt ends.")
    if attempt.transfer == REMOVED:
        return _("The conversation was removed.")
    return _("No message was transferred.")


def _closing_remark(attempt: Attempt, session: SmtpSession | None) -> str:
    if session and session.ended_at is None and attempt.ended_at:
        return _("The connection is kept open for further messages.")
    if session and session.opening == REMOVED:
        return _("The conversation was removed.")
    return _("The connection ended without QUIT.") if attempt.ended_at else ""


def _phase_times(attempt: Attempt, session: SmtpSession | None) -> dict[str, float]:
    """Return the times of all phases; a reused connection was opened by an earlier attempt."""
    opening = session.phases_ms if session and attempt.number_in_session <= 1 else {}
    return {**opening, **attempt.phase_times}


def segments(times: Mapping[str, float]) -> list[Segment]:
    """Return the segments of the bar, in the order of the phases."""
    known = [
        (phase, times[phase]) for phase in OPENING_PHASES + TRANSACTION_PHASES if phase in times
    ]
    total = sum(ms for _phase, ms in known)
    if total <= 0:
        return []
    shares = [max(100 * ms / total, MIN_SHARE) for _phase, ms in known]
    scale = 100 / sum(shares)
    laid, start = [], 0.0
    for (phase, ms), share in zip(known, shares, strict=True):
        width = share * scale
        laid.append(Segment(phase, PHASES[phase], ms, round(start, 2), round(width, 2)))
        start += width
    return laid
