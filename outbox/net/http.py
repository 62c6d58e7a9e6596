"""One HTTP request to a host that a user or a remote server named.

The host name is resolved once, and the connection goes to an address that the caller's rule allows,
so that a second answer of the name server cannot lead elsewhere. One deadline covers the addresses,
the TLS handshake, the request and the whole response. Redirects are not followed.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

ADDRESSES_MAX = 3  # a name may have hundreds, each of which may stay silent


@dataclass(frozen=True, slots=True)
class Response:
    """What the server sent: the body is cut after the bytes that were asked for."""

    status: int
    reason: str
    body: bytes


class NotAllowedError(OSError):
    """The host has no address that may be contacted."""


def request(
    method: str,
    url: str,
    *,
    seconds: float,
    is_allowed: Callable[[str], bool],
    resolve: Callable[[str], Iterable[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    body_max: int = 0,
    context: ssl.SSLContext | None = None,
) -> Response:
    """Send one request and return the response, with at most `body_max` bytes of its body.

    `seconds` bounds the whole exchange. `resolve` returns the IP addresses of a host; the default
    asks the system. Raises OSError when no response came in time or no address is allowed, and
    HTTPException when what came is not HTTP.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + seconds
    addresses = list((resolve or _system_addresses)(parts.hostname or ""))
    allowed = [address for address in addresses if is_allowed(address)][:ADDRESSES_MAX]
    if not allowed:
        raise NotAllowedError(f"{parts.hostname} has no address that may be contacted")
    raw = _connect(allowed, parts, deadline)
    with _closed_at(deadline, raw, seconds):
        return _exchange(raw, parts, method, headers or {}, body, body_max, context)


def _system_addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _connect(addresses: list[str], parts: SplitResult, deadline: float) -> socket.socket:
    """Connect to the first address that answers, each within its share of the time left."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    error = OSError("no address")
    for position, address in enumerate(addresses):
        share = max(deadline - time.monotonic(), 0.001) / (len(addresses) - position)
        try:
            return socket.create_connection((address, port), timeout=share)
        except OSError as failed:
            error = failed
    raise error


def _exchange(
    raw: socket.socket,
    parts: SplitResult,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
    body_max: int,
    context: ssl.SSLContext | None,
) -> Response:
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port)
    # A request over an own socket is the same for both schemes, except for the Host header.
    connection.default_port = 443 if parts.scheme == "https" else 80
    try:
        if parts.scheme == "https":
            raw = (context or ssl.create_default_context()).wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {**headers, "Connection": "close"})
        response = connection.getresponse()
        return Response(response.status, response.reason, response.read(body_max))
    finally:
        connection.close()
        raw.close()


@contextmanager
def _closed_at(deadline: float, sock: socket.socket, seconds: float) -> Iterator[None]:
    """Shut the connection down at the deadline: a timeout alone starts again with each byte."""
    is_over = threading.Event()
    # TLS takes the descriptor away from `sock`; a duplicate still reaches the connection.
    handle = sock.dup()
    sock.settimeout(max(deadline - time.monotonic(), 0.001))

    def end() -> None:
        is_over.set()
        handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(deadline - time.monotonic(), 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if is_over.is_set():
            raise TimeoutError(f"no complete response within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        handle.close()
    if is_over.is_set():  # half a response may look like a complete one
        raise TimeoutError(f"no complete response within {seconds:g} s")
