"""The addresses of a host, by the system's resolver, within a time limit."""

import socket
import threading
from collections.abc import Callable, Iterable
from queue import Empty, Queue

import idna

Resolve = Callable[[str], Iterable[str]]


def addresses_of(host: str, seconds: float, resolve: Resolve | None = None) -> list[str]:
    """Return the addresses of a host. Raise OSError, TimeoutError if the resolver is too slow.

    Nothing can interrupt the system's resolver, so it runs in a thread that may outlive the call.
    """
    found: Queue[list[str] | Exception] = Queue()

    def look_up() -> None:
        try:
            found.put(list((resolve or _system_addresses)(host)))
        except Exception as error:  # noqa: BLE001  # it is raised in the caller's thread
            found.put(error)

    threading.Thread(target=look_up, name="outbox-resolver", daemon=True).start()
    try:
        result = found.get(timeout=max(seconds, 0.001))
    except Empty:
        raise TimeoutError(f"{host} was not resolved within {seconds:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def wire_host(host: str) -> str:
    """Return a host for DNS and certificates: A-labels or a bare IP. Raise UnicodeError."""
    host = host.removesuffix(".").strip("[]")
    return host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")


def matches_host(pattern: str, host: str) -> bool:
    """Return whether a name of a certificate, or of a policy, covers a host, both in A-labels.

    A wildcard is the whole leftmost label and stands for one label (RFC 6125 6.4.3, RFC 8461 4.1).
    """
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    first, _, rest = pattern.partition(".")
    if first == "*":
        label, _, parent = host.partition(".")
        return bool(label) and bool(rest) and "*" not in rest and parent == rest
    return bool(pattern) and "*" not in pattern and pattern == host


def _system_addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
