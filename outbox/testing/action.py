r"""What a misbehaving server does in place of the right answer, and how a scenario writes it.

550 5.1.1 no such user        another reply ("\n" begins a further line); 421 also closes
send "25\x000 what\r\n"       these bytes
late 5 [ACTION]               the same, after 5 seconds; alone: the right reply, late
drip 0.1 [REPLY]              one byte each 0.1 seconds
ACTION then close|reset|black-hole
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class ActionError(ValueError):
    """An action that is none; the text quotes it."""


class Manner(StrEnum):
    """How the server answers. Each says whether the command was carried out all the same."""

    REPLY = "reply"  # another reply; carried out if its code says so
    SEND = "send"  # bytes that need not be a reply; not carried out
    DRIP = "drip"  # the reply byte by byte, with pauses; carried out
    SPLIT = "split"  # the reply byte by byte, each in its own packet; carried out
    EXTRA = "extra"  # the reply, and one nobody asked for behind it; carried out
    MISSING = "missing"  # no reply to this one, but to the next; carried out
    NEVER_ANSWER = "never-answer"  # carried out, and not a word from here on
    HUGE = "huge"  # the reply on one line of a million octets; carried out
    ENDLESS = "endless"  # a reply whose last line never comes; not carried out
    GARBAGE = "garbage"  # bytes that are no SMTP; not carried out
    WRONG_CLASS = "wrong-class"  # 354 where 250 is due and the reverse; not carried out
    BLACK_HOLE = "black-hole"  # not a word from here on; not carried out, nor what follows
    CLOSE = "close"  # not carried out
    RESET = "reset"  # RST; not carried out
    REFUSE = "refuse"  # at connect only: nobody listens at the port


_CARRIED_OUT = frozenset(
    {Manner.DRIP, Manner.SPLIT, Manner.EXTRA, Manner.MISSING, Manner.NEVER_ANSWER, Manner.HUGE}
)
_APART = 0.001  # seconds that keep two bytes from sharing a packet

_ENDING = re.compile(r"(.+?) then (close|reset|black-hole)")
_CODE = re.compile(r"[2-5]\d\d(?:[ -]|$)")
_QUOTED = re.compile(r'"(.*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do in place of the right answer."""

    manner: Manner
    reply: str = ""  # with EXTRA the one behind; else in place of the right one, "" for that one
    raw: bytes = b""  # with SEND
    wait: float = 0.0  # seconds before it
    interval: float = 0.0  # seconds between bytes
    then: Manner | None = None  # CLOSE, RESET or BLACK_HOLE

    def counted(self, right: str) -> str:
        """Return the reply by which the server acts; "" where it does not carry the command out."""
        if self.manner is Manner.EXTRA:
            return right
        if self.manner is Manner.REPLY or self.manner in _CARRIED_OUT:
            return self.reply or right
        return ""


def parse_action(text: str) -> Action:
    """Read an action; raises ActionError."""
    text = text.strip()
    if ended := _ENDING.fullmatch(text):
        return replace(parse_action(ended[1]), then=Manner(ended[2]))
    if _CODE.match(text):
        reply = _reply_text(text)
        then = Manner.CLOSE if reply.startswith("421") else None  # RFC 5321 3.8
        return Action(manner=Manner.REPLY, reply=reply, then=then)
    word, _, rest = text.partition(" ")
    if word in _WITH_MORE:
        return _WITH_MORE[word](rest.strip())
    if word in _ALONE and not rest:
        return Action(manner=Manner(word))
    raise ActionError(f"“{text}” is no action")


def _late(rest: str) -> Action:
    wait, rest = _seconds(rest)
    action = parse_action(rest) if rest else Action(manner=Manner.REPLY)
    return replace(action, wait=wait)


def _drip(rest: str) -> Action:
    interval, rest = _seconds(rest)
    return Action(manner=Manner.DRIP, interval=interval, reply=_reply_text(rest))


def _split(rest: str) -> Action:
    return Action(manner=Manner.SPLIT, interval=_APART, reply=_reply_text(rest))


def _extra(rest: str) -> Action:
    return Action(manner=Manner.EXTRA, reply=_reply_text(rest) or "250 2.0.0 Nobody asked")


def _send(rest: str) -> Action:
    return Action(manner=Manner.SEND, raw=_bytes(rest))


_WITH_MORE: dict[str, Callable[[str], Action]] = {
    "late": _late,
    Manner.DRIP: _drip,
    Manner.SPLIT: _split,
    Manner.EXTRA: _extra,
    Manner.SEND: _send,
}
_ALONE = frozenset(Manner) - {Manner.REPLY, *_WITH_MORE}


def _reply_text(text: str) -> str:
    if text and not _CODE.match(text):
        raise ActionError(f"“{text}” is no reply: a reply begins with its code")
    return text.replace("\\n", "\n")


def _seconds(text: str) -> tuple[float, str]:
    number, _, rest = text.partition(" ")
    try:
        seconds = float(number)
    except ValueError:
        raise ActionError(f"“{number}” is no number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ActionError(f"“{number}” is no number of seconds")
    return seconds, rest.strip()


def _bytes(text: str) -> bytes:
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        raise ActionError('send needs its bytes in quotes, as in send "250 \\xff\\r\\n"')
    try:
        return quoted[1].encode("utf-8").decode("unicode_escape").encode("latin-1")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise ActionError(f"I cannot read the escapes in {text}") from None
