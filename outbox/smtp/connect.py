"""From a host name to a TCP connection: DNS, the address check, one connect at a time."""

import asyncio
import errno
import socket
from functools import lru_cache

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.ehlo import address_literal, chosen_name, is_domain
from outbox.smtp.exhaustion import exhausted, has_descriptor, is_exhausted
from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.server import Server
from outbox.smtp.transport import SmtpTransport

_NAME_WAIT = 2.0  # seconds to look up this machine's own name

_CAUSES = {
    errno.ECONNREFUSED: (FaultKind.REFUSED, Reason(ReasonCode.CONNECTION_REFUSED)),
    errno.ECONNRESET: (FaultKind.RESET, Reason(ReasonCode.CONNECTION_RESET)),
    errno.ETIMEDOUT: (FaultKind.TIMEOUT, Reason(ReasonCode.NETWORK_TIMEOUT)),
}


async def resolve(server: Server) -> list[str]:
    """Return every address of the host in the system's order. Raises SmtpFault."""
    if server.addresses:
        return list(server.addresses)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(server.timeouts.connect):
            found = await loop.getaddrinfo(server.wire_host, server.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise _unresolved(Reason(ReasonCode.DNS_TIMEOUT, host=server.host)) from None
    except (OSError, UnicodeError) as error:
        if is_exhausted(error) or not has_descriptor():
            raise exhausted(Phase.RESOLVE, error) from error
        cause = (isinstance(error, OSError) and error.strerror) or str(error)
        reason = Reason(ReasonCode.NAME_UNRESOLVED, host=server.host, cause=cause)
        raise _unresolved(reason) from error
    return list(dict.fromkeys(str(address[4][0]) for address in found))


async def connect(
    transport: SmtpTransport, server: Server, address: str, facts: SessionFacts
) -> None:
    """Connect to one address. Raises SmtpFault."""
    if not server.allow_address(address):
        raise forbidden()
    facts.address = address
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(server.timeouts.connect):
            connected, _ = await loop.create_connection(lambda: transport, address, server.port)
    except TimeoutError:
        reason = Reason(ReasonCode.CONNECT_TIMEOUT, seconds=server.timeouts.connect)
        raise SmtpFault(Phase.CONNECT, FaultKind.TIMEOUT, reason) from None
    except OSError as error:
        if is_exhausted(error):
            raise exhausted(Phase.CONNECT, error) from error
        unreachable = Reason(ReasonCode.UNREACHABLE, cause=error.strerror or str(error))
        kind, reason = _CAUSES.get(error.errno or 0, (FaultKind.UNREACHABLE, unreachable))
        raise SmtpFault(Phase.CONNECT, kind, reason) from error
    facts.phases_ms[Phase.CONNECT] = (loop.time() - began) * 1000
    facts.local_address = str(connected.get_extra_info("sockname")[0])


def forbidden() -> SmtpFault:
    """Return the fault of a host without an allowed address.

    The reason does not name the address: a user must not learn what names of the private network
    resolve to.
    """
    reason = Reason(ReasonCode.ADDRESS_FORBIDDEN)
    return SmtpFault(Phase.CONNECT, FaultKind.FORBIDDEN, reason)


async def ehlo_name(server: Server, local_address: str) -> str:
    """Return the name for EHLO: a fully qualified domain or an address literal."""
    if chosen := chosen_name(server.ehlo_name):
        return chosen
    try:
        async with asyncio.timeout(_NAME_WAIT):
            name = await asyncio.get_running_loop().run_in_executor(None, _own_name)
    except TimeoutError:
        name = ""
    name = name.removesuffix(".")
    return name if is_domain(name) else address_literal(local_address)


def reporting_name(chosen: str) -> str:
    """Return the name of this host in reports: the chosen one, or what the system says."""
    return chosen_name(chosen) or _own_name().removesuffix(".") or "localhost"


# It queries DNS, which may take seconds; the result is kept for the life of the process.
_own_name = lru_cache(maxsize=1)(socket.getfqdn)


def _unresolved(reason: Reason) -> SmtpFault:
    return SmtpFault(Phase.RESOLVE, FaultKind.RESOLVE, reason)
