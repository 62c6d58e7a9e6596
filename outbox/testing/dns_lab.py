r"""The DNS fault lab: a DNS server on loopback that serves records, and fails, as a scenario says.

    with DnsLab(
        "record example.org MX 10 mx.example.org\n"
        "record mx.example.org 60 A 127.0.0.1\n"
        "at aaaa <*.example.org>: servfail\n"
    ) as lab:
        ...  # ask lab.address
        lab.queries

Its language is in `dns_scenario.py`. It runs in a thread of its own and serves UDP and TCP.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from outbox.testing.dns_scenario import DnsFault, DnsRule, DnsScenario, parse_dns_scenario
from outbox.testing.serving import loop_in_thread

_UDP_MAX = 512  # octets of a response to a client without EDNS (RFC 1035 4.2.1)
_TCP_MAX = 65_535
_ALIASES_MAX = 8
_PORT_TRIALS = 20  # a free port of TCP may be in use for UDP
_RCODES = {
    DnsFault.NXDOMAIN: dns.rcode.NXDOMAIN,
    DnsFault.SERVFAIL: dns.rcode.SERVFAIL,
    DnsFault.REFUSED: dns.rcode.REFUSED,
}


@dataclass(frozen=True, slots=True)
class DnsQuery:
    """A question that arrived."""

    name: str  # in lower case, without the last dot
    kind: str  # "MX"
    transport: str  # "udp" or "tcp"


class DnsLab:
    """One port with one scenario at a time, given as text or as an object."""

    def __init__(
        self, scenario: DnsScenario | str = "", *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.host, self.port = host, port
        self.queries: list[DnsQuery] = []
        self.play(scenario)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._loop = stack.enter_context(loop_in_thread())
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=10)
            stack.callback(
                lambda: asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def address(self) -> str:
        """Where the server listens, as "address:port"."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def play(self, scenario: DnsScenario | str) -> None:
        """Use a scenario from the next query on; queries are counted from 1 again."""
        found = scenario if isinstance(scenario, DnsScenario) else parse_dns_scenario(scenario)
        self._playing: tuple[DnsScenario, Counter[tuple[str, str]]] = (found, Counter())

    def asked(self, kind: str) -> list[str]:
        """Return the names that were asked for, by the kind of record, in order."""
        return [query.name for query in self.queries if query.kind == kind]

    # In the lab's thread

    async def _start(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        for trial in range(_PORT_TRIALS):
            server = await asyncio.start_server(self._serve_tcp, self.host, self.port)
            port = server.sockets[0].getsockname()[1]
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            try:
                self._udp, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), (self.host, port), family=family
                )
            except OSError:
                server.close()
                if self.port or trial == _PORT_TRIALS - 1:
                    raise
            else:
                self._tcp, self.port = server, port
                return

    async def _stop(self) -> None:
        self._tcp.close()
        self._udp.close()
        for task in self._tasks:
            task.cancel()

    def received(self, data: bytes, sender: tuple[str, int]) -> None:
        """Respond to a datagram."""
        task = self._loop.create_task(self._respond_by_udp(data, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond_by_udp(self, data: bytes, sender: tuple[str, int]) -> None:
        if response := await self._response_to(data, "udp"):
            self._udp.sendto(response, sender)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                response = await self._response_to(await reader.readexactly(length), "tcp")
                if response is not None:
                    writer.write(struct.pack("!H", len(response)) + response)
        writer.close()

    async def _response_to(self, data: bytes, transport: str) -> bytes | None:
        """Return a response; None for silence."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), question.rdtype.name
        scenario, counts = self._playing
        counts[name, kind] += 1
        self.queries.append(DnsQuery(name, kind, transport))
        rule = scenario.rule_at(kind, name, counts[name, kind], transport)
        if rule is not None and rule.wait:
            await asyncio.sleep(rule.wait)
        return _wire(query, scenario, rule, transport)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, lab: DnsLab) -> None:
        self._lab = lab

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._lab.received(data, addr)


def _wire(
    query: dns.message.Message, scenario: DnsScenario, rule: DnsRule | None, transport: str
) -> bytes | None:
    fault = rule.fault if rule else None
    if fault is DnsFault.NO_REPLY:
        return None
    if fault is DnsFault.GARBAGE:
        return b"\xff" * len(query.to_wire())
    response = dns.message.make_response(query, recursion_available=fault is not DnsFault.LAME)
    if fault is DnsFault.LAME:  # a referral upwards, as from a server that lost the zone
        response.authority.append(dns.rrset.from_text(".", 60, "IN", "NS", "a.root.example."))
    elif fault in _RCODES:
        response.set_rcode(_RCODES[fault])
    elif fault is DnsFault.TRUNCATE and transport == "udp":
        response.flags |= dns.flags.TC
    elif fault is not DnsFault.NODATA:
        _fill(response, query, scenario)
    udp_max = max(query.payload, _UDP_MAX) if query.edns >= 0 else _UDP_MAX
    max_size = udp_max if transport == "udp" else _TCP_MAX
    return response.to_wire(max_size=max_size, prefer_truncation=True)


def _fill(response: dns.message.Message, query: dns.message.Message, scenario: DnsScenario) -> None:
    """Fill the response from the records; follow aliases, as a resolver does."""
    question = query.question[0]
    name, kind = str(question.name).rstrip(".").lower(), question.rdtype.name
    names = [name]
    for _ in range(_ALIASES_MAX):
        alias = scenario.records.get((name, "CNAME")) if kind != "CNAME" else None
        found = alias or scenario.records.get((name, kind))
        if found is None:
            break
        ttl, records = found
        response.answer.append(dns.rrset.from_rdata_list(_name(name), ttl, records))
        if alias is None:
            break
        name = str(records[0]).rstrip(".").lower()
        names.append(name)
    if not response.answer or response.answer[-1].rdtype.name != kind:
        if not scenario.exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if (soa := scenario.authority_of(name)) is not None:
            zone, ttl, records = soa
            response.authority.append(dns.rrset.from_rdata_list(_name(zone), ttl, records))
    wants = query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO
    if wants and all(scenario.is_authenticated(one) for one in names):
        response.flags |= dns.flags.AD


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(f"{text}.") if text else dns.name.root
