"""The rules in force for replies and bounces: those of the site before the built-in ones."""

from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from outbox.conf import get_conf
from outbox.mail.reply_kinds import RULES, Rule, RuleError, check_examples, parse_rules
from outbox.mail.reply_kinds import kind_of_reply as _kind_of_reply
from outbox.mail.server_replies import FailureKind


def rules_in_force() -> tuple[Rule, ...]:
    """Return the rules of the site and the built-in ones; the first one that matches decides.

    Raise ImproperlyConfigured if the site's file cannot be read or is invalid.
    """
    return _site_rules(get_conf().reply_rules) + RULES


def kind_of_reply(code: int, enhanced: str, text: str) -> FailureKind:
    """Return what a negative reply is about, by the usable rules."""
    return _kind_of_reply(code, enhanced, text, usable_rules())


def usable_rules() -> tuple[Rule, ...]:
    """Return the rules in force, without those of a file that is invalid.

    A check reports the file. It must not stop a worker.
    """
    try:
        return rules_in_force()
    except ImproperlyConfigured:
        return RULES


def _site_rules(path: str) -> tuple[Rule, ...]:
    """Return the rules of the site. Raise ImproperlyConfigured if the file is invalid."""
    rules, fault = _read_rules(path) if path else ((), "")
    if fault:
        raise ImproperlyConfigured(f'OUTBOX["REPLY_RULES"], {path}: {fault}')
    return rules


@lru_cache(maxsize=8)
def _read_rules(path: str) -> tuple[tuple[Rule, ...], str]:
    """Return the rules of a file, or why it is invalid.

    The file is read once, so that a change needs a restart. A file that is invalid is not read
    again either: workers ask for the rules for each reply.
    """
    try:
        rules = parse_rules(Path(path).read_text("utf-8"))
        check_examples(rules)
    except (OSError, UnicodeDecodeError, RuleError) as error:
        return (), str(error)
    names = {rule.id for rule in RULES}
    if used := sorted(names.intersection(rule.id for rule in rules)):
        return (), f"The built-in rules have the id {', '.join(used)}. Choose another one."
    return rules, ""
