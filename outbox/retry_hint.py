"""The time after which a server asks to be tried again, read from the text of its reply.

Only a request to wait or to come back counts: "try again in 5 minutes", "greylisted for 300
seconds", "come back in 00:05:00". A limit or a time that has passed does not: "20 messages in
10 minutes", "after 10 minutes of idling".
"""

import re
from functools import cache

_READ_MAX = 8_000  # characters of a reply; a hint after them is not read

# A line break within a reply, with the codes that may follow it (RFC 5321 4.2.1, RFC 2034 4).
_LINE_BREAK = re.compile(r"\n(?:\d{3}[ -])?(?:[245]\.\d{1,3}\.\d{1,3}(?![\w.]))?", re.ASCII)

# Between the request and the time: "again later, in about 5 minutes". Every repetition is bounded,
# so that the search takes linear time: the server chooses the text.
_BETWEEN = (
    r"(?:[ ,:;()~=-]|\b(?:about|after|another|approx|approximately|around|at|connection|delay"
    r"|delivery|in|is|later|least|mail|message|minimum|next|of|period|request|sending|the|this|time"
    r"|your)\b){0,10}"
)
_COME_BACK = (
    r"\b(?:again|call back|come back|later|next (?:attempt|retry|try)|reconnect|resend"
    r"|retried|retry|retrying|return|try back)" + _BETWEEN
)
_WAIT = (
    r"\b(?:banned|blocked|deferred|delay|delayed|gr[ae]y-?list(?:ed|ing)?|hold off|suspended"
    r"|throttled|wait)\b(?:[ ,:]{1,2}for\b)?" + _BETWEEN
)
_NUMBER = r"(?:\d{1,9}(?:\.\d{1,3})?|an?\b|one\b)"
_NAME = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_FURTHER = rf"(?:[ ,]{{0,2}}(?:and )?\d{{1,9}} ?{_NAME}){{0,3}}"  # "1 hour and 30 minutes"
_SPANS = rf"(?:\d{{1,9}} ?(?:-|to) ?)?({_NUMBER} ?{_NAME}{_FURTHER})"
# Not a time of day: "after 10:30:00 UTC".
_CLOCK = r"(\d{1,3}):(\d\d):(\d\d)(?![\d:])(?! ?(?:am|gmt|pm|utc|[+-]\d))"
_FLAGS = re.IGNORECASE | re.ASCII
_SPAN = re.compile(rf"({_NUMBER}) ?([smhd])", _FLAGS)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@cache
def _hint_pattern() -> re.Pattern[str]:
    """Return the pattern, which takes a millisecond to compile: every sweep imports this."""
    return re.compile(rf"(?:{_COME_BACK}|{_WAIT})(?<!\w)(?:{_CLOCK}|{_SPANS})", _FLAGS)


def seconds_asked_for(text: str) -> float:
    """Return the seconds that the first hint in the text asks for; 0 if there is none."""
    words = " ".join(_LINE_BREAK.sub(" ", text[:_READ_MAX]).split())
    found = _hint_pattern().search(words)
    if found is None:
        return 0
    hours, minutes, seconds, spans = found.groups()
    if spans is None:
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return sum(
        (float(number) if number[0].isdigit() else 1) * _SECONDS[name.lower()]
        for number, name in _SPAN.findall(spans)
    )
