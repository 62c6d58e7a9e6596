"""The client of these tests: logins, short time limits, and a whole session."""

import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from outbox.inbound.mail_server import (
    Listed,
    Login,
    MailServer,
    MailServerError,
    Timeouts,
    open_mail_server,
)
from outbox.testing.pop3_lab import Pop3Lab

USER, PASSWORD = "anna@near.test", "correct horse battery"
_TAG = re.compile(rb"([A-P]+\d+) ")  # as imaplib makes them
OPENED: list[MailServer] = []
LIMIT = 100_000  # bytes of a message
QUICK = Timeouts(connect=5, tls=5, line=5, response=10, session=30, quit=5)


def login_at(lab: Pop3Lab, **changes: Any) -> Login:
    """Return the login for a lab, which wants no TLS."""
    return login_to(lab.port, **changes)


def login_to(port: int, **changes: Any) -> Login:
    """Return the login for a server on loopback, which wants no TLS."""
    fields: dict[str, Any] = {
        "protocol": "pop3",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": USER,
        "password": PASSWORD,
        "allows_private": True,
        "allows_plain_text": True,
    }
    return Login(**(fields | changes))


def session_at(lab: Pop3Lab, timeouts: Timeouts = QUICK, **changes: Any) -> MailServer:
    """Connect and log in. The end of the test closes the connection."""
    server = open_mail_server(login_at(lab, **changes), timeouts=timeouts)
    OPENED.append(server)
    return server


@dataclass(slots=True)
class Fetched:
    """What a session did, as the client knows it."""

    listed: list[Listed] = field(default_factory=list)
    sources: dict[str, bytes] = field(default_factory=dict)  # by unique id
    rejected: dict[str, MailServerError] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)  # by a QUIT that succeeded
    error: MailServerError | None = None
    seconds: float = 0.0


def fetch(lab: Pop3Lab, timeouts: Timeouts = QUICK, **changes: Any) -> Fetched:
    """Retrieve every message, delete what arrived, and quit; or stop at the first error."""
    fetched = Fetched()
    began = monotonic()
    server: MailServer | None = None
    try:
        server = session_at(lab, timeouts, **changes)
        _fetch(server, fetched)
    except MailServerError as error:
        fetched.error = error
    finally:
        if server is not None:
            server.abandon()
    fetched.seconds = monotonic() - began
    return fetched


def _fetch(server: MailServer, fetched: Fetched) -> None:
    fetched.listed = server.messages()
    for index, found in server.retrieve_many(range(len(fetched.listed)), LIMIT):
        uid = fetched.listed[index].uid
        if isinstance(found, bytes):
            fetched.sources[uid] = found
        else:
            fetched.rejected[uid] = found
    for index, listed in enumerate(fetched.listed):
        if listed.uid in fetched.sources:
            server.delete(index)
            fetched.marked.add(listed.uid)
    server.quit()
    fetched.deleted = fetched.marked


@contextmanager
def scripted(
    greeting: bytes,
    script: Iterable[tuple[bytes, bytes]],
    received: list[bytes] | None = None,
    *,
    closes: bool = False,
) -> Iterator[int]:
    """Serve one connection: wait for some bytes, send the reply, and so on; yield the port.

    `received` gets what arrived before each reply. `closes`: it closes after the last one.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(
            target=_serve,
            args=(listener, greeting, script, [] if received is None else received, closes),
            daemon=True,
        )
        server.start()
        yield listener.getsockname()[1]
        server.join(timeout=10)


def _serve(
    listener: socket.socket,
    greeting: bytes,
    script: Iterable[tuple[bytes, bytes]],
    all_received: list[bytes],
    closes: bool,  # an argument of a thread
) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each reply at once
        connection.sendall(greeting)
        tag = b""
        for expected, reply in script:
            received = b""
            while expected and (expected not in received or not received.endswith(b"\n")):
                data = connection.recv(65_536)
                if not data:
                    return
                received += data
            all_received.append(received)
            if found := _TAG.search(received):
                tag = found[1]
            connection.sendall(reply.replace(b"TAG", tag))
        while not closes and connection.recv(65_536):  # until the client closes
            pass
