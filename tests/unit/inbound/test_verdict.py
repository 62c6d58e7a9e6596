"""The effect of a failure: what the rules say, lessened by what the report says."""

import pytest

from outbox.inbound.inspection import Action
from outbox.inbound.verdict import classify, one_line
from outbox.mail.reply_kinds import RULES, parse_rules
from outbox.mail.server_replies import Effect


@pytest.mark.parametrize(
    ("reason", "status", "action", "effect", "rule"),
    [
        ("550 5.1.1 User unknown", "5.1.1", "failed", "hard", "mailbox-unknown"),
        ("450 4.1.1 User unknown", "4.1.1", "failed", "soft", "mailbox-unknown"),
        ("550 5.1.1 User unknown", "", "delayed", "soft", "mailbox-unknown"),
        ("User unknown", "5.0.0", "failed", "hard", "mailbox-unknown-words"),
        ("", "5.2.2", "failed", "soft", "mailbox-full-code"),
        ("550 5.2.1 receiving mail at a rate", "5.2.1", "failed", "soft", "recipient-rate"),
        ("550 5.1.1 listed by spamhaus", "5.1.1", "failed", "infrastructure", "named-blocklist"),
        ("Host or domain name not found", "5.4.4", "failed", "hard", "domain-unknown-code"),
        ("Host not found, try again", "5.4.4", "failed", "soft", "domain-lookup-failed"),
        ("554 no", "5.0.0", "failed", "soft", ""),
    ],
)
def test_a_failure_has_an_effect(
    reason: str, status: str, action: str, effect: str, rule: str
) -> None:
    verdict = classify(reason, status, Action(action), "", RULES)
    assert (verdict.effect, verdict.rule) == (effect, rule)


def test_the_whole_text_decides_where_the_reason_says_nothing() -> None:
    verdict = classify("<a@far.test>", "", Action.FAILED, "the mailbox is full", RULES)
    assert (verdict.effect, verdict.rule) == (Effect.SOFT, "mailbox-full")


def test_what_was_delivered_has_no_effect() -> None:
    assert classify("250 ok", "2.0.0", Action.DELIVERED, "", RULES).effect is None


def test_rules_of_a_site_come_first() -> None:
    own = parse_rules(
        '[[rules]]\nid = "own"\nkind = "content"\neffect = "soft"\nwords = ["user unknown"]\n'
        'examples = ["550 User unknown"]\n'
    )
    assert classify("User unknown", "", Action.FAILED, "", own + RULES).rule == "own"


def test_a_reason_is_one_line_without_control_characters() -> None:
    assert one_line("a\r\n\tb\x1b[31m\u202ec\0") == "a b [31m c"
    assert len(one_line("a" * 10_000)) == 500
