"""What a failure at a remote server means for the recipient: hard, soft, or infrastructure.

The table of rules that also sorts the replies on the way out decides. A rule can only lessen what
the report says: a transient status is never hard (RFC 3463 2).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from outbox.inbound.inspection import Action
from outbox.mail.reply_kinds import Rule, rule_of
from outbox.mail.server_replies import Effect
from outbox.texts import storable

MAX_REASON = 500
_CODE = re.compile(r"(?<![\d.#:/-])([245]\d\d)(?![\d.:/])")
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]++")
_TRANSIENT = 4  # the first digit of a basic code
_GENERIC = frozenset({"", "5.0.0", "4.0.0"})


class Verdict(NamedTuple):
    """What a report about one recipient means."""

    status: str
    effect: Effect | None
    rule: str
    reason: str


def classify(
    reason: str, status: str, action: Action, context: str, rules: Sequence[Rule]
) -> Verdict:
    """Return what a reason means; the whole notification decides if the reason says nothing."""
    reason = reason or context[:MAX_REASON]
    code, enhanced = read_codes(reason)
    rule = rule_of(code, enhanced or status, reason, rules)
    if rule is None and context:
        context_code, context_enhanced = read_codes(context)
        code, enhanced = code or context_code, enhanced or context_enhanced
        rule = rule_of(code, enhanced or status, context, rules)
    if status in _GENERIC:
        status = enhanced or status
    effect = rule.effect if rule else Effect.SOFT
    is_transient = action == Action.DELAYED or status.startswith("4") or code // 100 == _TRANSIENT
    if action in {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}:
        return Verdict(status, None, "", one_line(reason))
    if effect == Effect.HARD and is_transient:
        effect = Effect.SOFT
    return Verdict(status, effect, rule.id if rule else "", one_line(reason))


def read_codes(text: str) -> tuple[int, str]:
    """Return the basic code, or 0, and the enhanced code, or "", in a text."""
    start = text[:2_000]
    code, enhanced = _CODE.search(start), _ENHANCED.search(start)
    return int(code[1]) if code else 0, enhanced[1] if enhanced else ""


def one_line(text: str) -> str:
    """Return a text in one line, without control characters, and not too long."""
    return storable(" ".join(_CONTROL.sub(" ", text[: 4 * MAX_REASON]).split()))[:MAX_REASON]
