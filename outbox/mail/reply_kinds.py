"""What a failure is about: the recipient, the content, or our infrastructure.

The rules are in `reply_rules.toml`. They sort the replies of servers and the texts of bounces. Only
a failure of the recipient may lead to its suppression, so a reply that no rule explains is of no
kind. Compiling the rules takes some 50 ms, so that only code which sorts replies imports this
module.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple, TypeVar

from outbox.mail.server_replies import Effect, FailureKind, without_addresses
from outbox.reason_codes import ReasonCode


class Rule(NamedTuple):
    """One rule. It has enhanced codes, words or basic codes."""

    id: str
    kind: FailureKind
    effect: Effect
    enhanced: frozenset[str]  # without their class
    words: re.Pattern[str] | None
    codes: frozenset[int]
    examples: tuple[str, ...]

    def matches(self, code: int, enhanced: str, words: str) -> bool:
        """Return whether the rule decides a reply with these words."""
        if self.words is not None:
            return self.words.search(words) is not None
        return enhanced.partition(".")[2] in self.enhanced or code in self.codes


class RuleError(ValueError):
    """A table of rules is invalid. The text names the rule and what to correct."""


_CONDITIONS = ("enhanced", "words", "codes")
_FIELDS = frozenset({"id", "kind", "effect", "examples", *_CONDITIONS})
_Value = TypeVar("_Value", str, int)
_NOT_LITERAL = re.compile(r"\\.|\(\?P")  # parts of a pattern whose case has a meaning
_EXAMPLE = re.compile(
    r"(?:([245]\d\d)(?:[ -]|$))?((?:([245]\.\d{1,3}\.\d{1,3})(?!\S))?.*)", re.DOTALL
)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules of a table in the format of `reply_rules.toml`. Raise RuleError."""
    try:
        rows = tomllib.loads(text).get("rules", [])
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"The table is not TOML: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RuleError("The table needs entries [[rules]].")
    return tuple(map(_rule, rows))


def _rule(row: Mapping[str, Any]) -> Rule:
    name = row.get("id", "")
    try:
        if not name or not row["examples"] or sum(one in row for one in _CONDITIONS) != 1:
            raise RuleError("It needs an id, examples, and one of enhanced, words and codes.")
        if unknown := sorted(row.keys() - _FIELDS):
            raise RuleError(f"It has no field {', '.join(unknown)}.")
        words = _listed(row, "words", str)
        if upper := [one for one in words if any(map(str.isupper, _NOT_LITERAL.sub("", one)))]:
            raise RuleError(f"Write {upper[0]!r} in lower case, as the text is that is searched.")
        return Rule(
            str(name),
            FailureKind(row["kind"]),
            Effect(row["effect"]),
            frozenset(_listed(row, "enhanced", str)),
            re.compile(rf"\b(?:{'|'.join(words)})") if words else None,
            frozenset(_listed(row, "codes", int)),
            tuple(_listed(row, "examples", str)),
        )
    except (KeyError, TypeError, ValueError, re.error) as error:
        missing = f"It has no {error}." if isinstance(error, KeyError) else str(error)
        raise RuleError(f"Rule {name or '?'}: {missing}") from error


def _listed(row: Mapping[str, Any], name: str, kind: type[_Value]) -> list[_Value]:
    """Return a field that is a list of texts or numbers, or [] if the rule does not have it."""
    if name not in row:
        return []
    found = row[name]
    values = [one for one in found if one and type(one) is kind] if type(found) is list else []
    if not values or len(values) != len(found):
        listed = "texts" if kind is str else "numbers"
        raise RuleError(f"Its field {name} must be a list of {listed}.")
    return values


def check_examples(rules: Sequence[Rule]) -> None:
    """Raise RuleError unless each rule decides its own examples.

    An example is a line of a reply, or the text of a bounce.
    """
    for rule in rules:
        for example in rule.examples:
            found = _EXAMPLE.match(example)
            assert found is not None
            decided = rule_of(int(found[1] or 0), found[3] or "", found[2], rules)
            if decided is not rule:
                by = f"The rule {decided.id} decides" if decided else "It does not match"
                raise RuleError(f"Rule {rule.id}: {by} its example {example!r}.")


RULES = parse_rules((resources.files("outbox.mail") / "reply_rules.toml").read_text("utf-8"))
# Reasons of the client. All others are about a connection or a login.
_OF_CONTENT = frozenset(
    {
        ReasonCode.MESSAGE_NUL,
        ReasonCode.MESSAGE_TOO_LARGE,
        ReasonCode.SMTPUTF8_SENDER,
        ReasonCode.SMTPUTF8_HEADER,
        ReasonCode.EIGHT_BIT_SIGNED,
        ReasonCode.EIGHT_BIT_STRAY,
    }
)
_OF_RECIPIENT = frozenset(
    {
        ReasonCode.SMTPUTF8_RECIPIENT,
        ReasonCode.PATH_INVALID,
        ReasonCode.PATH_TOO_LONG,
        ReasonCode.DOMAIN_INVALID,
    }
)


def rule_of(code: int, enhanced: str, text: str, rules: Sequence[Rule] = RULES) -> Rule | None:
    """Return the rule that decides what a negative reply is about."""
    words = without_addresses(text)
    return next((rule for rule in rules if rule.matches(code, enhanced, words)), None)


def kind_of_reply(
    code: int, enhanced: str, text: str, rules: Sequence[Rule] = RULES
) -> FailureKind:
    """Return what a negative reply is about."""
    rule = rule_of(code, enhanced, text, rules)
    return rule.kind if rule else FailureKind.UNKNOWN


def kind_of_reason(reason_code: str) -> FailureKind:
    """Return what a failure without a reply is about."""
    if reason_code in _OF_RECIPIENT:
        return FailureKind.RECIPIENT
    if reason_code in _OF_CONTENT:
        return FailureKind.CONTENT
    return FailureKind.INFRASTRUCTURE
