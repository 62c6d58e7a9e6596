"""Hostile requests to the real web server, as a proxy would pass them on, or without any proxy."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import Process, wait_until
from dev.run import serves
from dev.sockets import free_port

ROOT = Path(__file__).resolve().parents[2]
LOGIN = "POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def port(site_environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """A web server with the configuration of the site."""
    chosen = free_port()
    # With DEBUG, pages need no collected static files.
    environment = site_environment | {"PORT": str(chosen), "DEBUG": "on"}
    command = [sys.executable, "-m", "gunicorn", "mailsite.wsgi"]
    command += ["--config", "python:mailsite.gunicorn"]
    with (tmp_path / "web.log").open("wb") as output:
        server = Process(command, environment=environment, output=output, cwd=ROOT)
        try:
            url = f"http://127.0.0.1:{chosen}/healthz"
            wait_until(lambda: serves(url), within=60, what="the web server", process=server)
            yield chosen
        finally:
            server.stop(grace_for=5)


def responses(port: int, sent: str) -> list[int]:
    """Send these bytes and return the status of each response, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent.encode("latin-1"))
        received = b""
        while piece := client.recv(65_536):
            received += piece
    lines = received.decode("latin-1").split("\r\n")
    return [int(line.split()[1]) for line in lines if line.startswith("HTTP/1.")]


BODIES = {
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n": [411],
    "Transfer-Encoding: chunked\r\n\r\nffffffff\r\nhello": [411],
    "Content-Length: 400000000\r\n\r\nhello": [413],
    "Content-Length: -1\r\n\r\n": [400],
    "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello": [400],
    "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n": [400],
    "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n": [400],
    # A second request in the body is not read as one.
    f"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HEALTH}": [400],
    f"Transfer_Encoding: chunked\r\nContent-Length: {len(HEALTH)}\r\n\r\n{HEALTH}": [403],
}
FORGED = [
    "SCRIPT_NAME: /x",  # the path after it would not meet the rules of the proxy
    "PATH_INFO: /healthz",
]


@pytest.mark.system
def test_hostile_requests(port: int) -> None:
    """Bodies without an end and of a false length; headers that some proxies pass on.

    gunicorn trusts such headers from loopback by default.
    """
    sent = {LOGIN + body: status for body, status in BODIES.items()}
    for header in FORGED:
        request = f"GET /x/accounts/login/ HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
        sent[f"{request}Connection: close\r\n\r\n"] = [404]
    assert {request: responses(port, request) for request in sent} == sent
