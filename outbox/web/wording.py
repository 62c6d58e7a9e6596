"""How facts are put for people: names of states with their sign, sizes, durations, inert text.

The closed lists themselves stand in `models.states`; nothing here decides anything.
"""

import re
from dataclasses import dataclass

from django.utils.formats import localize
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.models import Outcome, State, Status


@dataclass(frozen=True, slots=True)
class Sign:
    """What a state looks like: a tone (a CSS class) and an icon, so never by colour alone."""

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
LABELS: dict[str, str | Promise] = {
    str(value): label for choices in (State, Status, Outcome) for value, label in choices.choices
}

PRIORITIES: dict[int, str | Promise] = {  # X-Priority
    1: pgettext_lazy("priority", "Highest"),
    2: pgettext_lazy("priority", "High"),
    3: pgettext_lazy("priority", "Normal"),
    4: pgettext_lazy("priority", "Low"),
    5: pgettext_lazy("priority", "Lowest"),
}
NORMAL = 3

PHASES: dict[str, str | Promise] = {
    "resolve": pgettext_lazy("phase", "name look-up"),
    "connect": pgettext_lazy("phase", "connect"),
    "greeting": pgettext_lazy("phase", "greeting"),
    "ehlo": "EHLO",
    "starttls": "STARTTLS",
    "tls": pgettext_lazy("phase", "TLS handshake"),
    "auth": pgettext_lazy("phase", "login"),
    "rset": "RSET",
    "mail": "MAIL",
    "rcpt": "RCPT",
    "data": "DATA",
    "body": pgettext_lazy("phase", "body"),
    "dot": pgettext_lazy("phase", "wait after the dot"),
}

# How a page names the command that a reply answers.
COMMANDS: dict[str, str | Promise] = {
    "MAIL": "MAIL FROM",
    "RCPT": "RCPT TO",
    "DATA": "DATA",
    "DOT": gettext_lazy("the end of DATA"),
    "CONNECT": gettext_lazy("connecting"),
    "GREETING": gettext_lazy("connecting"),
}

# Controls, and the marks that turn or hide the direction of what follows (RFC 5322 allows none of
# them in print; a subject with U+202E reads backwards). Tab and line feed stay.
_MISLEADING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)

_UNITS = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_LONG = 120  # seconds; from here on minutes are precise enough


def inert(text: str) -> str:
    """Show misleading characters as their number: `⟨202E⟩`. Escaping is the template's."""
    return _MISLEADING.sub(lambda found: f"⟨{ord(found[0]):02X}⟩", text.replace("\r\n", "\n"))


def size(count: int) -> str:
    """Put bytes as people read them: 25 MB, 2.1 kB, 512 bytes. Thousands, as disks are sold."""
    for unit, name in _UNITS:
        if count >= unit:
            decimals = 1 if count < 10 * unit else 0
            return f"{_decimal(count / unit, decimals)} {name}"
    return _("%(count)d bytes") % {"count": count}


def duration(milliseconds: float) -> str:
    """Put a duration at the precision that still tells something: 0.4 ms, 12 ms, 1.24 s, 3 min."""
    seconds = milliseconds / 1000
    if milliseconds < 1:
        return f"{_decimal(milliseconds, 1)} ms"
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < _LONG:
        return f"{_decimal(seconds, 2)} s"
    return _("%(count)d min") % {"count": seconds // 60}


def offset(milliseconds: float) -> str:
    """Put a place in a dialogue, always to the millisecond, so that neighbours can be compared."""
    return f"{milliseconds:,.0f} ms".replace(",", "\u202f")


def _decimal(value: float, decimals: int) -> str:
    return str(localize(round(float(value), decimals) if decimals else round(value)))
