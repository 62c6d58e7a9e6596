"""The POP3 session without I/O (protocol items 135 to 150)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.pop3.capabilities import Capabilities
from outbox.pop3.faults import FaultKind, Pop3FaultError
from outbox.pop3.protocol import (
    CAPABILITIES_BYTES_MAX,
    LISTING_BYTES_MAX,
    Event,
    OutOfOrderError,
    Piece,
    Protocol,
    Response,
    State,
    Verb,
)
from outbox.pop3.responses import LINE_MAX, LISTED_LINE_MAX

CAPA = b"+OK\r\nSTLS\r\nUSER\r\nUIDL\r\nPIPELINING\r\nSASL PLAIN LOGIN\r\n.\r\n"


def greeted() -> Protocol:
    protocol = Protocol()
    protocol.receive(b"+OK ready\r\n")
    return protocol


def logged_in(capabilities: bytes = b"-ERR\r\n") -> Protocol:
    protocol = greeted()
    for verb, response in (
        (Verb.USER, b"+OK\r\n"), (Verb.PASS, b"+OK\r\n"), (Verb.CAPA, capabilities),
    ):  # fmt: skip
        protocol.command(verb)
        protocol.receive(response)
    return protocol


def message_in(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Piece))


@pytest.mark.parametrize(
    ("greeting", "stamp"),
    [
        (b"+OK\r\n", ""),
        (b"+ok hello\n", ""),
        (b"+OK POP3 <1896.697170952@dbc.mtview.test>\r\n", "<1896.697170952@dbc.mtview.test>"),
        (b"\r\n+OK <not a stamp> \x1b[31m\r\n", ""),
    ],
)
def test_a_greeting_opens_the_session(greeting: bytes, stamp: str) -> None:
    protocol = Protocol()
    (event,) = protocol.receive(greeting)
    assert isinstance(event, Response)
    assert (protocol.state, protocol.stamp) == (State.AUTHORIZATION, stamp)
    assert "\x1b" not in event.status.text


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (b"-ERR [IN-USE] busy\r\n", FaultKind.BUSY),
        (b"-ERR try later\r\n", FaultKind.WAIT),
        (b"220 smtp.test ESMTP\r\n", FaultKind.PROTOCOL),
        (b"+OKAY\r\n", FaultKind.PROTOCOL),
        (b"+ Zm9v\r\n", FaultKind.PROTOCOL),
        (b"a" * (LINE_MAX + 1), FaultKind.PROTOCOL),
        (b"+OK " + b"a" * LINE_MAX + b"\r\n", FaultKind.PROTOCOL),
        (b"\r\n" * 200, FaultKind.PROTOCOL),
    ],
)
def test_another_greeting_ends_it(greeting: bytes, kind: FaultKind) -> None:
    protocol = Protocol()
    protocol.receive(greeting)
    with pytest.raises(Pop3FaultError) as raised:
        protocol.check()
    assert (raised.value.kind, protocol.state) == (kind, State.CLOSED)


def test_capabilities_are_read_and_those_of_rfc_1939_assumed_without_capa() -> None:
    protocol = greeted()
    assert protocol.command(Verb.CAPA) == b"CAPA\r\n"
    protocol.receive(CAPA)
    assert protocol.capabilities == Capabilities(
        is_known=True, stls=True, top=False, pipelining=True, sasl=frozenset({"PLAIN", "LOGIN"})
    )
    protocol.command(Verb.CAPA)
    protocol.receive(b"-ERR unknown\r\n")
    assert protocol.fault is None
    assert greeted().capabilities == Capabilities(user=True, uidl=True, top=True)


def test_stls_starts_again_and_forgets_the_capabilities() -> None:
    protocol = greeted()
    protocol.command(Verb.CAPA)
    protocol.receive(CAPA)
    protocol.command(Verb.STLS)
    protocol.receive(b"+OK begin\r\n")
    assert protocol.state is State.TLS
    protocol.secured()
    assert (protocol.state, protocol.capabilities) == (State.AUTHORIZATION, Capabilities())


@pytest.mark.parametrize("data", [b"+OK go\r\n+OK injected\r\n", b"+OK go\r\nx"])
def test_bytes_after_the_response_to_stls_are_never_read_within_tls(data: bytes) -> None:
    protocol = greeted()
    protocol.command(Verb.STLS)
    protocol.receive(data)
    with pytest.raises(Pop3FaultError) as raised:
        protocol.check()
    assert raised.value.kind is FaultKind.INJECTION


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"a\r\n.\r\n", b"a\r\n"),
        (b".\r\n", b""),
        (b"..\r\n...\r\na..b\r\n.\r\n", b".\r\n..\r\na..b\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
        (b".\n.\r\n", b".\n"),
        (b".forgotten\r\n.\r\n", b".forgotten\r\n"),
        (b".\rx\r\n.\r\n", b".\rx\r\n"),
        (b"a\r\n.\r\r\n.\r\n", b"a\r\n.\r\r\n"),
        (b"no end of line.\r\n.\r\n", b"no end of line.\r\n"),
        (b"x" * 1_000_000 + b"\r\n.\r\n", b"x" * 1_000_000 + b"\r\n"),
    ],
    ids=lambda value: repr(value[:20]),
)
@pytest.mark.parametrize("size", [1, 7, 1_500_000])
def test_a_message_is_received_without_its_byte_stuffing(
    sent: bytes, message: bytes, size: int
) -> None:
    if len(sent) > 1_000 and size < 100:
        size = 50_000
    protocol = logged_in()
    assert protocol.command(Verb.RETR, number=3) == b"RETR 3\r\n"
    stream = b"+OK 120 octets\r\n" + sent
    events = [
        event
        for start in range(0, len(stream), size)
        for event in protocol.receive(stream[start : start + size])
    ]
    assert message_in(events) == message
    last = events[-1]
    assert isinstance(last, Response)
    assert (last.verb, last.number, protocol.awaited) == (Verb.RETR, 3, None)


def test_a_server_without_cr_ends_a_message_without_it() -> None:
    protocol = logged_in()
    protocol.command(Verb.RETR, number=3)
    assert message_in(protocol.receive(b"+OK 120 octets\na\n..b\n.\n")) == b"a\n.b\n"
    assert protocol.awaited is None


def test_no_control_character_is_in_the_capabilities() -> None:
    protocol = logged_in(b"+OK\r\nIMPLEMENTATION Far\x00 1\r\nUIDL\r\n.\r\n")
    assert protocol.capabilities.implementation == "Far\\x00 1"


@given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b".."]), max_size=30))
def test_any_message_survives_byte_stuffing_and_any_portions(pieces: list[bytes]) -> None:
    message = b"".join(pieces).replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    lines = message.split(b"\r\n")[:-1]
    sent = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    protocol = logged_in()
    protocol.command(Verb.RETR, number=1)
    stream = b"+OK\r\n" + sent + b".\r\n"
    events = [event for byte in stream for event in protocol.receive(bytes([byte]))]
    assert message_in(events) == message
    assert protocol.fault is None


def test_a_rejected_message_leaves_the_session_open() -> None:
    protocol = logged_in()
    protocol.command(Verb.RETR, number=9)
    (event,) = protocol.receive(b"-ERR no such message\r\n")
    assert isinstance(event, Response)
    assert (event.status.is_ok, protocol.state) == (False, State.TRANSACTION)


def test_listings_are_one_event() -> None:
    protocol = logged_in()
    protocol.command(Verb.UIDL)
    (event,) = protocol.receive(b"+OK\r\n1 abc\r\n2 ..d\r\n.\r\n")
    assert isinstance(event, Response)
    assert event.lines == (b"1 abc", b"2 ..d")
    protocol.command(Verb.LIST, number=2)
    (event,) = protocol.receive(b"+OK 2 120\r\n")
    assert isinstance(event, Response)
    assert (event.number, event.status.text) == (2, "2 120")


@pytest.mark.parametrize(
    ("verb", "limit"),
    [
        (Verb.CAPA, CAPABILITIES_BYTES_MAX),
        (Verb.LIST, LISTING_BYTES_MAX),
        (Verb.UIDL, LISTING_BYTES_MAX),
    ],
)
@pytest.mark.parametrize("excess", [0, 1])
def test_the_bytes_of_a_listing_are_limited(verb: Verb, limit: int, excess: int) -> None:
    line = b"1 " + b"a" * (LISTED_LINE_MAX - 4) + b"\r\n"
    assert len(line) == LISTED_LINE_MAX
    protocol = logged_in()
    protocol.command(verb)
    protocol.receive(b"+OK\r\n")
    for _ in range(limit // len(line) // 64):
        protocol.receive(line * 64)
    protocol.receive(b"a" * excess + b"\r\n" * excess + b".\r\n")
    assert (protocol.fault is not None) == bool(excess)
    assert protocol.fault is None or protocol.fault.kind is FaultKind.PROTOCOL


@pytest.mark.parametrize("verb", [Verb.CAPA, Verb.LIST, Verb.UIDL])
@pytest.mark.parametrize("end", [b"", b"\n.\r\n"])
@pytest.mark.parametrize("excess", [0, 1])
def test_the_lines_of_a_listing_are_short(verb: Verb, end: bytes, excess: int) -> None:
    protocol = logged_in()
    protocol.command(verb)
    protocol.receive(b"+OK\r\n" + b"a" * (LISTED_LINE_MAX + excess) + end)
    assert (protocol.fault is not None) == bool(excess)


def test_commands_are_grouped_only_where_the_server_announces_it() -> None:
    plain = logged_in()
    plain.command(Verb.RETR, number=1)
    with pytest.raises(OutOfOrderError):
        plain.command(Verb.RETR, number=2)

    protocol = logged_in(b"+OK\r\nPIPELINING\r\n.\r\n")
    for number in (1, 2):
        protocol.command(Verb.RETR, number=number)
    protocol.command(Verb.DELE, number=1)
    events = protocol.receive(b"+OK\r\na\r\n.\r\n-ERR gone\r\n+OK deleted\r\n")
    found = [
        (event.verb, event.number, event.status.is_ok)
        for event in events
        if isinstance(event, Response)
    ]
    assert found == [(Verb.RETR, 1, True), (Verb.RETR, 2, False), (Verb.DELE, 1, True)]
    assert message_in(events) == b"a\r\n"
    with pytest.raises(OutOfOrderError):
        greeted().command(Verb.RETR, number=1)


@pytest.mark.parametrize(
    ("response", "deleted"),
    [(b"+OK bye\r\n", {1}), (b"-ERR not all removed\r\n", set()), (b"", set())],
)
def test_messages_are_deleted_only_if_quit_succeeds(response: bytes, deleted: set[int]) -> None:
    protocol = logged_in()
    for number, status in ((1, b"+OK\r\n"), (2, b"-ERR\r\n")):
        protocol.command(Verb.DELE, number=number)
        protocol.receive(status)
    assert (protocol.marked, protocol.deleted) == ({1}, frozenset())
    protocol.command(Verb.QUIT)
    protocol.receive(response)
    assert protocol.deleted == deleted


def test_rset_unmarks_the_messages() -> None:
    protocol = logged_in()
    for verb, number in ((Verb.DELE, 1), (Verb.RSET, 0)):
        protocol.command(verb, number=number)
        protocol.receive(b"+OK\r\n")
    assert protocol.marked == set()


def test_a_response_without_a_command_ends_the_session() -> None:
    protocol = logged_in()
    protocol.receive(b"+OK surprise\r\n")
    assert protocol.fault is not None
    assert protocol.fault.kind is FaultKind.PROTOCOL
    assert protocol.receive(b"+OK more\r\n") == []


def test_no_line_break_gets_into_a_command() -> None:
    with pytest.raises(OutOfOrderError):
        greeted().command(Verb.USER, b"a\r\nDELE 1")


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_raise(portions: list[bytes]) -> None:
    for protocol in (Protocol(), logged_in()):
        if protocol.state is State.TRANSACTION:
            protocol.command(Verb.RETR, number=1)
        for portion in portions:
            protocol.receive(portion)
