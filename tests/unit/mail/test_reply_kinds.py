"""Each rule that sorts replies decides its own examples."""

import pytest

from outbox.mail.reply_kinds import (
    RULES,
    Rule,
    RuleError,
    check_examples,
    kind_of_reason,
    kind_of_reply,
    parse_rules,
    rule_of,
)
from outbox.mail.server_replies import FailureKind
from outbox.reason_codes import ReasonCode
from outbox.smtp.reply import ReplyParser

EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]


def deciding(line: str) -> Rule | None:
    parser = ReplyParser()
    parser.feed(f"{line}\r\n".encode())
    reply = parser.next()
    assert reply is not None
    return rule_of(reply.code, reply.enhanced, reply.text)


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example[:40]}" for rule, example in EXAMPLES]
)
def test_a_rule_decides_its_examples(rule: Rule, example: str) -> None:
    found = deciding(example)
    assert found is not None
    assert found.id == rule.id


def test_every_rule_has_one_condition_an_example_and_an_id_of_its_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.examples, rule.id
        assert sum(map(bool, (rule.enhanced, rule.words, rule.codes))) == 1, rule.id


@pytest.mark.parametrize(
    "reply",
    [
        (550, "", "no"),
        (554, "", "Transaction failed"),
        (550, "5.1.0", "rejected"),
        (553, "5.0.0", "no"),
    ],
)
def test_a_reply_that_says_nothing_is_of_no_kind(reply: tuple[int, str, str]) -> None:
    """It must not lead to a suppression."""
    assert kind_of_reply(*reply) == FailureKind.UNKNOWN


def test_words_in_an_address_decide_nothing() -> None:
    unknown = "<spam-policy@blocklist.example>: User unknown"
    assert kind_of_reply(550, "", unknown) == FailureKind.RECIPIENT


def test_a_failure_without_a_reply_is_sorted_by_its_reason() -> None:
    assert kind_of_reason(ReasonCode.CONNECT_TIMEOUT) == FailureKind.INFRASTRUCTURE
    assert kind_of_reason(ReasonCode.MESSAGE_TOO_LARGE) == FailureKind.CONTENT
    assert kind_of_reason(ReasonCode.DOMAIN_INVALID) == FailureKind.RECIPIENT


def table(condition: str, example: str = '["550 5.2.2 Mailbox full"]') -> str:
    return f"""
[[rules]]
id = "site"
kind = "recipient"
effect = "soft"
{condition}
examples = {example}
"""


@pytest.mark.parametrize(
    "condition",
    [
        'words = ["mailbox full"]',
        'words = ["\\\\S+ full", "(?P<what>mailbox) full"]',
        'enhanced = ["2.2"]',
        "codes = [550]",
    ],
)
def test_a_rule_of_the_site_decides_its_examples(condition: str) -> None:
    rules = parse_rules(table(condition))
    check_examples(rules)
    assert [rule.id for rule in rules] == ["site"]


def test_an_example_may_be_the_text_of_a_bounce() -> None:
    check_examples(parse_rules(table('words = ["mailbox full"]', '["Sorry, mailbox full"]')))


@pytest.mark.parametrize(
    ("condition", "example", "said"),
    [
        ('words = "mailbox full"', "", "words must be a list of texts"),
        ('words = ["full", 5]', "", "words must be a list of texts"),
        ('words = [""]', "", "words must be a list of texts"),
        ("words = []", "", "words must be a list of texts"),
        ('enhanced = "2.2"', "", "enhanced must be a list of texts"),
        ('codes = ["550"]', "", "codes must be a list of numbers"),
        ("codes = [true]", "", "codes must be a list of numbers"),
        ("codes = 550", "", "codes must be a list of numbers"),
        ('words = ["full", "Mailbox"]', "", "'Mailbox' in lower case"),
        ('words = ["full"]', '"550 Mailbox full"', "examples must be a list of texts"),
        ('words = ["quota"]', "", "does not match its example '550 5.2.2 Mailbox full'"),
        ('enhanced = ["5.2.2"]', "", "does not match its example"),
        ("codes = [551]", "", "does not match its example"),
    ],
)
def test_a_rule_that_cannot_work_is_named(condition: str, example: str, said: str) -> None:
    text = table(condition, example) if example else table(condition)
    with pytest.raises(RuleError, match=f"^Rule site: .*{said}"):
        check_examples(parse_rules(text))


def test_an_example_that_an_earlier_rule_decides_is_named() -> None:
    first = table("codes = [550]").replace("site", "first")
    with pytest.raises(RuleError, match="Rule site: The rule first decides its example"):
        check_examples(parse_rules(first + table('words = ["mailbox full"]')))


def test_the_built_in_rules_pass_the_check_of_examples() -> None:
    check_examples(RULES)
