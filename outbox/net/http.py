"""One HTTP request to a host that a user or a remote server named.

The host name is resolved once, and the connection uses one of the resolved addresses that the
caller allows, so that a second lookup cannot return another one. One deadline covers the addresses,
the TLS handshake, the request and the whole response. Redirects are not followed.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from outbox.net.resolve import Resolve, addresses_of
from outbox.texts import cause_of

ADDRESSES_MAX = 3  # a name may have hundreds, none of which responds
_CAUSE_MAX = 200  # characters


@dataclass(frozen=True, slots=True)
class Response:
    """The server's response, with at most the requested number of bytes of its body."""

    status: int
    reason: str
    body: bytes
    # By their names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class NotAllowedError(OSError):
    """The host has no address that may be contacted."""


def request(
    method: str,
    url: str,
    *,
    seconds: float,
    is_allowed: Callable[[str], bool],
    resolve: Resolve | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    body_max: int = 0,
    context: ssl.SSLContext | None = None,
) -> Response:
    """Send one request and return the response, with at most `body_max` bytes of its body.

    `seconds` limits the whole exchange. `resolve` returns the IP addresses of a host; the default
    is the system's resolver. Raise OSError if there is no response in time or no address is
    allowed, and HTTPException if the response is not valid HTTP.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + seconds
    addresses = addresses_of(parts.hostname or "", seconds, resolve)
    allowed = [address for address in addresses if is_allowed(address)][:ADDRESSES_MAX]
    if not allowed:
        raise NotAllowedError(f"{parts.hostname} has no address that may be contacted")
    if parts.scheme == "https" and context is None:
        context = ssl.create_default_context()  # reading the certificates of authorities takes long
    raw = _connect(allowed, parts, deadline)
    if time.monotonic() >= deadline:
        raw.close()
        raise TimeoutError(f"no connection within {seconds:g} s")
    with _closed_at(deadline, raw, seconds):
        return _exchange(raw, parts, method, headers or {}, body, body_max, context)


def cause_of_failure(error: Exception) -> str:
    """Return why a request failed, as one short line for logs and pages.

    What http.client says of a response quotes it, up to 64 KB with any control character.
    """
    if isinstance(error, http.client.HTTPException):
        return type(error).__name__
    return "".join(
        char if char.isprintable() else "\ufffd" for char in cause_of(error)[:_CAUSE_MAX]
    )


def _connect(addresses: list[str], parts: SplitResult, deadline: float) -> socket.socket:
    """Connect to the first address that responds, each within its share of the remaining time."""
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
    # A request over a given socket is the same for both schemes, except for the Host header.
    connection.default_port = 443 if parts.scheme == "https" else 80
    try:
        if context is not None and parts.scheme == "https":
            raw = context.wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {**headers, "Connection": "close"})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, response.reason, response.read(body_max), fields)
    finally:
        connection.close()
        raw.close()


@contextmanager
def _closed_at(deadline: float, sock: socket.socket, seconds: float) -> Iterator[None]:
    """Shut the connection down at the deadline: a socket timeout starts again with each byte."""
    is_over = threading.Event()
    # TLS detaches the descriptor from `sock`; a duplicate still refers to the connection.
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
    if is_over.is_set():  # a truncated response may look like a complete one
        raise TimeoutError(f"no complete response within {seconds:g} s")
