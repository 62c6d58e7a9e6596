"""How values are displayed: states with their labels and signs, durations, safe text.

The states themselves are defined in `models.states`.
"""

import re
from dataclasses import dataclass

from django.utils.formats import localize
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.models import InboundKind, Outcome, State, Status


@dataclass(frozen=True, slots=True)
class Sign:
    """The tone (a CSS class) and the icon of a state, so that color is not the only sign."""

    tone: str
    icon: str


QUIET = Sign("quiet", "clock")
SIGNS: dict[str, Sign] = {
    Status.DRAFT: Sign("quiet", "draft"),
    Status.SCHEDULED: QUIET,
    State.QUEUED: QUIET,
    State.SENDING: Sign("active", "arrow"),
    State.SENT: Sign("good", "check"),
    State.DEFERRED: Sign("wait", "wait"),
    State.HELD: Sign("held", "pause"),
    State.UNCERTAIN: Sign("unsure", "question"),
    Status.PARTIAL: Sign("bad", "alert"),
    State.FAILED: Sign("bad", "alert"),
    State.EXPIRED: Sign("bad", "wait"),
    State.BOUNCED: Sign("bad", "bounce"),
    State.CANCELLED: Sign("quiet", "ban"),
    Outcome.OPEN: Sign("active", "arrow"),
    Outcome.ABANDONED: Sign("wait", "alert"),
    Outcome.QUARANTINED: Sign("held", "alert"),
}
KIND_SIGNS: dict[str, Sign] = {
    InboundKind.MESSAGE: Sign("active", "inbox"),
    InboundKind.BOUNCE: Sign("bad", "bounce"),
    InboundKind.DELAY: Sign("wait", "wait"),
    InboundKind.AUTO_REPLY: Sign("quiet", "reply"),
    InboundKind.COMPLAINT: Sign("bad", "ban"),
    InboundKind.RECEIPT: Sign("good", "check"),
}
LABELS: dict[str, str | Promise] = {
    str(value): label for choices in (State, Status, Outcome) for value, label in choices.choices
}
# A chip has no sentence around it, so that it names what is uncertain.
CHIPS = LABELS | {State.UNCERTAIN.value: gettext_lazy("delivery uncertain")}

PHASES: dict[str, str | Promise] = {
    "resolve": pgettext_lazy("phase", "DNS lookup"),
    "connect": pgettext_lazy("phase", "Connect"),
    "greeting": pgettext_lazy("phase", "Greeting"),
    "ehlo": "EHLO",
    "starttls": "STARTTLS",
    "tls": pgettext_lazy("phase", "TLS handshake"),
    "auth": pgettext_lazy("phase", "Login"),
    "rset": "RSET",
    "mail": "MAIL",
    "rcpt": "RCPT",
    "data": "DATA",
    "body": pgettext_lazy("phase", "Body"),
    "dot": pgettext_lazy("phase", "Final reply"),
}

# How a page names the command to which a server replied.
COMMANDS: dict[str, str | Promise] = {
    "MAIL": "MAIL FROM",
    "RCPT": "RCPT TO",
    "DATA": "DATA",
    "DOT": gettext_lazy("the end of DATA"),
    "CONNECT": gettext_lazy("connecting"),
    "GREETING": gettext_lazy("connecting"),
}

# Control characters, and characters that change the text direction: a subject with U+202E is
# shown backwards. Tab and line feed are allowed.
_MISLEADING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)

_LONG = 120  # seconds; longer durations are shown in minutes


def inert(text: str) -> str:
    """Replace misleading characters by their number: `⟨202E⟩`. The template escapes the text."""
    return _MISLEADING.sub(lambda found: f"⟨{ord(found[0]):02X}⟩", text.replace("\r\n", "\n"))


def duration(milliseconds: float) -> str:
    """Return a duration in a suitable precision: 0.4 ms, 12 ms, 1.24 s, 3 min."""
    seconds = milliseconds / 1000
    if milliseconds < 1:
        return f"{_decimal(milliseconds, 1)} ms"
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < _LONG:
        return f"{_decimal(seconds, 2)} s"
    return _("%(count)d min") % {"count": seconds // 60}


def offset(milliseconds: float) -> str:
    """Return a time in a transcript in milliseconds, so that lines can be compared."""
    return f"{milliseconds:,.0f} ms".replace(",", "\u202f")


def _decimal(value: float, decimals: int) -> str:
    return str(localize(round(float(value), decimals) if decimals else round(value)))
