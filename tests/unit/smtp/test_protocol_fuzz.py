"""Arbitrary bytes from the server: no exception, no hang, no unbounded memory, no false success."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.mail.envelope import Envelope
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Disposition, Security, Server, SessionFacts, SmtpFault
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.faults import FaultKind
from outbox.smtp.handshake import Handshake
from outbox.smtp.plan import choose_transfer_mode, make_plan
from outbox.smtp.protocol import Protocol, State, Verb
from outbox.smtp.script import Action, Step, Stream, Write
from outbox.smtp.transaction import RecipientOutcome, Transaction
from tests.unit.smtp.model_server import ALICE, BOB, CAROL, MODES, SERVER, SOURCE
from tests.unit.smtp.script_runner import run

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

    def __init__(self, protocol: Protocol, sent: Sequence[bytes]) -> None:
        self.protocol = protocol
        self.sent = list(sent)
        self.steps = 0
        self.wrote = b""

    def perform(self, step: Step) -> None:
        self.steps += 1
        assert self.steps < 200, "the script does not come to an end"
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.wrote += step.data
        elif step is Action.AWAIT_REPLIES:
            while self.protocol.awaited is not None and self.protocol.ended is None:
                if not self.sent:
                    self.protocol.end(FaultKind.CLOSED, Reason(ReasonCode.CLOSED_BY_SERVER))
                    break
                self.protocol.receive(self.sent.pop(0))
            self.protocol.check_replies()
        elif step is Action.PERMIT_DOT:
            self.protocol.check()


@settings(max_examples=300)
@given(
    pieces,
    st.sampled_from(Security),
    st.booleans(),
    st.booleans(),
)
def test_an_opening_ends_in_readiness_or_a_fault(
    sent: list[bytes], security: Security, has_login: bool, is_token: bool
) -> None:
    has_login = has_login and security in {Security.NONE, Security.STARTTLS, Security.TLS}
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
    handshake = Handshake(protocol, server, SessionFacts("far.test", 25), "client.test")
    chattering = Chattering(protocol, sent)
    fault_text = ""
    try:
        run(handshake.greeting(), chattering.perform)
        run(handshake.session_setup(), chattering.perform)
    except SmtpFault as fault:
        fault_text = f"{fault!r} {fault.reply!r}"
    assert fault_text or protocol.state is State.READY or protocol.ended is not None
    assert "s3cret" not in fault_text


@settings(max_examples=500)
@given(pieces, st.sampled_from(sorted(MODES)))
def test_a_transaction_ends_with_one_outcome_for_each(sent: list[bytes], mode: str) -> None:
    """Protocol item 96: uncertain iff the end was sent and no final reply came."""
    protocol = Protocol()
    protocol.receive(b"220 far.test\r\n")
    protocol.command(Verb.EHLO)
    extensions = ["far.test", *MODES[mode]]
    welcome = [f"250-{offer}\r\n" for offer in extensions[:-1]] + [f"250 {extensions[-1]}\r\n"]
    protocol.receive("".join(welcome).encode())
    protocol.take_replies()
    transaction = Transaction([RecipientOutcome(BOB), RecipientOutcome(CAROL)])
    envelope = Envelope(sender=ALICE, recipients=(BOB, CAROL))
    plan = make_plan(protocol.extensions, envelope, SOURCE, transaction)
    assert plan is not None
    chosen = choose_transfer_mode(SERVER, protocol.extensions, len(SOURCE), proven=True)
    chattering = Chattering(protocol, sent)
    run(Dialogue(protocol, plan, chosen, transaction).script(), chattering.perform)
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
    elif kind is Disposition.OVERFLOW and outcome.reply is None:
        assert transaction.fault is not None
        assert transaction.learned
    else:
        assert outcome.reply is not None
        assert not outcome.reply.accepted


@given(st.lists(st.binary(max_size=100)))
def test_the_protocol_accepts_any_input(sent: list[bytes]) -> None:
    protocol = Protocol()
    for piece in sent:
        protocol.receive(piece)
