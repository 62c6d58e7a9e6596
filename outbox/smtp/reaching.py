"""From a host's name to a TCP connection: DNS, the address guard, one connect at a time."""

import asyncio
import errno
import socket
from functools import lru_cache

from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.server import Server
from outbox.smtp.wire import Wire

_NAME_WAIT = 2.0  # seconds for this machine to find out its own name

_CAUSES = {
    errno.ECONNREFUSED: (FaultKind.REFUSED, "nothing listens there (connection refused)"),
    errno.ECONNRESET: (FaultKind.RESET, "the connection was reset"),
    errno.ETIMEDOUT: (FaultKind.TIMEOUT, "the network gave up waiting"),
}


async def resolve(server: Server) -> list[str]:
    """Give every address of the host, in the order the system prefers. Raises SmtpFault."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(server.timeouts.connect):
            found = await loop.getaddrinfo(server.wire_host, server.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise _unresolved(server, "DNS gave no answer in time") from None
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise _unresolved(server, f"the name does not resolve ({cause})") from error
    return list(dict.fromkeys(str(address[4][0]) for address in found))


async def connect(wire: Wire, server: Server, address: str, facts: SessionFacts) -> None:
    """Connect to one address. Raises SmtpFault."""
    facts.address = address
    if not server.allow_address(address):
        detail = f"{address} is not an address mail may go to from here"
        raise SmtpFault(Phase.CONNECT, FaultKind.FORBIDDEN, detail)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(server.timeouts.connect):
            transport, _ = await loop.create_connection(lambda: wire, address, server.port)
    except TimeoutError:
        detail = f"no connection within {server.timeouts.connect:g} seconds"
        raise SmtpFault(Phase.CONNECT, FaultKind.TIMEOUT, detail) from None
    except OSError as error:
        kind, detail = _CAUSES.get(
            error.errno or 0, (FaultKind.UNREACHABLE, f"no way to get there ({error.strerror})")
        )
        raise SmtpFault(Phase.CONNECT, kind, detail) from error
    facts.phases_ms[Phase.CONNECT] = (loop.time() - began) * 1000
    facts.local_address = str(transport.get_extra_info("sockname")[0])


async def ehlo_name(server: Server, local_address: str) -> str:
    """Give the name to say in EHLO: a full name or an address literal (RFC 5321 4.1.3)."""
    if server.ehlo_name:
        return server.ehlo_name
    try:
        async with asyncio.timeout(_NAME_WAIT):
            name = await asyncio.get_running_loop().run_in_executor(None, _own_name)
    except TimeoutError:
        name = ""
    if "." in name and name.isascii() and not name.startswith("localhost"):
        return name
    address = local_address.partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


# Asks DNS, which may take seconds; the answer holds as long as the process.
_own_name = lru_cache(maxsize=1)(socket.getfqdn)


def _unresolved(server: Server, detail: str) -> SmtpFault:
    return SmtpFault(Phase.RESOLVE, FaultKind.RESOLVE, f"{server.host}: {detail}")
