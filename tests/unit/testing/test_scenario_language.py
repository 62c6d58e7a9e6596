"""What a scenario's lines mean, and what is said of lines that mean nothing."""

import pytest

from outbox.testing.action import Action, ActionError, Misbehavior, parse_action
from outbox.testing.capabilities import EXTENSIONS
from outbox.testing.certificates import Certificate
from outbox.testing.dialogue import Stage
from outbox.testing.scenario import (
    Occasion,
    Scenario,
    ScenarioError,
    Span,
    catalog,
    named,
    parse_scenario,
)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("550 5.1.1 no", Action(kind=Misbehavior.REPLY, reply="550 5.1.1 no")),
        ("250", Action(kind=Misbehavior.REPLY, reply="250")),
        ("250 a\\nb", Action(kind=Misbehavior.REPLY, reply="250 a\nb")),
        # RFC 5321 3.8: who says 421 closes
        ("421 bye", Action(kind=Misbehavior.REPLY, reply="421 bye", then=Misbehavior.CLOSE)),
        (
            "421 bye then reset",
            Action(kind=Misbehavior.REPLY, reply="421 bye", then=Misbehavior.RESET),
        ),
        ("late 2", Action(kind=Misbehavior.REPLY, wait=2)),
        ("late .5 close", Action(kind=Misbehavior.CLOSE, wait=0.5)),
        ("late 1 451 x", Action(kind=Misbehavior.REPLY, reply="451 x", wait=1)),
        (
            "late 1 drip 0.1 250 x",
            Action(kind=Misbehavior.DRIP, reply="250 x", wait=1, interval=0.1),
        ),
        ("split", Action(kind=Misbehavior.SPLIT, interval=0.001)),
        ("extra", Action(kind=Misbehavior.EXTRA, reply="250 2.0.0 Unsolicited")),
        ("extra 451 x", Action(kind=Misbehavior.EXTRA, reply="451 x")),
        ("missing then reset", Action(kind=Misbehavior.MISSING, then=Misbehavior.RESET)),
        ('send "25\\x00 \\xff\\r\\n"', Action(kind=Misbehavior.SEND, raw=b"25\0 \xff\r\n")),
        ("black-hole", Action(kind=Misbehavior.BLACK_HOLE)),
    ],
)
def test_an_action_is_parsed(text: str, action: Action) -> None:
    assert parse_action(text) == action


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "explode",
            "close now",
            "99 too short",
            "650 beyond",
            "2500 too long",
            "late",
            "late x",
        ),
        *("late -1", "late nan", "drip", "split hello", "send 250", 'send "\\xzz"', "reply 250 x"),
    ],
)
def test_an_invalid_action_is_rejected(text: str) -> None:
    with pytest.raises(ActionError):
        parse_action(text)


@pytest.mark.parametrize(
    ("misbehavior", "counted"),
    [
        ("451 4.3.0 no", "451 4.3.0 no"),
        ("250 2.0.0 own", "250 2.0.0 own"),
        ("late 1", "250 right"),
        ("drip 1 451 no", "451 no"),
        ("extra 451 no", "250 right"),
        ("missing", "250 right"),
        ("no-reply", "250 right"),
        ("huge", "250 right"),
        ("wrong-class", ""),
        ("garbage", ""),
        ("endless", ""),
        ("close", ""),
        ("black-hole", ""),
        ('send "250 ok\\r\\n"', ""),
    ],
)
def test_an_action_has_the_reply_that_the_server_obeys(misbehavior: str, counted: str) -> None:
    assert parse_action(misbehavior).effective_reply("250 right") == counted


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("3", {3}, {1, 2, 4}), ("3+", {3, 4, 99}, {1, 2}), ("2-4", {2, 3, 4}, {1, 5})],
)
def test_a_span_contains_its_numbers(text: str, inside: set[int], outside: set[int]) -> None:
    span = Span.parse(text)
    assert all(number in span for number in inside)
    assert not any(number in span for number in outside)


RCPT, DOT, BODY = Stage.RCPT, Stage.DOT, Stage.BODY


@pytest.mark.parametrize(
    ("rule", "occasion", "applies"),
    [
        ("at rcpt: close", Occasion(stage=RCPT, index=7), True),
        ("at rcpt: close", Occasion(stage=DOT), False),
        ("at rcpt 2: close", Occasion(stage=RCPT, index=2), True),
        ("at rcpt 2: close", Occasion(stage=RCPT, index=3), False),
        ("at rcpt <bob*>: close", Occasion(stage=RCPT, address="Bobby@x.org"), True),
        ("at rcpt <bob*>: close", Occasion(stage=RCPT, address="eve@x.org"), False),
        ("at rcpt on try 1: close", Occasion(stage=RCPT, attempt=1), True),
        ("at rcpt on try 1: close", Occasion(stage=RCPT, attempt=2), False),
        ("at dot of message 3: close", Occasion(stage=DOT, message=3), True),
        ("at dot of message 3: close", Occasion(stage=DOT, message=2), False),
        ("on connection 2: at dot: close", Occasion(stage=DOT, connection=2), True),
        ("on connection 2 at dot: close", Occasion(stage=DOT, connection=1), False),
        ("at body 100: close", Occasion(stage=BODY, index=99), False),
        ("at body 100: close", Occasion(stage=BODY, index=4000), True),  # has come by now
        (
            "on connection 2+: at rcpt 2-3 <b*> of message 1 on try 4+: close",
            Occasion(stage=RCPT, index=3, connection=5, message=1, address="b@x", attempt=4),
            True,
        ),
    ],
)
def test_a_rule_applies_at_its_occasions(rule: str, occasion: Occasion, applies: bool) -> None:
    assert (parse_scenario(rule).action_at(occasion) is not None) is applies


def test_the_first_rule_that_applies_counts() -> None:
    scenario = parse_scenario("at rcpt 2: 451 later\nat rcpt: 550 never\n")
    action = scenario.action_at(Occasion(stage=RCPT, index=2))
    assert action is not None
    assert action.reply == "451 later"


def test_capabilities_are_parsed() -> None:
    scenario = parse_scenario(
        """
        # a comment
        name mx.example.org
        offer PIPELINING SIZE 35882577 8BITMIME
        offer X-OWN with words, STARTTLS
        offer after starttls AUTH PLAIN LOGIN, 8BITMIME
        certificate expired
        login alice open sesame
        tls at once
        """,
        "all-terms",
    )
    capabilities = scenario.capabilities
    assert (scenario.name, capabilities.name) == ("all-terms", "mx.example.org")
    assert capabilities.extensions == (
        *("PIPELINING", "SIZE 35882577", "8BITMIME"),
        *("X-OWN with words", "STARTTLS"),
    )
    assert capabilities.extensions_under_tls == ("AUTH PLAIN LOGIN", "8BITMIME")
    assert (capabilities.login, capabilities.login_required) == (("alice", "open sesame"), True)
    assert (scenario.certificate, scenario.tls_at_once) == (Certificate.EXPIRED, True)
    assert scenario.offers("AUTH")
    assert not scenario.offers("CHUNKING")


@pytest.mark.parametrize(
    ("text", "extensions"), [("", EXTENSIONS), ("offer nothing", ()), ("offer SIZE", ("SIZE",))]
)
def test_without_offer_the_default_extensions_apply(text: str, extensions: tuple[str, ...]) -> None:
    assert parse_scenario(text).capabilities.extensions == extensions


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("at lunch: close", "there is no stage “lunch”, only connect, greeting"),
        ("at dot: explode", "“explode” is not a valid action"),
        ("at dot", "“at dot”"),
        ("at rcpt 0: close", "“0” is not a number or range, such as 3, 3+ or 2-4"),
        ("certificate golden", "there is no certificate “golden”, only good, expired"),
        ("at dot 2: close", "dot has no number"),
        ("at dot <bob*>: close", "dot has no address"),
        ("at mail on try 2: close", "only rcpt counts attempts"),
        ("at connect: 421 busy", "connect allows only refuse, black-hole, close and reset"),
        ("at connect: late 1 close", "connect allows only"),
        ("at mail: refuse", "only a connection can be refused"),
        ("login alice", "login needs a user and a password"),
        ("please fail", "“please fail”"),
    ],
)
def test_an_invalid_line_is_named(line: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(f"# first\n{line}\n", "mine")
    assert str(error.value).startswith("mine, line 2: ")
    assert said in str(error.value)


@pytest.mark.parametrize("scenario", catalog(), ids=lambda scenario: scenario.name)
def test_each_scenario_of_the_catalog_has_a_description(scenario: Scenario) -> None:
    assert scenario.text.startswith("# ")
    assert named(scenario.name) == scenario
