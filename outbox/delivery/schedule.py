"""When to try again: backoff with jitter, hints, give-up. Pure; clock and chance are passed in."""

import datetime as dt
import re
from dataclasses import dataclass

# "try again in 300 seconds", "retry after 5 minutes", "wait for 1 hour"
_HINT = re.compile(
    r"(?:again|retry|wait|after|delayed?)\D{0,20}?(\d{1,5})\s*(s|sec|m|min|h|hour)\w*\b",
    re.IGNORECASE,
)
_UNIT = {"s": 1, "m": 60, "h": 3600}


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


def next_try(
    backoff: Backoff, *, attempts: int, now: dt.datetime, chance: float, reply_text: str = ""
) -> dt.datetime:
    """Return when to try again after the `attempts`-th try, honouring a hint in the reply."""
    seconds = max(backoff.wait(attempts, chance), backoff.hinted(reply_text))
    return now + dt.timedelta(seconds=seconds)
