"""Back-off: how long to wait before the next attempt. Clock and chance are arguments.

Recipients, circuits and webhooks wait by the same function, each with its own numbers.
"""

import datetime as dt
from dataclasses import dataclass

from outbox.retry_hint import seconds_asked_for

_MAX_STEPS = 64  # a larger power overflows a float, long after every limit was reached
_LATEST = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)  # leaves room for any time zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits of `first`, `first` × `factor`, … seconds, at most `longest`."""

    first: float
    factor: float
    longest: float
    jitter: float = 0  # the share of the wait that chance adds, or subtracts
    can_shorten: bool = True  # whether chance may subtract
    hint_max: float = 0  # seconds that a server may ask for, at most

    def wait(self, attempts: int, chance: float = 0.5) -> float:
        """Return the seconds to wait after this many attempts; `chance` is uniform in [0, 1)."""
        steps = min(max(attempts, 1) - 1, _MAX_STEPS)
        plain = min(self.first * self.factor**steps, self.longest)
        return plain * (1 + self.jitter * (2 * chance - 1 if self.can_shorten else chance))

    def hinted(self, text: str) -> float:
        """Return the seconds that a server's reply asks for, within the limit; 0 for none."""
        return min(seconds_asked_for(text), self.hint_max)

    def next_attempt_at(
        self, now: dt.datetime, attempts: int, chance: float, reply_text: str = ""
    ) -> dt.datetime:
        """Return when the next attempt is due; a hint in the reply can only make it later."""
        seconds = max(self.wait(attempts, chance), self.hinted(reply_text))
        return now + dt.timedelta(seconds=seconds)


def moment_after(now: dt.datetime, wait: dt.timedelta) -> dt.datetime:
    """Return `now + wait`, or a date near the end of the calendar for a wait beyond it."""
    return now + wait if wait < _LATEST - now else _LATEST
