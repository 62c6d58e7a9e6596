"""Reasons: why a recipient is in its state, an attempt ended, or a server is not tried.

A reason is a code of a closed list and its arguments. Both are stored; the sentence is made when it
is displayed, in the reader's language. No sentence is ever parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from outbox.reason_codes import ReasonCode
from outbox.texts import Translate, Value, fill, gettext_noop, shown_values, storable

__all__ = ["NO_REASON", "Reason", "ReasonCode", "quoted"]

_REPLY = "reply"  # an argument that any reason may have: the server's own words
_WITH_REPLY = gettext_noop("%(sentence)s The server replied: %(reply)s")


class Reason:
    """A code and its arguments; empty where there is nothing to say."""

    __slots__ = ("args", "code")

    def __init__(self, code: ReasonCode, /, **args: Value) -> None:
        """Raise TypeError for arguments that the code's sentence does not have."""
        if not code.arguments <= args.keys() <= code.arguments | {_REPLY}:
            raise TypeError(
                f"{code} has the arguments {sorted(code.arguments)}, not {sorted(args)}"
            )
        self.code: str = code
        self.args: dict[str, Value] = args

    def __bool__(self) -> bool:
        return bool(self.code)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reason):
            return NotImplemented
        return (self.code, self.args) == (other.code, other.args)

    def __hash__(self) -> int:
        return hash(self.dump())

    def __repr__(self) -> str:
        return f"<Reason {self.dump()}>"

    def __str__(self) -> str:
        """The sentence in English, for logs and for other programs."""
        return self.in_words()

    def in_words(self, translate: Translate = str) -> str:
        """Return the sentence; one of a newer version shows its code and its arguments."""
        sentence = self._sentence(translate)
        if _REPLY not in self.args or _is_part_of(self.code):
            return sentence
        reply = {"sentence": sentence, _REPLY: self.args[_REPLY]}
        return fill(_WITH_REPLY, reply, translate)

    def _sentence(self, translate: Translate) -> str:
        known = _KNOWN.get(self.code)
        if known is not None and known.arguments <= self.args.keys():
            return fill(known.template, self.args, translate)
        words = self.code.replace("_", " ") if self.code.isidentifier() else self.code
        shown = shown_values(self.args, translate)
        listed = ", ".join(f"{name}: {value}" for name, value in shown.items() if name != _REPLY)
        return f"{words} ({listed})" if listed else words

    def with_reply(self, reply: object) -> Reason:
        """Return the reason with the server's own words; without a reply, the reason itself."""
        return _made(self.code, {**self.args, _REPLY: str(reply)}) if reply else self

    def map_texts(self, change: Callable[[str], str]) -> Reason:
        """Return the reason with each text among its arguments changed."""
        changed: dict[str, Value] = {}
        for name, value in self.args.items():
            if isinstance(value, Reason):
                changed[name] = value.map_texts(change)
            else:
                changed[name] = change(value) if isinstance(value, str) else value
        return _made(self.code, changed)

    def as_dict(self) -> dict[str, Any]:
        """Return code, arguments and the sentence in English, for other programs."""
        plain = {name: _plain(value) for name, value in self.args.items()}
        return {"code": self.code, "arguments": plain, "text": str(self)}

    def dump(self) -> str:
        """Return the form that is stored: the code, and the arguments as JSON where it has any."""
        if not self.args:
            return self.code
        return f"{self.code} {_dumped(self.args)}"

    @classmethod
    def load(cls, stored: str) -> Reason:
        """Read the stored form; a text that is none is shown as it is."""
        if not stored:
            return NO_REASON
        code, _, rest = stored.partition(" ")
        try:
            args = json.loads(rest) if rest else {}
        except ValueError:
            args = None
        if not isinstance(args, dict):
            return _made(stored, {})
        return _made(code, {name: _loaded(value) for name, value in args.items()})


def _made(code: str, args: dict[str, Value]) -> Reason:
    """Return a reason of any code: that of a newer version cannot be checked."""
    reason = Reason.__new__(Reason)
    reason.code, reason.args = code, args
    return reason


def _is_part_of(code: str) -> bool:
    known = _KNOWN.get(code)
    return known is not None and _REPLY in known.arguments


def _dumped(args: dict[str, Value]) -> str:
    plain = {name: _plain(value) for name, value in args.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Value) -> Any:
    """Return a value for JSON: a reason among the arguments is a list of code and arguments."""
    if isinstance(value, Reason):
        return [value.code, {name: _plain(inner) for name, inner in value.args.items()}]
    return storable(value) if isinstance(value, str) else value


def _loaded(value: Any) -> Value:
    match value:
        case [str(code), dict(args)]:
            return _made(code, {name: _loaded(inner) for name, inner in args.items()})
        case str() | int() | float():
            return value
    return json.dumps(value)


def without_arguments(code: ReasonCode) -> Reason:
    """Return a reason whose sentence has an ellipsis in the place of each argument."""
    return Reason(code, **dict.fromkeys(code.arguments, "…"))


def quoted(text: str) -> Reason:
    """Return the words of a person, or of another program, as a reason."""
    return Reason(ReasonCode.QUOTED, text=text) if text else NO_REASON


_KNOWN = {code.value: code for code in ReasonCode}
NO_REASON = _made("", {})
