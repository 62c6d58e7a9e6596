"""When to try again: backoff with jitter, hints, give-up. Pure; clock and chance are passed in."""

import datetime as dt
import re
from dataclasses import dataclass

# "try again in 300 seconds", "retry after 5 min", "wait for 1 h". A unit is read as a whole word:
# "after 3 messages" does not ask for three minutes.
_HINT = re.compile(
    r"\b(?:again|retry|wait|after|delayed)\b[^\d.;]{0,20}?\b(\d{1,9})\s?"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE | re.ASCII,
)
_UNIT = {"s": 1, "m": 60, "h": 3600}
_FOR_EVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)  # room for any time zone behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits in seconds: first, first × factor, … up to `longest`, each ± `jitter` of itself."""

    first: float
    factor: float
    longest: float
    jitter: float
    hint_max: float

    def wait(self, attempts: int, chance: float) -> float:
        """Seconds to wait after the `attempts`-th try; `chance` is uniform in [0, 1)."""
        steps = min(max(attempts, 1) - 1, 64)  # a power beyond this overflows, long after the cap
        plain = min(self.first * self.factor**steps, self.longest)
        return plain * (1 + self.jitter * (2 * chance - 1))

    def hinted(self, text: str) -> float:
        """Seconds the server asked us to wait, bounded; 0 when it named none."""
        found = _HINT.search(text)
        if not found:
            return 0
        return min(int(found[1]) * _UNIT[found[2][0].lower()], self.hint_max)


def moment_after(now: dt.datetime, wait: dt.timedelta) -> dt.datetime:
    """Return `now + wait`; a wait beyond the calendar ends near its end."""
    return now + wait if wait < _FOR_EVER - now else _FOR_EVER


def next_try(
    backoff: Backoff, *, attempts: int, now: dt.datetime, chance: float, reply_text: str = ""
) -> dt.datetime:
    """Return when to try again after the `attempts`-th try, honouring a hint in the reply."""
    seconds = max(backoff.wait(attempts, chance), backoff.hinted(reply_text))
    return now + dt.timedelta(seconds=seconds)
