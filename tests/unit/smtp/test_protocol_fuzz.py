"""Arbitrary bytes from the server: no exception, no hang, no unbounded memory, no false success."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.smtp import Disposition, Security, Server, SessionFacts, SmtpFault
from outbox.smtp.course import choose_course
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.envelope import Envelope
from outbox.smtp.faults import FaultKind
from outbox.smtp.opening import Opening
from outbox.smtp.plan import make_plan
from outbox.smtp.protocol import Protocol, State, Verb
from outbox.smtp.steps import Act, Step, Stream, Write
from outbox.smtp.transaction import RecipientOutcome, Transaction
from tests.unit.smtp.model_server import ALICE, BOB, CAROL, COURSES, SERVER, SOURCE
from tests.unit.smtp.playing import run

codes = st.sampled_from([*b"220 235 250 251 334 354 421 451 452 503 530 535 550 552 554".split()])
lines = st.builds(
    lambda code, separator, text: code + separator + text,
    codes | st.binary(max_size=4),
    st.sampled_from([b" ", b"-", b""]),
    st.sampled_from(
        [b"ok", b"2.1.0 ok", b"STARTTLS", b"PIPELINING", b"AUTH PLAIN LOGIN", b"CHUNKING"]
    )
    | st.binary(max_size=20),
)
pieces = st.lists(
    st.one_of(lines.map(lambda line: line + b"\r\n"), lines, st.binary(max_size=30)), max_size=14
)


class Chattering:
    """Performs steps for a server that says its pieces one by one and then hangs up."""

    def __init__(self, protocol: Protocol, said: Sequence[bytes]) -> None:
        self.protocol = protocol
        self.said = list(said)
        self.steps = 0
        self.wrote = b""

    def perform(self, step: Step) -> None:
        self.steps += 1
        assert self.steps < 200, "the script does not come to an end"
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.wrote += step.data
        elif step is Act.AWAIT:
            while self.protocol.awaited is not None and self.protocol.ended is None:
                if not self.said:
                    self.protocol.end(FaultKind.CLOSED, "the server closed the connection")
                    break
                self.protocol.receive(self.said.pop(0))
            self.protocol.check_answers()
        elif step is Act.CONSENT:
            self.protocol.check()


@settings(max_examples=300, deadline=None)
@given(
    pieces,
    st.sampled_from(Security),
    st.booleans(),
    st.booleans(),
)
def test_an_opening_ends_in_readiness_or_a_fault(
    said: list[bytes], security: Security, has_login: bool, is_token: bool
) -> None:
    server = Server(
        host="far.test",
        port=25,
        security=security,
        username="ann" if has_login else "",
        secret="s3cret-word",
        secret_is_token=is_token,
        allow_plaintext_auth=True,
    )
    protocol = Protocol()
    opening = Opening(protocol, server, SessionFacts("far.test", 25), "client.test")
    far_end = Chattering(protocol, said)
    told = ""
    try:
        run(opening.greeting(), far_end.perform)
        run(opening.introduction(), far_end.perform)
    except SmtpFault as fault:
        told = f"{fault!r} {fault.reply!r}"
    assert told or protocol.state is State.READY or protocol.ended is not None
    assert "s3cret" not in told


@settings(max_examples=500, deadline=None)
@given(pieces, st.sampled_from(sorted(COURSES)))
def test_a_transaction_ends_with_one_outcome_for_each(said: list[bytes], course: str) -> None:
    """Protocol item 96: uncertain iff the end was sent and no final reply came."""
    protocol = Protocol()
    protocol.receive(b"220 far.test\r\n")
    protocol.command(Verb.EHLO)
    offers = ["far.test", *COURSES[course]]
    welcome = [f"250-{offer}\r\n" for offer in offers[:-1]] + [f"250 {offers[-1]}\r\n"]
    protocol.receive("".join(welcome).encode())
    protocol.take()
    transaction = Transaction([RecipientOutcome(BOB), RecipientOutcome(CAROL)])
    envelope = Envelope(sender=ALICE, recipients=(BOB, CAROL))
    plan = make_plan(protocol.extensions, envelope, SOURCE, transaction)
    assert plan is not None
    chosen = choose_course(SERVER, protocol.extensions, len(SOURCE), proven=True)
    far_end = Chattering(protocol, said)
    run(Dialogue(protocol, plan, chosen, transaction).script(), far_end.perform)
    for outcome in transaction.recipients:
        check_outcome(outcome, transaction)


def check_outcome(outcome: RecipientOutcome, transaction: Transaction) -> None:
    kind = outcome.disposition
    if kind is Disposition.ACCEPTED:
        assert outcome.reply is not None
        assert outcome.reply.accepted
        assert outcome.command == "DOT"
        assert transaction.dot_sent
    elif kind is Disposition.UNCERTAIN:
        assert outcome.reply is None
        assert transaction.dot_sent
        assert transaction.fault is not None
    elif kind is Disposition.NOT_TRIED:
        assert outcome.reply is None
        assert transaction.fault is not None
    else:
        assert outcome.reply is not None
        assert not outcome.reply.accepted


@given(st.lists(st.binary(max_size=100)))
def test_a_protocol_takes_whatever_comes(said: list[bytes]) -> None:
    protocol = Protocol()
    for piece in said:
        protocol.receive(piece)
