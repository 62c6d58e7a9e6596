r"""What a misbehaving server does instead of the correct reply, and how a scenario writes it.

550 5.1.1 no such user        another reply ("\n" begins a further line); 421 also closes
send "25\x000 what\r\n"       these bytes
late 5 [ACTION]               the action after 5 seconds; without one the correct reply, late
drip 0.1 [REPLY]              one byte every 0.1 seconds
ACTION then close|reset|black-hole
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from outbox.testing.dialogue import SMTP
from outbox.testing.language import Language


class ActionError(ValueError):
    """The text is not a valid action; the message quotes it."""


class Misbehavior(StrEnum):
    """How the server replies. Each comment says whether the command is executed all the same."""

    REPLY = "reply"  # another reply; executed if its code says so
    SEND = "send"  # bytes that need not be a reply; not executed
    DRIP = "drip"  # the reply byte by byte, with pauses; executed
    SPLIT = "split"  # the reply byte by byte, each in its own packet; executed
    EXTRA = "extra"  # the reply and an unsolicited one after it; executed
    MISSING = "missing"  # no reply to this command, but to the next; executed
    NO_REPLY = "no-reply"  # executed, and no reply from here on
    HUGE = "huge"  # the reply on one line of a million octets; executed
    ENDLESS = "endless"  # a reply whose last line never comes; not executed
    GARBAGE = "garbage"  # bytes of no protocol; not executed
    WRONG_CLASS = "wrong-class"  # a reply of another class, such as 354 for 250; not executed
    BLACK_HOLE = "black-hole"  # no reply from here on; neither this nor later commands are executed
    CLOSE = "close"  # not executed
    RESET = "reset"  # RST; not executed
    REFUSE = "refuse"  # at connect only: nothing listens on the port


_EXECUTED = frozenset(
    {
        Misbehavior.DRIP,
        Misbehavior.SPLIT,
        Misbehavior.EXTRA,
        Misbehavior.MISSING,
        Misbehavior.NO_REPLY,
        Misbehavior.HUGE,
    }
)
_SPLIT_INTERVAL = 0.001  # seconds that keep two bytes from sharing a packet

_ENDING = re.compile(r"(.+?) then (close|reset|black-hole)")
_QUOTED = re.compile(r'"(.*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do instead of the correct reply."""

    kind: Misbehavior
    reply: str = ""  # with EXTRA the second reply; else the reply, "" for the correct one
    raw: bytes = b""  # with SEND
    wait: float = 0.0  # seconds before it
    interval: float = 0.0  # seconds between bytes
    then: Misbehavior | None = None  # CLOSE, RESET or BLACK_HOLE

    def effective_reply(self, correct: str) -> str:
        """Return the reply that the server obeys; "" if it does not execute the command."""
        if self.kind is Misbehavior.EXTRA:
            return correct
        if self.kind is Misbehavior.REPLY or self.kind in _EXECUTED:
            return self.reply or correct
        return ""


def parse_action(text: str, language: Language = SMTP) -> Action:
    """Parse an action. Raises ActionError."""
    text = text.strip()
    if ended := _ENDING.fullmatch(text):
        return replace(parse_action(ended[1], language), then=Misbehavior(ended[2]))
    if language.begins_reply.match(text):
        reply = _reply_text(text, language)
        is_last = bool(language.closes) and reply.startswith(language.closes)
        then = Misbehavior.CLOSE if is_last else None
        return Action(kind=Misbehavior.REPLY, reply=reply, then=then)
    word, _, rest = text.partition(" ")
    if word in _WITH_MORE:
        return _WITH_MORE[word](rest.strip(), language)
    if word in _ALONE and not rest:
        return Action(kind=Misbehavior(word))
    raise ActionError(f"“{text}” is not a valid action")


def _late(rest: str, language: Language) -> Action:
    wait, rest = _seconds(rest)
    action = parse_action(rest, language) if rest else Action(kind=Misbehavior.REPLY)
    return replace(action, wait=wait)


def _drip(rest: str, language: Language) -> Action:
    interval, rest = _seconds(rest)
    return Action(kind=Misbehavior.DRIP, interval=interval, reply=_reply_text(rest, language))


def _split(rest: str, language: Language) -> Action:
    return Action(
        kind=Misbehavior.SPLIT, interval=_SPLIT_INTERVAL, reply=_reply_text(rest, language)
    )


def _extra(rest: str, language: Language) -> Action:
    reply = _reply_text(rest, language) or language.unsolicited
    return Action(kind=Misbehavior.EXTRA, reply=reply)


def _send(rest: str, language: Language) -> Action:
    return Action(kind=Misbehavior.SEND, raw=_bytes(rest))


_WITH_MORE: dict[str, Callable[[str, Language], Action]] = {
    "late": _late,
    Misbehavior.DRIP: _drip,
    Misbehavior.SPLIT: _split,
    Misbehavior.EXTRA: _extra,
    Misbehavior.SEND: _send,
}
_ALONE = frozenset(Misbehavior) - {Misbehavior.REPLY, *_WITH_MORE}


def _reply_text(text: str, language: Language) -> str:
    if text and not language.begins_reply.match(text):
        raise ActionError(f"“{text}” is not a reply: a reply begins with its code")
    return text.replace("\\n", "\n")


def _seconds(text: str) -> tuple[float, str]:
    number, _, rest = text.partition(" ")
    try:
        seconds = float(number)
    except ValueError:
        raise ActionError(f"“{number}” is not a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ActionError(f"“{number}” is not a number of seconds")
    return seconds, rest.strip()


def _bytes(text: str) -> bytes:
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        raise ActionError('send needs its bytes in quotes, as in send "250 \\xff\\r\\n"')
    try:
        return quoted[1].encode("utf-8").decode("unicode_escape").encode("latin-1")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise ActionError(f"invalid escape sequence in {text}") from None
