"""Which command may follow which, and which reply belongs to which."""

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import FaultKind, Phase
from outbox.smtp.protocol import CommandReply, Ended, OutOfOrderError, Protocol, State, Verb

PIPELINING = b"250-far.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"


def ready(extensions: bytes = PIPELINING) -> Protocol:
    protocol = Protocol()
    protocol.receive(b"220 far.test\r\n")
    protocol.command(Verb.EHLO)
    protocol.receive(extensions)
    protocol.take_replies()
    return protocol


def test_it_ends_commands_with_crlf() -> None:
    protocol = ready()
    assert protocol.command(Verb.MAIL, b"MAIL FROM:<>") == b"MAIL FROM:<>\r\n"
    assert protocol.command(Verb.RCPT, b"RCPT TO:<a@x.test>") == b"RCPT TO:<a@x.test>\r\n"


def test_it_sends_nothing_before_the_greeting() -> None:
    """Protocol item 28."""
    for verb in Verb:
        with pytest.raises(OutOfOrderError):
            Protocol().command(verb)


@pytest.mark.parametrize("greeting", [b"554 no\r\n", b"450 no\r\n"])
def test_only_quit_may_follow_a_negative_greeting(greeting: bytes) -> None:
    """Protocol item 22."""
    allowed = []
    for verb in Verb:
        protocol = Protocol()
        protocol.receive(greeting)
        if protocol.allows(verb):
            allowed.append(verb)
    assert allowed == [Verb.QUIT]


def test_it_groups_nothing_without_pipelining() -> None:
    """Protocol item 76."""
    protocol = ready(b"250 far.test\r\n")
    protocol.command(Verb.MAIL)
    for verb in Verb:
        with pytest.raises(OutOfOrderError):
            protocol.command(verb)


@pytest.mark.parametrize("last", [Verb.DATA, Verb.LAST, Verb.QUIT])
def test_it_sends_nothing_after_the_end_of_a_group(last: Verb) -> None:
    """Protocol items 76 and 80."""
    protocol = ready()
    if last is not Verb.QUIT:
        protocol.command(Verb.MAIL)
        protocol.command(Verb.RCPT)
    protocol.command(last)
    for verb in Verb:
        with pytest.raises(OutOfOrderError):
            protocol.command(verb)


@pytest.mark.parametrize("only", [Verb.STARTTLS, Verb.AUTH])
def test_it_sends_nothing_after_starttls_or_auth(only: Verb) -> None:
    """Protocol items 37 and 76."""
    protocol = ready()
    protocol.command(only)
    for verb in Verb:
        with pytest.raises(OutOfOrderError):
            protocol.command(verb)


def test_it_sends_nothing_after_the_dot() -> None:
    """Protocol item 80."""
    protocol = ready()
    protocol.command(Verb.MAIL)
    protocol.command(Verb.RCPT)
    protocol.command(Verb.DATA)
    protocol.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    protocol.command(Verb.DOT)
    for verb in Verb:
        with pytest.raises(OutOfOrderError):
            protocol.command(verb)


def test_it_never_mixes_data_and_chunks() -> None:
    """Protocol item 75."""
    protocol = ready()
    protocol.command(Verb.MAIL)
    protocol.command(Verb.RCPT)
    protocol.command(Verb.BDAT)
    with pytest.raises(OutOfOrderError):
        protocol.command(Verb.DATA)


def test_it_logs_in_only_between_transactions() -> None:
    """Protocol item 46."""
    protocol = ready()
    protocol.command(Verb.MAIL)
    protocol.receive(b"250 ok\r\n")
    with pytest.raises(OutOfOrderError):
        protocol.command(Verb.AUTH)


def test_it_rejects_a_line_break_in_a_command() -> None:
    """Protocol item 1, seen from here: a command is one line."""
    for line in (b"MAIL FROM:<>\r\nDATA", b"MAIL FROM:<>\n", b"MAIL\rFROM"):
        with pytest.raises(OutOfOrderError):
            ready().command(Verb.MAIL, line)


def test_it_matches_replies_by_order() -> None:
    """Protocol item 77."""
    protocol = ready()
    protocol.command(Verb.MAIL)
    protocol.command(Verb.RCPT, rcpt=0)
    protocol.command(Verb.RCPT, rcpt=1)
    protocol.command(Verb.DATA)
    events = protocol.receive(b"250 a\r\n550 b\r\n250 c\r\n354 d\r\n")
    assert all(isinstance(event, CommandReply) for event in events)
    replies = protocol.take_replies()
    assert [(one.verb, one.rcpt, one.reply.text) for one in replies] == [
        (Verb.MAIL, -1, "a"),
        (Verb.RCPT, 0, "b"),
        (Verb.RCPT, 1, "c"),
        (Verb.DATA, -1, "d"),
    ]
    assert protocol.awaited is None
    assert protocol.state is State.CONTENT


@pytest.mark.parametrize(
    ("received", "kind"),
    [
        (b"250 ok\r\n", FaultKind.PROTOCOL),
        (b"garbage\r\n", FaultKind.PROTOCOL),
        (b"421 4.3.2 idle too long\r\n", FaultKind.SHUTDOWN),
        (b"554 5.3.0 no service\r\n", FaultKind.PROTOCOL),
    ],
)
def test_it_ends_on_an_unsolicited_reply(received: bytes, kind: FaultKind) -> None:
    """Protocol items 77 and 90."""
    protocol = ready()
    (ended,) = protocol.receive(received)
    assert isinstance(ended, Ended)
    assert (ended.phase, ended.kind) == (Phase.IDLE, kind)
    assert protocol.ended is ended
    assert not protocol.is_quiet


def test_an_unsolicited_partial_line_does_not_begin_a_reply() -> None:
    """Protocol items 28 and 77."""
    protocol = ready()
    protocol.receive(b"25")
    assert not protocol.is_quiet
    protocol.command(Verb.MAIL)
    assert protocol.ended is not None
    assert protocol.ended.kind is FaultKind.PROTOCOL


def test_it_ignores_input_once_it_is_over() -> None:
    protocol = ready()
    protocol.end(FaultKind.TIMEOUT, Reason(ReasonCode.NETWORK_TIMEOUT))
    assert protocol.receive(b"250 ok\r\n") == []
    assert (
        protocol.end(FaultKind.CLOSED, Reason(ReasonCode.CONNECTION_CLOSED)).kind
        is FaultKind.TIMEOUT
    )


@pytest.mark.parametrize(
    ("verb", "phase"),
    [(Verb.MAIL, Phase.MAIL), (Verb.RSET, Phase.RSET), (Verb.QUIT, Phase.QUIT)],
)
def test_it_knows_the_phase_in_which_it_ended(verb: Verb, phase: Phase) -> None:
    protocol = ready()
    protocol.command(verb)
    assert protocol.end(FaultKind.CLOSED, Reason(ReasonCode.CONNECTION_CLOSED)).phase is phase


def test_it_is_quiet_only_between_transactions() -> None:
    protocol = ready()
    quiet = [protocol.is_quiet]
    protocol.command(Verb.MAIL)
    quiet.append(protocol.is_quiet)
    protocol.receive(b"250 ok\r\n")
    quiet.append(protocol.is_quiet)  # RSET leads on from here
    protocol.command(Verb.RCPT)
    protocol.command(Verb.DATA)
    protocol.receive(b"250 ok\r\n354 go\r\n")
    quiet.append(protocol.is_quiet)
    assert quiet == [True, False, True, False]
