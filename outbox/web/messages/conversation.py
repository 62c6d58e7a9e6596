"""An attempt as the page tells it: what it came to, how long each phase took, what both sides said.

Reads what delivery recorded; an attempt still under way simply has less to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.models import Attempt, Session
from outbox.web.wording import PHASES

OPENING = ("resolve", "connect", "greeting", "ehlo", "starttls", "tls", "auth")
TRANSFER = ("rset", "mail", "rcpt", "data", "body", "dot")
SPEAKERS = {"C": "client", "S": "server", "-": "note"}
MIN_SHARE = 0.8  # percent: what took no time can still be seen in the bar


@dataclass(frozen=True, slots=True)
class Line:
    """What one side said, milliseconds after the session began."""

    ms: float
    who: str  # client, server, note
    text: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """One of the three phases of a dialogue."""

    title: str | Promise
    lines: list[Line]
    remark: str = ""  # stands where nothing was said

    @property
    def began_ms(self) -> float:
        """When it began, counted from the connection's beginning."""
        return self.lines[0].ms if self.lines else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt meant for one of its recipients."""

    address: str
    state: str
    reply_code: int | None
    reply_enhanced: str
    reply_text: str
    reply_command: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One phase in the bar; start and share are percent of the whole."""

    phase: str
    label: str | Promise
    ms: float
    start: float
    share: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """One attempt, ready to be shown."""

    attempt: Attempt
    session: Session | None
    number: int  # counted from the first attempt at this message
    stretches: list[Stretch]
    segments: list[Segment]
    results: list[Result]

    @property
    def took_ms(self) -> float | None:
        """From the claim to the recorded outcome."""
        if self.attempt.ended_at is None:
            return None
        return (self.attempt.ended_at - self.attempt.started_at).total_seconds() * 1000

    @property
    def reused(self) -> bool:
        """Tell whether the connection had carried other mail before."""
        return self.attempt.number_in_session > 1

    @property
    def place(self) -> str:
        """Name the server as far as it is known."""
        return str(self.session) if self.session else ""


def read_conversation(attempt: Attempt, number: int) -> Conversation:
    """Set out one attempt; its session has to be loaded with it."""
    session = attempt.session
    return Conversation(
        attempt=attempt,
        session=session,
        number=number,
        stretches=_stretches(attempt, session),
        segments=segments(_times(attempt, session)),
        results=[_result(row) for row in attempt.result_rows],
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
    """Type the lines of a transcript; a reply of several lines stays one."""
    return [Line(float(ms), SPEAKERS.get(who, "note"), str(text)) for ms, who, text in stored]


def _stretches(attempt: Attempt, session: Session | None) -> list[Stretch]:
    opening = read_lines(session.opening_lines) if session else []
    transfer = read_lines(attempt.transfer_lines)
    closing = read_lines(session.closing_lines) if session else []
    return [
        Stretch(gettext_lazy("Connection"), opening, _opening_remark(attempt)),
        Stretch(gettext_lazy("Transfer"), transfer, _transfer_remark(attempt)),
        Stretch(
            pgettext_lazy("of a conversation", "Close"), closing, _closing_remark(attempt, session)
        ),
    ]


def _opening_remark(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return _("No conversation recorded yet.")
    return _("No conversation took place.")


def _transfer_remark(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return _("Recorded when the attempt ends.")
    return _("No message was transferred.")


def _closing_remark(attempt: Attempt, session: Session | None) -> str:
    if session and session.ended_at is None and attempt.ended_at:
        return _("The connection is kept open for further messages.")
    return _("The connection ended without QUIT.") if attempt.ended_at else ""


def _times(attempt: Attempt, session: Session | None) -> dict[str, float]:
    """Join the phases; a reused connection's opening was paid for by an earlier mail."""
    opened = session.phases_ms if session and attempt.number_in_session <= 1 else {}
    return {**opened, **attempt.phase_times}


def segments(times: Mapping[str, float]) -> list[Segment]:
    """Lay the phases end to end, in the order they happen."""
    known = [(phase, times[phase]) for phase in OPENING + TRANSFER if phase in times]
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
