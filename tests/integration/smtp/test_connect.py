"""From a name to a greeting: every address is tried, and every failure is recorded."""

import errno
import socket
from collections.abc import Sequence

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Connection, FaultKind, Phase, Security, Server, SmtpFault, Timeouts
from outbox.smtp.connect import ehlo_name
from tests.integration.smtp.scripted_server import ScriptedServer


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str] | Exception]:
    """Names and their addresses, or what the resolver raises, in place of DNS."""
    names: dict[str, Sequence[str] | Exception] = {}
    system = socket.getaddrinfo

    def look_up(host: str, port: int, *args: int, **more: int) -> object:
        found = names.get(host)
        if found is None:
            return system(host, port, *args, **more)
        if isinstance(found, Exception):
            raise found
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, kind, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, kind, 6, "", (address, port))
            for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


async def fault_of(server: Server) -> SmtpFault:
    with pytest.raises(SmtpFault) as caught:
        await Connection.open(server)
    return caught.value


def plain(host: str, port: int, **more: object) -> Server:
    values = {"host": host, "port": port, "security": Security.NONE, "ehlo_name": "client.test"}
    return Server(**(values | more))  # type: ignore[arg-type]  # a test's own choice


async def test_it_tries_the_next_address_and_keeps_each_failure(
    dns: dict[str, Sequence[str] | Exception],
) -> None:
    """Protocol item 29: IPv6 and IPv4 in turn, the failure of each recorded."""
    dns["far.test"] = ["::1", "127.0.0.2", "127.0.0.1"]
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server(host="far.test"))
        await session.quit()
    assert session.facts.address == "127.0.0.1"
    assert [address for address, _ in session.facts.tried] == ["::1", "127.0.0.2"]
    assert session.facts.tried[1][1].code == ReasonCode.CONNECTION_REFUSED


@pytest.mark.parametrize("greeting", ["421 4.3.2 too busy", "450 not now", "554 5.3.2 no"])
async def test_it_tries_the_next_address_after_a_negative_greeting(
    greeting: str, dns: dict[str, Sequence[str] | Exception]
) -> None:
    """Protocol items 22 and 23."""
    dns["far.test"] = ["127.0.0.1", "127.0.0.2"]
    scripted = ScriptedServer({"GREETING": [greeting, "220 far.test"]})
    async with scripted.serving(host="0.0.0.0") as remote:  # noqa: S104 - two loopback addresses
        session = await Connection.open(remote.server(host="far.test"))
        await session.quit()
    assert session.facts.address == "127.0.0.2"
    assert len(session.facts.tried) == 1


async def test_it_reports_a_reply_rather_than_another_address_s_silence(
    dns: dict[str, Sequence[str] | Exception],
) -> None:
    dns["far.test"] = ["127.0.0.1", "127.0.0.2"]
    async with ScriptedServer({"GREETING": "554 5.3.2 no"}).serving() as remote:
        fault = await fault_of(remote.server(host="far.test"))
    assert (fault.phase, fault.kind) == (Phase.GREETING, FaultKind.REJECTED)
    assert remote.commands == ["QUIT"]
    assert fault.facts is not None
    assert len(fault.facts.tried) == 2


async def test_it_reports_that_nothing_listens() -> None:
    """Protocol item 29."""
    fault = await fault_of(plain("127.0.0.1", unused_port()))
    assert (fault.phase, fault.kind) == (Phase.CONNECT, FaultKind.REFUSED)
    assert fault.facts is not None
    assert fault.facts.tried == [("127.0.0.1", Reason(ReasonCode.CONNECTION_REFUSED))]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable"), FaultKind.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "No route to host"), FaultKind.UNREACHABLE),
        (ConnectionResetError(errno.ECONNRESET, "reset"), FaultKind.RESET),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), FaultKind.TIMEOUT),
    ],
)
async def test_it_distinguishes_causes(
    error: OSError, kind: FaultKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.create_connection", fail)
    fault = await fault_of(plain("127.0.0.1", 25))
    assert (fault.phase, fault.kind) == (Phase.CONNECT, kind)


async def test_it_ends_a_connect_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocol item 29: a listener with a full queue does not respond."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        queued = [socket.socket() for _ in range(4)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        fault = await fault_of(plain("127.0.0.1", port, timeouts=Timeouts(connect=0.2)))
        for sock in queued:
            sock.close()
    assert (fault.phase, fault.kind) == (Phase.CONNECT, FaultKind.TIMEOUT)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    ],
)
async def test_it_reports_a_name_that_does_not_resolve(
    error: Exception, dns: dict[str, Sequence[str] | Exception]
) -> None:
    dns["far.test"] = error
    fault = await fault_of(plain("far.test", 25))
    assert (fault.phase, fault.kind) == (Phase.RESOLVE, FaultKind.RESOLVE)
    assert fault.reason.args["host"] == "far.test"


async def test_it_reports_an_invalid_name() -> None:
    fault = await fault_of(plain("bü..cher", 25))
    assert fault.kind is FaultKind.RESOLVE


async def test_it_connects_to_no_forbidden_address() -> None:
    """No connection to private addresses, whatever a name resolves to."""
    asked: list[str] = []

    def never(address: str) -> bool:
        asked.append(address)
        return False

    async with ScriptedServer().serving() as remote:
        fault = await fault_of(remote.server(allow_address=never))
    assert (fault.phase, fault.kind) == (Phase.CONNECT, FaultKind.FORBIDDEN)
    assert asked == ["127.0.0.1"]
    assert remote.connections == 0
    assert fault.transcript is not None
    known = f"{fault.reason} {fault.transcript.dump()} {fault.facts}"
    assert "127.0.0.1" not in known.replace("host='127.0.0.1'", "")


async def test_it_resolves_a_host_outside_ascii(
    dns: dict[str, Sequence[str] | Exception],
) -> None:
    dns["xn--bcher-kva.test"] = ["127.0.0.1"]
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server(host="bücher.test."))
        await session.quit()
    assert session.facts.address == "127.0.0.1"


async def test_it_accepts_an_ipv6_address_with_or_without_brackets() -> None:
    for host in ("::1", "[::1]"):
        fault = await fault_of(plain(host, unused_port()))
        assert fault.facts is not None
        assert fault.facts.address == "::1"


@pytest.mark.parametrize(
    ("own", "local", "said"),
    [
        ("host.example.org", "192.0.2.1", "host.example.org"),
        ("host", "192.0.2.1", "[192.0.2.1]"),
        ("localhost", "127.0.0.1", "[127.0.0.1]"),
        ("localhost.localdomain", "127.0.0.1", "[127.0.0.1]"),
        ("host", "2001:db8::1", "[IPv6:2001:db8::1]"),
        ("host", "fe80::1%eth0", "[IPv6:fe80::1]"),
        ("host", "::ffff:192.0.2.1", "[192.0.2.1]"),
        ("host.example.org.", "192.0.2.1", "host.example.org"),
        ("host.", "192.0.2.1", "[192.0.2.1]"),
        ("host_1.internal.example", "192.0.2.1", "[192.0.2.1]"),
        ("x.example:8080", "192.0.2.1", "[192.0.2.1]"),
        ("a b.example", "192.0.2.1", "[192.0.2.1]"),
        ("-x.example", "192.0.2.1", "[192.0.2.1]"),
        ("x-.example", "2001:db8::1", "[IPv6:2001:db8::1]"),
        ("x..example", "192.0.2.1", "[192.0.2.1]"),
        (".example.org", "192.0.2.1", "[192.0.2.1]"),
        ("host.example.org\n", "192.0.2.1", "[192.0.2.1]"),
        ("host.example.org\r\nRSET", "192.0.2.1", "[192.0.2.1]"),
        ("", "192.0.2.1", "[192.0.2.1]"),
        ("rechner.bücher.example", "192.0.2.1", "[192.0.2.1]"),
        ("10.0.0.7", "192.0.2.1", "[192.0.2.1]"),
        (f"{'x' * 64}.example", "192.0.2.1", "[192.0.2.1]"),
        (f"{'x.' * 125}example", "192.0.2.1", "[192.0.2.1]"),
    ],
)
async def test_it_returns_a_full_name_or_an_address_literal(
    own: str, local: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protocol item 25."""
    monkeypatch.setattr("outbox.smtp.connect._own_name", lambda: own)
    assert await ehlo_name(plain("far.test", 25, ehlo_name=""), local) == said
    assert await ehlo_name(plain("far.test", 25, ehlo_name="set.test"), local) == "set.test"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("localhost", "localhost"),
        ("web_1", "web_1"),
        ("set.test.", "set.test"),
        (" set.test\n", "set.test"),
        ("[192.0.2.9]", "[192.0.2.9]"),
        ("192.0.2.9", "[192.0.2.9]"),
        ("2001:db8::9", "[IPv6:2001:db8::9]"),
        ("rechner.bücher.example", "rechner.xn--bcher-kva.example"),
        ("set.test\r\nRSET", "[192.0.2.1]"),
        ("set test", "[192.0.2.1]"),
        ("set.test:25", "[192.0.2.1]"),
        ("\u2028", "[192.0.2.1]"),
        ("x" * 300, "[192.0.2.1]"),
    ],
)
async def test_a_chosen_name_that_ehlo_cannot_contain_is_replaced(
    chosen: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protocol item 25: a line break would end the session of every message."""
    monkeypatch.setattr("outbox.smtp.connect._own_name", lambda: "host")
    assert await ehlo_name(plain("far.test", 25, ehlo_name=chosen), "192.0.2.1") == said
