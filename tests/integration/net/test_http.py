"""Requests to real servers on loopback: one deadline for everything, vetted addresses only."""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest

from outbox.net import Response, request
from outbox.net.http import NotAllowedError
from outbox.testing.certificates import Authority, Certificate

Serve = Callable[[socket.socket], None]
GENEROUS = 30.0  # seconds; a busy machine must not end a test that needs no deadline


def allow_all(_address: str) -> bool:
    return True


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Serve each connection with `serve`, one after the other; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):  # some clients leave early
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def reply(source: bytes) -> tuple[Serve, list[bytes]]:
    """Return a server that sends `source`, and the list of the requests that it received."""
    received: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n"))
            length = re.search(rb"Content-Length: (\d+)", head)
            received.append(head + b"\r\n" + stream.read(int(length[1]) if length else 0))
        connection.sendall(source)

    return serve, received


def test_request_and_response() -> None:
    serve, received = reply(b"HTTP/1.1 200 Fine\r\nContent-Length: 10\r\n\r\n0123456789")
    with server(serve) as port:
        response = request(
            "POST",
            f"http://127.0.0.1:{port}/hook?a=b",
            seconds=GENEROUS,
            is_allowed=allow_all,
            headers={"X-Note": "x"},
            body=b"{}",
            body_max=4,
        )
    assert response == Response(200, "Fine", b"0123")
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{port}".encode() in head
    assert b"X-Note: x" in head
    assert body == b"{}"


def test_redirect_is_a_response() -> None:
    serve, received = reply(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n")
    with server(serve) as port:
        response = request(
            "GET", f"http://127.0.0.1:{port}/", seconds=GENEROUS, is_allowed=allow_all
        )
    assert response.status == 302
    assert len(received) == 1


def test_name_is_resolved_once_and_each_address_is_vetted() -> None:
    lookups: list[str] = []

    def resolve(host: str) -> list[str]:
        lookups.append(host)
        return ["127.0.0.2", "127.0.0.1"]

    serve, _ = reply(b"HTTP/1.1 204 No Content\r\n\r\n")
    with server(serve) as port:
        response = request(
            "GET",
            f"http://internal.example:{port}/",
            seconds=GENEROUS,
            is_allowed=lambda address: address == "127.0.0.1",
            resolve=resolve,
        )
    assert response.status == 204
    assert lookups == ["internal.example"]


def test_host_without_an_allowed_address_is_not_contacted() -> None:
    serve, received = reply(b"HTTP/1.1 204 No Content\r\n\r\n")
    with server(serve) as port, pytest.raises(NotAllowedError, match=r"localhost"):
        request(
            "GET", f"http://localhost:{port}/", seconds=GENEROUS, is_allowed=lambda _address: False
        )
    assert received == []


@pytest.mark.parametrize(("silent", "is_reached"), [(1, True), (2, True), (3, False)])
def test_next_address_is_tried_and_only_a_few(silent: int, is_reached: bool) -> None:
    addresses = [*(f"127.0.0.{number + 2}" for number in range(silent)), "127.0.0.1"]
    serve, received = reply(b"HTTP/1.1 204 No Content\r\n\r\n")
    with server(serve) as port, contextlib.suppress(ConnectionRefusedError):
        request(
            "GET",
            f"http://mail.example:{port}/",
            seconds=GENEROUS,
            is_allowed=allow_all,
            resolve=lambda _host: addresses,
        )
    assert bool(received) is is_reached


def drip(connection: socket.socket) -> None:
    """Send a byte from time to time, so that no single wait is long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.05)  # the drip itself


def silence(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.recv(65_536)


def half(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    connection.recv(65_536)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("serve", [drip, silence, half])
def test_deadline_covers_handshake_and_response(scheme: str, serve: Serve) -> None:
    began = time.monotonic()
    with server(serve) as port, pytest.raises((TimeoutError, ssl.SSLError)):
        request(
            "GET",
            f"{scheme}://127.0.0.1:{port}/",
            seconds=0.3,
            is_allowed=allow_all,
            body_max=100,
        )
    assert time.monotonic() - began < 15, "a drip alone would take 30 s"


def test_other_protocols_are_an_error() -> None:
    serve, _ = reply(b"220 mail.example ESMTP\r\n")
    with server(serve) as port, pytest.raises(HTTPException):
        request("GET", f"http://127.0.0.1:{port}/", seconds=GENEROUS, is_allowed=allow_all)


@pytest.mark.parametrize(
    ("certificate", "is_trusted"),
    [(Certificate.GOOD, True), (Certificate.EXPIRED, False), (Certificate.WRONG_NAME, False)],
)
def test_certificate_is_verified_for_the_name(
    tmp_path: Path, certificate: Certificate, is_trusted: bool
) -> None:
    authority = Authority(tmp_path)
    serve, _ = reply(b"HTTP/1.1 204 No Content\r\n\r\n")

    def secured(connection: socket.socket) -> None:
        context = authority.context(certificate)
        with context.wrap_socket(connection, server_side=True) as stream:
            serve(stream)

    with server(secured) as port:
        try:
            request(
                "GET",
                f"https://localhost:{port}/",
                seconds=GENEROUS,
                is_allowed=allow_all,
                resolve=lambda _host: ["127.0.0.1"],
                context=ssl.create_default_context(cafile=str(authority.ca_file)),
            )
        except ssl.SSLCertVerificationError:
            assert not is_trusted
        else:
            assert is_trusted
