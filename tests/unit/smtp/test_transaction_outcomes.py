"""The outcome of each recipient, for one scenario in every transfer mode.

Protocol item 79: the four modes give equal results.
"""

from dataclasses import dataclass, replace

import pytest

from outbox.smtp import Disposition, Envelope, FaultKind
from outbox.smtp.extensions import NULL_SENDER
from tests.unit.smtp.model_server import (
    BOB,
    CAROL,
    MODES,
    SOURCE,
    Client,
    ModelServer,
    Replies,
    outcomes,
)
from tests.unit.smtp.script_runner import CLOSES

ACCEPTED = ("DOT", Disposition.ACCEPTED, 250)
NOT_TRIED = ("", Disposition.NOT_TRIED, 0)
UNCERTAIN = ("", Disposition.UNCERTAIN, 0)
Outcome = tuple[str, Disposition, int]


@dataclass
class Scenario:
    """The server's replies, and what they mean for Bob and Carol."""

    replies: Replies
    bob: Outcome
    carol: Outcome
    fault: FaultKind | None = None
    messages: int = 0
    without_data: bool = False  # the scenario is about DATA, which chunks do without
    # Where the message left together with the envelope, a session that breaks off amid the
    # envelope leaves more outcomes open: these, and how many messages arrived.
    single_write: tuple[Outcome, Outcome, int] | None = None


def rcpt(disposition: Disposition, code: int) -> Outcome:
    return ("RCPT", disposition, code)


T, P = Disposition.TRANSIENT, Disposition.PERMANENT

SCENARIOS = {
    "all accepted": Scenario({}, ACCEPTED, ACCEPTED, messages=1),
    "item 53: 251 accepts": Scenario(
        {"RCPT": ["251 will forward", "252 cannot verify"]}, ACCEPTED, ACCEPTED, messages=1
    ),
    "item 54: one refused, the other gets it": Scenario(
        {"RCPT": ["550 5.1.1 no such user", "250 ok"]}, rcpt(P, 550), ACCEPTED, messages=1
    ),
    "item 59: one greylisted, the other gets it": Scenario(
        {"RCPT": ["250 ok", "451 4.7.1 later"]}, ACCEPTED, rcpt(T, 451), messages=1
    ),
    "item 55: all refused": Scenario(
        {"RCPT": ["550 5.1.1 no", "450 4.2.1 busy"]}, rcpt(P, 550), rcpt(T, 450)
    ),
    "item 56: too many recipients, sent as RFC 5321 wants": Scenario(
        {"RCPT": ["250 ok", "452 4.5.3 too many recipients"]},
        ACCEPTED,
        rcpt(Disposition.OVERFLOW, 452),
        messages=1,
    ),
    "item 56: too many recipients, sent as RFC 821 had it": Scenario(
        {"RCPT": ["250 ok", "552 too many recipients"]},
        ACCEPTED,
        rcpt(Disposition.OVERFLOW, 552),
        messages=1,
    ),
    "item 56: too many without an accepted one is not an overflow": Scenario(
        {"RCPT": "452 4.5.3 too many recipients"}, rcpt(T, 452), rcpt(T, 452)
    ),
    "a full mailbox is not an overflow": Scenario(
        {"RCPT": ["250 ok", "552 5.2.2 mailbox full"]}, ACCEPTED, rcpt(P, 552), messages=1
    ),
    "no space on the server is not an overflow": Scenario(
        {"RCPT": ["250 ok", "452 4.3.1 no space"]}, ACCEPTED, rcpt(T, 452), messages=1
    ),
    "item 58: MAIL rejected permanently": Scenario(
        {"MAIL": "550 5.7.1 not you", "RCPT": "503 MAIL first", "DATA": "503 RCPT first"},
        ("MAIL", P, 550),
        ("MAIL", P, 550),
    ),
    "item 58: MAIL rejected for now": Scenario(
        {"MAIL": "451 4.3.0 later", "RCPT": "503 MAIL first", "DATA": "503 RCPT first"},
        ("MAIL", T, 451),
        ("MAIL", T, 451),
    ),
    "item 69: the dot rejected for now, for the accepted only": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DOT": "451 4.3.0 queue full"},
        rcpt(P, 550),
        ("DOT", T, 451),
        messages=1,
    ),
    "item 69: the dot rejected permanently": Scenario(
        {"DOT": "554 5.7.1 spam"}, ("DOT", P, 554), ("DOT", P, 554), messages=1
    ),
    "DATA refused, for the accepted only": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DATA": "451 4.3.0 not now"},
        rcpt(P, 550),
        ("DATA", T, 451),
        without_data=True,
    ),
    "item 63: another 3yz to DATA": Scenario(
        {"DATA": "350 what"}, NOT_TRIED, NOT_TRIED, FaultKind.PROTOCOL, without_data=True
    ),
    "item 63: a 2yz to DATA": Scenario(
        {"DATA": "250 ok"}, NOT_TRIED, NOT_TRIED, FaultKind.PROTOCOL, without_data=True
    ),
    "item 87: an unknown 2yz to RCPT accepts": Scenario(
        {"RCPT": "299 fine"}, ACCEPTED, ACCEPTED, messages=1
    ),
    "item 87: an unknown 5yz to RCPT refuses": Scenario(
        {"RCPT": ["250 ok", "599 no"]}, ACCEPTED, rcpt(P, 599), messages=1
    ),
    "item 87: a 3yz to RCPT is nonsense": Scenario(
        {"RCPT": ["250 ok", "354 what"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        single_write=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 87: a 1yz to MAIL is nonsense": Scenario(
        {"MAIL": "150 wait"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        single_write=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 82: garbage to RCPT": Scenario(
        {"RCPT": ["250 ok", "hello"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        single_write=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 77: one reply too many to RCPT": Scenario(
        {"RCPT": ["250 ok\r\n250 ok"]},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.PROTOCOL,
        single_write=(UNCERTAIN, UNCERTAIN, 1),
    ),
    "item 77: one reply too many to the dot": Scenario(
        {"DOT": "250 ok\r\n250 ok"}, UNCERTAIN, UNCERTAIN, FaultKind.PROTOCOL, messages=1
    ),
    "item 96: 354 to the dot is not a final reply": Scenario(
        {"DOT": "354 more?"}, UNCERTAIN, UNCERTAIN, FaultKind.PROTOCOL, messages=1
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
    "item 92: a 421 after the dot's 250 changes nothing": Scenario(
        {"DOT": f"250 ok\r\n421 4.3.2 bye{CLOSES}"}, ACCEPTED, ACCEPTED, messages=1
    ),
    "item 96: closed before the reply to MAIL": Scenario(
        {"MAIL": CLOSES},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.CLOSED,
        single_write=(UNCERTAIN, UNCERTAIN, 0),
    ),
    "item 96: closed amid the RCPTs": Scenario(
        {"RCPT": ["451 4.7.1 later", CLOSES]},
        rcpt(T, 451),
        NOT_TRIED,
        FaultKind.CLOSED,
        single_write=(rcpt(T, 451), UNCERTAIN, 0),
    ),
    "item 96: closed in place of the 354": Scenario(
        {"DATA": CLOSES}, NOT_TRIED, NOT_TRIED, FaultKind.CLOSED, without_data=True
    ),
    "item 96: closed after the dot": Scenario(
        {"RCPT": ["550 5.1.1 no", "250 ok"], "DOT": CLOSES},
        rcpt(P, 550),
        UNCERTAIN,
        FaultKind.CLOSED,
        messages=1,
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
        single_write=(ACCEPTED, NOT_TRIED, 1),
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
    "item 44: 530 to MAIL does not concern the message": Scenario(
        {"MAIL": "530 5.7.0 log in first", "RCPT": "503 no", "DATA": "503 no"},
        NOT_TRIED,
        NOT_TRIED,
        FaultKind.AUTH_UNAVAILABLE,
    ),
    "item 44: 530 to RCPT does not concern the recipient": Scenario(
        {"RCPT": "530 5.7.1 log in first"}, NOT_TRIED, NOT_TRIED, FaultKind.AUTH_UNAVAILABLE
    ),
}


CASES = [
    pytest.param(scenario, mode, split, id=f"{name} | {mode}, {portions}")
    for name, scenario in SCENARIOS.items()
    for mode in MODES
    for portions, split in {"whole": 1 << 20, "byte by byte": 1}.items()
    if not (scenario.without_data and "CHUNKING" in MODES[mode])
]


@pytest.mark.parametrize(("scenario", "mode", "split"), CASES)
def test_each_recipient_has_the_same_outcome_in_every_mode(
    scenario: Scenario, mode: str, split: int
) -> None:
    server = ModelServer(scenario.replies)
    transaction = Client(server, MODES[mode], split=split).send(BOB, CAROL)
    bob, carol, messages = scenario.bob, scenario.carol, scenario.messages
    if mode == "single write" and scenario.single_write is not None:
        bob, carol, messages = scenario.single_write
    assert outcomes(transaction) == [bob, carol]
    assert (transaction.fault.kind if transaction.fault else None) == scenario.fault
    assert server.messages == [SOURCE] * messages


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_records_the_addresses_of_both_sides(extensions: tuple[str, ...]) -> None:
    """Protocol items 53 and 68: the recipient has reply, text and queue id."""
    server = ModelServer({"RCPT": ["550 5.1.1 no such user", "250 ok"]})
    transaction = Client(server, extensions).send(BOB, CAROL)
    bob, carol = transaction.recipients
    assert bob.reply is not None
    assert (bob.reply.enhanced, bob.reply.text) == ("5.1.1", "5.1.1 no such user")
    assert carol.reply is not None
    assert carol.reply.text == "2.0.0 Ok: queued as 4QUEUED12"
    assert transaction.queue_id == "4QUEUED12"
    assert transaction.dot_sent


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_sends_nothing_once_the_permission_was_denied(extensions: tuple[str, ...]) -> None:
    """Protocol item 72: without a yes no dot leaves, and that is certain."""
    server = ModelServer({"RCPT": ["550 5.1.1 no", "250 ok"]})
    transaction = Client(server, extensions, permits=False).send(BOB, CAROL)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert transaction.recipients[1].disposition is Disposition.NOT_TRIED
    assert not transaction.dot_sent
    assert not server.messages
    if "PIPELINING" not in extensions or "CHUNKING" not in extensions:
        assert outcomes(transaction)[0] == rcpt(P, 550)


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_requests_the_dot_after_the_envelope_and_before_the_end(
    extensions: tuple[str, ...],
) -> None:
    """Protocol item 72: the permission comes before the dot, or the last chunk, is written."""
    client = Client(ModelServer(), extensions)
    client.send(BOB)
    steps = client.steps
    last_write = max(n for n, step in enumerate(steps) if step == "write")
    assert steps.index("request_dot") < steps.index("permit_dot") < last_write
    if extensions == MODES["pipelined"]:
        assert steps == [
            "write",
            "request_dot",
            "await_replies",
            "request_dot",
            "stream",
            "permit_dot",
            "write",
            "await_replies",
        ]
    if extensions == MODES["step by step"]:
        assert steps.index("request_dot") == steps.index("stream") - 1


def test_it_never_requests_the_dot_when_every_recipient_was_rejected() -> None:
    client = Client(ModelServer({"RCPT": "550 no"}), MODES["step by step"])
    client.send(BOB, CAROL)
    assert "request_dot" not in client.steps
    assert "DATA" not in client.server.commands


def test_it_ends_data_without_recipients_with_a_lone_dot() -> None:
    """Protocol item 70: the server sent 354 although every RCPT failed."""
    server = ModelServer({"RCPT": "550 5.1.1 no", "DATA": "354 go ahead", "DOT": "554 no one"})
    transaction = Client(server, MODES["pipelined"]).send(BOB, CAROL)
    assert outcomes(transaction) == [rcpt(P, 550), rcpt(P, 550)]
    assert server.commands[-2:] == ["DATA", "."]
    assert transaction.fault is None
    assert not transaction.dot_sent


def test_it_reads_a_rejection_in_the_middle_of_the_body() -> None:
    """Protocol item 71: the reply in hand says more than the loss of the connection."""
    server = ModelServer({"DATA": f"354 go ahead\r\n552 5.3.4 too big{CLOSES}"})
    transaction = Client(server, MODES["step by step"], split=15).send(BOB)
    assert outcomes(transaction) == [("DATA", P, 552)]
    assert not transaction.dot_sent
    assert transaction.fault is not None


@pytest.mark.parametrize("mode", ["step by step", "pipelined"])
def test_a_reply_before_the_dot_does_not_count_as_the_dot_s(mode: str) -> None:
    """Protocol item 77: a 250 that nothing asked for does not mark mail as delivered."""
    server = ModelServer({"DATA": "354 go ahead\r\n250 ok"})
    transaction = Client(server, MODES[mode]).send(BOB)
    assert outcomes(transaction) == [NOT_TRIED]
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_sends_rset_only_after_a_rejected_transaction(extensions: tuple[str, ...]) -> None:
    """Protocol item 91."""
    server = ModelServer({"RCPT": ["550 5.1.1 no", "250 ok", "250 ok"]})
    client = Client(server, extensions)
    client.send(BOB)
    assert server.commands.count("RSET") == 0
    assert outcomes(client.send(BOB)) == [ACCEPTED]
    assert server.commands.count("RSET") == 1
    assert outcomes(client.send(BOB)) == [ACCEPTED]
    assert server.commands.count("RSET") == 1


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_ends_a_session_that_rejects_rset(extensions: tuple[str, ...]) -> None:
    """Protocol item 91: the message is not the cause."""
    server = ModelServer({"DOT": "451 4.3.0 later", "RSET": "500 what"})
    client = Client(server, extensions)
    client.send(BOB)
    transaction = client.send(CAROL)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL
    assert outcomes(transaction) == [NOT_TRIED]


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_sends_the_null_sender(extensions: tuple[str, ...]) -> None:
    """Protocol item 47."""
    server = ModelServer()
    Client(server, extensions).send(BOB, sender="")
    assert server.commands[0].startswith("MAIL FROM:<> ")


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_sends_one_rcpt_for_duplicates(extensions: tuple[str, ...]) -> None:
    """Protocol item 57: the domain's case does not make another mailbox; the local part's does."""
    server = ModelServer({"RCPT": ["250 ok", "550 5.1.1 no", "250 ok"]})
    transaction = Client(server, extensions).send("b@Y.test", "B@y.test", "b@y.TEST")
    rcpts = [command for command in server.commands if command.startswith("RCPT")]
    assert rcpts == ["RCPT TO:<b@Y.test>", "RCPT TO:<B@y.test>"]
    assert outcomes(transaction) == [ACCEPTED, rcpt(P, 550), ACCEPTED]


@pytest.mark.parametrize("end", [f"421 4.3.2 bye{CLOSES}", CLOSES], ids=["421", "closed"])
@pytest.mark.parametrize("verb", ["RSET", "MAIL", "RCPT"])
def test_a_session_that_ends_after_a_reply_is_a_fault_and_no_defect(verb: str, end: str) -> None:
    """Protocol item 89: found where the next command would be given, step by step."""
    server = ModelServer({verb: f"250 ok\r\n{end}"})
    client = Client(server, MODES["step by step"], needs_rset=True)
    transaction = client.send(BOB, CAROL)
    assert transaction.fault is not None
    assert not transaction.dot_sent
    assert {disposition for _, disposition, _ in outcomes(transaction)} == {Disposition.NOT_TRIED}


@pytest.mark.parametrize("mode", ["chunks", "single write"])
@pytest.mark.parametrize(
    ("replies", "disposition"),
    [
        ("500 5.5.1 what", Disposition.OVERFLOW),
        ("502 5.5.1 what\r\n500 5.5.1 what\r\n500 5.5.1 what", Disposition.OVERFLOW),
        (f"500 what\r\n421 4.7.0 too many errors{CLOSES}", Disposition.OVERFLOW),
        (f"500 what{CLOSES}", Disposition.OVERFLOW),
        # One of the two replies may be the one to the message.
        ("500 what\r\n250 ok", Disposition.UNCERTAIN),
    ],
)
def test_a_server_without_bdat_gets_the_message_again_unless_it_may_have_it(
    mode: str, replies: str, disposition: Disposition
) -> None:
    """It reads the message as commands and rejects each line; so the connection is closed."""
    transaction = Client(ModelServer({"DOT": replies}), MODES[mode]).send(BOB)
    assert transaction.recipients[0].disposition is disposition
    assert transaction.learned.rejected == {"CHUNKING"}
    assert transaction.fault is not None


_OTHER_SENDER = Envelope(sender="", sender_instead="site@x.test", recipients=(BOB,))


@pytest.mark.parametrize(
    "replies",
    [
        {"MAIL": ["501 Invalid MAIL FROM address provided", "250 ok"]},
        {"MAIL": ["550 5.7.1 not you", "250 ok"]},
        {"RCPT": ["553 5.7.1 <>: Sender address rejected: not owned by site", "250 ok"]},
        {"DOT": ["554 5.2.252 SendAsDenied; site@x.test not allowed to send as <>", "250 ok"]},
    ],
    ids=["MAIL as bad syntax", "MAIL as forbidden", "RCPT", "dot"],
)
@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
def test_it_replaces_a_rejected_null_sender(extensions: tuple[str, ...], replies: Replies) -> None:
    """Protocol item 113: where the envelope has another one; the server is remembered."""
    server = ModelServer(replies)
    transaction = Client(server, extensions).send_envelope(_OTHER_SENDER)
    assert outcomes(transaction) == [ACCEPTED]
    senders = [one.split(" ")[1] for one in server.commands if one.startswith("MAIL")]
    assert senders == ["FROM:<>", "FROM:<site@x.test>"]
    assert transaction.learned.rejected == {NULL_SENDER}
    # The next message in the session does without it.
    client = Client(server, extensions)
    client.protocol.extensions = client.protocol.extensions.without(transaction.learned)
    server.commands.clear()
    assert outcomes(client.send_envelope(_OTHER_SENDER)) == [ACCEPTED]
    assert server.commands[0].startswith("MAIL FROM:<site@x.test> ")


@pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    ("replies", "sender", "expected"),
    [
        ({"MAIL": "550 5.7.1 blocked"}, "site@x.test", ("MAIL", P, 550)),  # both are rejected
        ({"MAIL": "550 5.7.1 not you"}, "", ("MAIL", P, 550)),  # no other one
        ({"MAIL": "451 4.7.1 later"}, "site@x.test", ("MAIL", T, 451)),
        ({"RCPT": "550 5.1.1 no such user"}, "site@x.test", rcpt(P, 550)),
        ({"DOT": "554 5.7.1 spam"}, "site@x.test", ("DOT", P, 554)),
        ({"DOT": "554 5.7.1 spam, sender reputation"}, "site@x.test", ("DOT", P, 554)),
    ],
    ids=["blocked", "without another one", "greylisted", "unknown recipient", "spam", "reputation"],
)
def test_another_rejection_stands(
    extensions: tuple[str, ...], replies: Replies, sender: str, expected: Outcome
) -> None:
    """Protocol item 113: nothing is learned of a rejection that is not about the sender."""
    server = ModelServer(replies)
    envelope = replace(_OTHER_SENDER, sender_instead=sender)
    transaction = Client(server, extensions).send_envelope(envelope)
    assert outcomes(transaction) == [expected]
    assert not transaction.learned
