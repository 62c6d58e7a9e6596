"""A blocking connection with deadlines, to a host that a user named.

The host name is resolved once, and the connection uses one of the resolved addresses that the
caller allows. Every wait has a deadline on the monotonic clock, which no slow drip of bytes extends
and which covers TLS, too. A stop event ends each wait.
"""

import errno
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

from outbox.net.resolve import addresses_of, wire_host
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.exhaustion import exhaustion_reason, is_exhausted
from outbox.smtp.tls import tls_cause

ADDRESSES_MAX = 3  # a name may have hundreds, none of which responds
_Result = TypeVar("_Result")
_CHUNK = 65_536  # bytes of one read
_STOP_CHECK_EVERY = 0.2  # seconds
_CONNECT_CAUSES = {
    errno.ECONNREFUSED: Reason(ReasonCode.CONNECTION_REFUSED),
    errno.ECONNRESET: Reason(ReasonCode.CONNECTION_RESET),
    errno.ETIMEDOUT: Reason(ReasonCode.NETWORK_TIMEOUT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for a session. No wait starts again with each byte that a slow server drips."""

    connect: float = 30.0  # one address
    tls: float = 30.0  # the handshake
    line: float = 60.0  # the next line of a response, or the next 64 KB of a long line
    response: float = 600.0  # a whole response, and one second more for each 10 KB
    session: float = 1_800.0  # from the connect on; after it only `quit` is possible
    quit: float = 60.0  # the server may delete thousands of messages now


class StreamError(OSError):
    """The connection could not be made, or it broke."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class AddressForbiddenError(StreamError):
    """The host has no address that may be contacted. The reason names none."""


def is_closed(error: StreamError) -> bool:
    """Return whether the remote server closed the connection, so that it may have a reason."""
    return error.reason.code in {ReasonCode.CLOSED_BY_SERVER, ReasonCode.CONNECTION_RESET}


class StreamStoppedError(StreamError):
    """The stop event was set."""


class OverdueError(TimeoutError):
    """The deadline has passed."""


class Stream:
    """One connection, used by one thread."""

    def __init__(self, sock: socket.socket, host: str, stop: threading.Event | None) -> None:
        self.host = host
        self.is_secured = False
        self._sock = sock
        self._stop = stop

    @classmethod
    def open(
        cls,
        host: str,
        port: int,
        *,
        seconds: float,
        is_allowed: Callable[[str], bool],
        stop: threading.Event | None = None,
    ) -> Self:
        """Connect to the first address that responds. Raise StreamError.

        `seconds` limits the lookup, and then each of at most three addresses.
        """
        try:
            name = wire_host(host)
            addresses = addresses_of(name, seconds)
        except TimeoutError:
            raise StreamError(Reason(ReasonCode.DNS_TIMEOUT, host=host)) from None
        except (OSError, UnicodeError) as error:
            cause = (isinstance(error, OSError) and error.strerror) or str(error)
            reason = Reason(ReasonCode.NAME_UNRESOLVED, host=host, cause=cause)
            raise StreamError(reason) from error
        allowed = [address for address in addresses if is_allowed(address)][:ADDRESSES_MAX]
        if not allowed:
            raise AddressForbiddenError(Reason(ReasonCode.ADDRESS_FORBIDDEN))
        for address in allowed[:-1]:
            try:
                return cls(_connected(address, port, seconds, stop), name, stop)
            except StreamStoppedError:
                raise
            except StreamError:
                continue
        return cls(_connected(allowed[-1], port, seconds, stop), name, stop)

    def start_tls(self, context: ssl.SSLContext, seconds: float) -> None:
        """Continue with TLS, and check the certificate against the host. Raise StreamError."""
        deadline = time.monotonic() + seconds
        try:
            tls = context.wrap_socket(
                self._sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self._sock = tls  # the former one is detached
            self._repeated(tls.do_handshake, deadline)
        except StreamStoppedError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a host that no certificate can have
            raise StreamError(tls_cause(error)[1]) from error
        self.is_secured = True

    def receive(self, deadline: float) -> bytes:
        """Return the next bytes, at least one. Raise OverdueError, or StreamError.

        `deadline` is a time of the monotonic clock.
        """
        data = self._guarded(lambda: self._sock.recv(_CHUNK), deadline)
        if not data:
            raise StreamError(Reason(ReasonCode.CLOSED_BY_SERVER))
        return data

    def waiting(self) -> bytes:
        """Return bytes that have arrived, without waiting for any. It raises nothing."""
        self._sock.settimeout(0)
        try:
            return self._sock.recv(_CHUNK)
        except OSError:
            return b""  # the next call raises what ended the connection

    def send(self, data: bytes, deadline: float) -> None:
        """Send all bytes. Raise OverdueError, or StreamError."""
        view = memoryview(data)
        while view:
            block = view[:_CHUNK]
            view = view[self._guarded(partial(self._sock.send, block), deadline) :]

    def close(self) -> None:
        """Close the connection; what was not sent is lost. It raises nothing."""
        self._sock.close()

    def _guarded(self, call: Callable[[], _Result], deadline: float) -> _Result:
        try:
            return self._repeated(call, deadline)
        except (StreamError, OverdueError):
            raise
        except OSError as error:
            raise StreamError(_cause_of_break(error)) from error

    def _repeated(self, call: Callable[[], _Result], deadline: float) -> _Result:
        """Call until it succeeds; it waits at most until the next check of the stop event."""
        while True:
            _check_stop(self._stop)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise OverdueError
            self._sock.settimeout(min(remaining, _STOP_CHECK_EVERY))
            try:
                return call()
            except TimeoutError as error:
                if error.errno:  # of the network, not of `settimeout`
                    raise


def _check_stop(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise StreamStoppedError(Reason(ReasonCode.SESSION_ABORTED))


def _connected(
    address: str, port: int, seconds: float, stop: threading.Event | None
) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        raise StreamError(_cause_of_connect(error.errno or 0)) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)  # noqa: FBT003  # its only parameter
        number = sock.connect_ex((address, port))
        if number == errno.EINPROGRESS:
            _wait_until_connected(sock, seconds, stop)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if number:
        sock.close()
        raise StreamError(_cause_of_connect(number))
    return sock


def _wait_until_connected(
    sock: socket.socket, seconds: float, stop: threading.Event | None
) -> None:
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while True:
            _check_stop(stop)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise StreamError(Reason(ReasonCode.CONNECT_TIMEOUT, seconds=seconds))
            if selector.select(min(remaining, _STOP_CHECK_EVERY)):
                return


def _cause_of_connect(number: int) -> Reason:
    if is_exhausted(OSError(number, "")):
        return exhaustion_reason(OSError(number, os.strerror(number)))
    if known := _CONNECT_CAUSES.get(number):
        return known
    return Reason(ReasonCode.UNREACHABLE, cause=os.strerror(number))


def _cause_of_break(error: OSError) -> Reason:
    """Return why a connection broke, without the number and the class of the error."""
    if is_exhausted(error):
        return exhaustion_reason(error)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return Reason(ReasonCode.CONNECTION_RESET)
    if isinstance(error, ssl.SSLError):
        cause = (error.reason or "unknown reason").replace("_", " ").lower()
        return Reason(ReasonCode.TLS_FAILED, cause=cause)
    return Reason(ReasonCode.CONNECTION_BROKEN, cause=error.strerror or str(error))
