"""What each recipient is told, for one scenario in every course a transaction can take.

Protocol item 79: the four courses give equal results.
"""

from dataclasses import dataclass

import pytest

from outbox.smtp import Disposition, FaultKind
from tests.unit.smtp.model_server import (
    BOB,
    CAROL,
    COURSES,
    SOURCE,
    Client,
    ModelServer,
    Replies,
    told,
)
from tests.unit.smtp.playing import CLOSES

ACCEPTED = ("DOT", Disposition.ACCEPTED, 250)
NOT_TRIED = ("", Disposition.NOT_TRIED, 0)
UNCERTAIN = ("", Disposition.UNCERTAIN, 0)
Told = tuple[str, Disposition, int]


@dataclass
class Scenario:
    """The server's replies, and what they mean for Bob and Carol."""

    replies: Replies
    bob: Told
    carol: Told
    fault: FaultKind | None = None
    mails: int = 0
    without_data: bool = False  # the scenario is about DATA, which chunks do without
    # Where the message left together with the envelope, a session that breaks off amid the
    # envelope leaves more open: what is told then, and how many mails arrived.
    at_once: tuple[Told, Told, int] | None = None


def rcpt(disposition: Disposition, code: int) -> Told:
    return ("RCPT", disposition, code)


T, P = Disposition.TRANSIENT, Disposition.PERMANENT

SCENARIOS = {
    "all accepted": Scenario({}, ACCEPTED, ACCEPTED, mails=1),
    "item 53: 251 accepts": Scenario(
        {"RCPT": ["251 will forward", "252 cannot verify"]}, ACCEPTED, ACCEPTED, mails=1
    ),
    "item 54: one refused, the other gets it": Scenario(
        {"RCPT": ["550 5.1.1 no such user", "250 ok"]}, rcpt(P, 550), ACCEPTED, mails=1
    ),
    "item 59: one greylisted, the other gets it": Scenario(
        {"RCPT": ["250 ok", "451 4.7.1 later"]}, ACCEPTED, rcpt(T, 451), mails=1
    ),
    "item 55: all refused": Scenario(
        {"RCPT": ["550 5.1.1 no", "450 4.2.1 busy"]}, rcpt(P, 550), rcpt(T, 450)
    ),
    "item 56: too many recipients, said as RFC 5321 wants": Scenario(
        {"RCPT": ["250 ok", "452 4.5.3 too many recipients"]},
        ACCEPTED,
        rcpt(Disposition.OVERFLOW, 452),
        mails=1,
    ),
    "item 56: too many recipients, said as RFC 821 had it": Scenario(
        {"RCPT": ["250 ok", "552 too many recipients"]},
        ACCEPTED,
        rcpt(Disposition.OVERFLOW, 552),
        mails=1,
    ),
    "item 56: too many with nobody accepted is no overflow": Scenario(
        {"RCPT": "452 4.5.3 too many recipients"}, rcpt(T, 452), rcpt(T, 452)
    ),
    "a full mailbox is no overflow": Scenario(
        {"RCPT": ["250 ok", "552 5.2.2 mailbox full"]}, ACCEPTED, rcpt(P, 552), mails=1
    ),
    "no space on the server is no overflow": Scenario(
        {"RCPT": ["250 ok", "452 4.3.1 no space"]}, ACCEPTED, rcpt(T, 452), mails=1
    ),
    "item 58: MAIL refused for good": Scenario(
        {"MAIL": "550 5.7.1 not you", "RCPT": "503 no MAIL", "DATA": "503 no RCPT"},
        ("MAIL", P, 550),
        ("MAIL", P, 550),
    ),
    "item 58: MAIL refused for now": Scenario(
        {"MAIL": "451 4.3.0 later", "RCPT": "503 no MAIL", "DATA": "503 no RCPT"},
        ("MAIL", T, 451),
        ("MAIL", T, 451),
    ),
    "item 69: the dot refused for now, for the accepted only": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DOT": "451 4.3.0 queue full"},
        rcpt(P, 550),
        ("DOT", T, 451),
        mails=1,
    ),
    "item 69: the dot refused for good": Scenario(
        {"DOT": "554 5.7.1 spam"}, ("DOT", P, 554), ("DOT", P, 554), mails=1
    ),
    "DATA refused, for the accepted only": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DATA": "451 4.3.0 not now"},
        rcpt(P, 550),
        ("DATA", T, 451),
        without_data=True,
    ),
    "item 63: DATA answered by another 3yz": Scenario(
        {"DATA": "350 what"}, NOT_TRIED, NOT_TRIED, FaultKind.PROTOCOL, without_data=True
    ),
    "item 63: DATA answered by a 2yz": Scenario(
        {"DATA": "250 ok"}, NOT_TRIED, NOT_TRIED, FaultKind.PROTOCOL, without_data=True
    ),
    "item 87: an unknown 2yz to RCPT accepts": Scenario(
        {"RCPT": "299 fine"}, ACCEPTED, ACCEPTED, mails=1
    ),
    "item 87: an unknown 5yz to RCPT refuses": Scenario(
        {"RCPT": ["250 ok", "599 no"]}, ACCEPTED, rcpt(P, 599), mails=1
    ),
    "item 87: a 3yz to RCPT is nonsense": Scenario(
        {"RCPT": ["250 ok", "354 what"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        at_once=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 87: a 1yz to MAIL is nonsense": Scenario(
        {"MAIL": "150 wait"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        at_once=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 82: garbage to RCPT": Scenario(
        {"RCPT": ["250 ok", "hello"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        at_once=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 77: one reply too many to RCPT": Scenario(
        {"RCPT": ["250 ok\r\n250 ok"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        at_once=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 77: one reply too many to the dot": Scenario(
        {"DOT": "250 ok\r\n250 ok"}, UNCERTAIN, UNCERTAIN, FaultKind.PROTOCOL, mails=1
    ),
    "item 96: 354 to the dot is no final reply": Scenario(
        {"DOT": "354 more?"}, UNCERTAIN, UNCERTAIN, FaultKind.PROTOCOL, mails=1
    ),
    "item 89: 421 to MAIL": Scenario(
        {"MAIL": f"421 4.3.2 bye{CLOSES}"}, NOT_TRIED, NOT_TRIED, FaultKind.SHUTDOWN
    ),
    "item 89: 421 to the second RCPT leaves the first one's refusal": Scenario(
        {"RCPT": ["550 5.1.1 no", f"421 4.3.2 bye{CLOSES}"]},
        rcpt(P, 550),
        NOT_TRIED,
        FaultKind.SHUTDOWN,
    ),
    "item 89: 421 to the dot is a final reply": Scenario(
        {"DOT": f"421 4.3.2 bye{CLOSES}"}, ("DOT", T, 421), ("DOT", T, 421), FaultKind.SHUTDOWN, 1
    ),
    "item 92: a 421 behind the dot's 250 takes nothing back": Scenario(
        {"DOT": f"250 ok\r\n421 4.3.2 bye{CLOSES}"}, ACCEPTED, ACCEPTED, mails=1
    ),
    "item 96: closed before MAIL was answered": Scenario(
        {"MAIL": CLOSES}, NOT_TRIED, NOT_TRIED, FaultKind.CLOSED, at_once=(UNCERTAIN, UNCERTAIN, 0)
    ),
    "item 96: closed amid the RCPTs": Scenario(
        {"RCPT": ["451 4.7.1 later", CLOSES]},
        rcpt(T, 451),
        NOT_TRIED,
        FaultKind.CLOSED,
        at_once=(rcpt(T, 451), UNCERTAIN, 0),
    ),
    "item 96: closed in place of the 354": Scenario(
        {"DATA": CLOSES}, NOT_TRIED, NOT_TRIED, FaultKind.CLOSED, without_data=True
    ),
    "item 96: closed behind the dot": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DOT": CLOSES},
        rcpt(P, 550),
        UNCERTAIN,
        FaultKind.CLOSED,
        mails=1,
    ),
    "item 95: 503 to MAIL": Scenario(
        {"MAIL": "503 5.5.1 EHLO first", "RCPT": "503 no", "DATA": "503 no"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
    ),
    "item 95: 503 to RCPT": Scenario(
        {"RCPT": ["250 ok", "503 5.5.1 MAIL first"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        at_once=(ACCEPTED, NOT_TRIED, 1),
    ),
    "item 95: 503 to DATA though a recipient stands": Scenario(
        {"DATA": "503 5.5.1 RCPT first"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        without_data=True,
    ),
    "item 95: 503 to the dot": Scenario(
        {"DOT": "503 5.5.1 what dot"}, ("DOT", T, 503), ("DOT", T, 503), FaultKind.PROTOCOL, 1
    ),
    "item 44: 530 to MAIL is no fault of the mail": Scenario(
        {"MAIL": "530 5.7.0 log in first", "RCPT": "503 no", "DATA": "503 no"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.AUTH_UNAVAILABLE,
    ),
    "item 44: 530 to RCPT is no fault of the recipient": Scenario(
        {"RCPT": "530 5.7.1 log in first"}, NOT_TRIED, NOT_TRIED, FaultKind.AUTH_UNAVAILABLE
    ),
}


CASES = [
    pytest.param(scenario, course, split, id=f"{name} | {course}, {portions}")
    for name, scenario in SCENARIOS.items()
    for course in COURSES
    for portions, split in {"whole": 1 << 20, "byte by byte": 1}.items()
    if not (scenario.without_data and "CHUNKING" in COURSES[course])
]


@pytest.mark.parametrize(("scenario", "course", "split"), CASES)
def test_it_tells_each_recipient_the_same_in_every_course(
    scenario: Scenario, course: str, split: int
) -> None:
    server = ModelServer(scenario.replies)
    transaction = Client(server, COURSES[course], split=split).send(BOB, CAROL)
    bob, carol, mails = scenario.bob, scenario.carol, scenario.mails
    if course == "all at once" and scenario.at_once is not None:
        bob, carol, mails = scenario.at_once
    assert told(transaction) == [bob, carol]
    assert (transaction.fault.kind if transaction.fault else None) == scenario.fault
    assert server.mails == [SOURCE] * mails


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_knows_who_was_asked_and_answered(offers: tuple[str, ...]) -> None:
    """Protocol items 53 and 68: reply, text and queue id stand with the recipient."""
    server = ModelServer({"RCPT": ["550 5.1.1 no such user", "250 ok"]})
    transaction = Client(server, offers).send(BOB, CAROL)
    bob, carol = transaction.recipients
    assert bob.reply is not None
    assert (bob.reply.enhanced, bob.reply.text) == ("5.1.1", "5.1.1 no such user")
    assert carol.reply is not None
    assert carol.reply.text == "2.0.0 Ok: queued as 4MODEL"
    assert transaction.queue_id == "4MODEL"
    assert transaction.dot_sent


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_sends_nothing_more_once_the_mail_was_withdrawn(offers: tuple[str, ...]) -> None:
    """Protocol item 72: without a yes no dot leaves, and that is certain."""
    server = ModelServer({"RCPT": ["550 5.1.1 no", "250 ok"]})
    transaction = Client(server, offers, consents=False).send(BOB, CAROL)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert transaction.recipients[1].disposition is Disposition.NOT_TRIED
    assert not transaction.dot_sent
    assert not server.mails
    if "PIPELINING" not in offers or "CHUNKING" not in offers:
        assert told(transaction)[0] == rcpt(P, 550)


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_asks_before_the_end_and_not_before_the_envelope_left(offers: tuple[str, ...]) -> None:
    """Protocol item 72: the answer is in before the dot, or the last chunk, is written."""
    client = Client(ModelServer(), offers)
    client.send(BOB)
    steps = client.steps
    last_write = max(n for n, step in enumerate(steps) if step == "write")
    assert steps.index("ask") < steps.index("consent") < last_write
    if offers == COURSES["pipelined"]:
        assert steps == ["write", "ask", "await", "ask", "stream", "consent", "write", "await"]
    if offers == COURSES["step by step"]:
        assert steps.index("ask") == steps.index("stream") - 1


def test_it_never_asks_when_every_recipient_was_refused_step_by_step() -> None:
    client = Client(ModelServer({"RCPT": "550 no"}), COURSES["step by step"])
    client.send(BOB, CAROL)
    assert "ask" not in client.steps
    assert "DATA" not in client.server.commands


def test_it_ends_a_data_nobody_is_to_get_with_a_lone_dot() -> None:
    """Protocol item 70: the server said 354 although every RCPT failed."""
    server = ModelServer({"RCPT": "550 5.1.1 no", "DATA": "354 go ahead", "DOT": "554 no one"})
    transaction = Client(server, COURSES["pipelined"]).send(BOB, CAROL)
    assert told(transaction) == [rcpt(P, 550), rcpt(P, 550)]
    assert server.commands[-2:] == ["DATA", "."]
    assert transaction.fault is None
    assert not transaction.dot_sent


def test_it_reads_a_refusal_that_comes_amid_the_body() -> None:
    """Protocol item 71: the reply in hand says more than the loss of the connection."""
    server = ModelServer({"DATA": f"354 go ahead\r\n552 5.3.4 too big{CLOSES}"})
    transaction = Client(server, COURSES["step by step"], split=15).send(BOB)
    assert told(transaction) == [("DATA", P, 552)]
    assert not transaction.dot_sent
    assert transaction.fault is not None


@pytest.mark.parametrize("course", ["step by step", "pipelined"])
def test_it_takes_no_reply_for_the_dots_before_the_dot_was_sent(course: str) -> None:
    """Protocol item 77: a 250 that nothing asked for does not mark mail as delivered."""
    server = ModelServer({"DATA": "354 go ahead\r\n250 ok"})
    transaction = Client(server, COURSES[course]).send(BOB)
    assert told(transaction) == [NOT_TRIED]
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_says_rset_after_a_refused_transaction_and_only_then(offers: tuple[str, ...]) -> None:
    """Protocol item 91."""
    server = ModelServer({"RCPT": ["550 5.1.1 no", "250 ok", "250 ok"]})
    client = Client(server, offers)
    client.send(BOB)
    assert server.commands.count("RSET") == 0
    assert told(client.send(BOB)) == [ACCEPTED]
    assert server.commands.count("RSET") == 1
    assert told(client.send(BOB)) == [ACCEPTED]
    assert server.commands.count("RSET") == 1


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_gives_up_a_session_that_refuses_rset(offers: tuple[str, ...]) -> None:
    """Protocol item 91: the mail is not to blame."""
    server = ModelServer({"DOT": "451 4.3.0 later", "RSET": "500 what"})
    client = Client(server, offers)
    client.send(BOB)
    transaction = client.send(CAROL)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL
    assert told(transaction) == [NOT_TRIED]


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_carries_the_null_sender(offers: tuple[str, ...]) -> None:
    """Protocol item 47."""
    server = ModelServer()
    Client(server, offers).send(BOB, sender="")
    assert server.commands[0].startswith("MAIL FROM:<> ")


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
def test_it_names_a_mailbox_once_however_often_it_was_given(offers: tuple[str, ...]) -> None:
    """Protocol item 57: the domain's case does not make another mailbox; the local part's does."""
    server = ModelServer({"RCPT": ["250 ok", "550 5.1.1 no", "250 ok"]})
    transaction = Client(server, offers).send("b@Y.test", "B@y.test", "b@y.TEST")
    rcpts = [command for command in server.commands if command.startswith("RCPT")]
    assert rcpts == ["RCPT TO:<b@Y.test>", "RCPT TO:<B@y.test>"]
    assert told(transaction) == [ACCEPTED, rcpt(P, 550), ACCEPTED]


@pytest.mark.parametrize("end", [f"421 4.3.2 bye{CLOSES}", CLOSES], ids=["421", "closed"])
@pytest.mark.parametrize("verb", ["RSET", "MAIL", "RCPT"])
def test_a_session_that_ends_right_behind_an_answer_is_no_defect(verb: str, end: str) -> None:
    """Protocol item 89: found where the next command would be given, step by step."""
    server = ModelServer({verb: f"250 ok\r\n{end}"})
    client = Client(server, COURSES["step by step"], needs_rset=True)
    transaction = client.send(BOB, CAROL)
    assert transaction.fault is not None
    assert not transaction.dot_sent
    assert {disposition for _, disposition, _ in told(transaction)} == {Disposition.NOT_TRIED}
