"""Server settings that a domain publishes over HTTPS, from a real server on loopback."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from outbox.mail.addresses import parse_address
from outbox.models import Security
from outbox.testing.certificates import Authority, Certificate
from outbox.web.accounts import discovery
from outbox.web.accounts.autoconfig import ServerSettings, fetch
from tests.integration.web.test_discovery import dns_server

ANNA = parse_address("anna@localhost")
PLAN = """<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="example.com"><!-- ours -->
  <incomingServer type="imap"><hostname>imap.example.com</hostname><port>993</port></incomingServer>
  <outgoingServer type="smtp"><hostname>plain.example.com</hostname><port>25</port>
    <socketType>plain</socketType></outgoingServer>
  <outgoingServer type="smtp"><hostname>{host}</hostname><port>{port}</port>
    <socketType>{security}</socketType><username>{username}</username></outgoingServer>
</emailProvider></clientConfig>"""


def plan(
    host: str = "mail.example.com",
    port: str = "465",
    security: str = "SSL",
    username: str = "%EMAILADDRESS%",
) -> str:
    return PLAN.format(host=host, port=port, security=security, username=username)


def response(body: str, status: str = "200 OK") -> list[bytes]:
    return [f"HTTP/1.0 {status}\r\nContent-Type: text/xml\r\n\r\n{body}".encode()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trusted(settings: Settings, authority: Authority) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": str(authority.ca_file)}


@contextmanager
def site(
    authority: Authority,
    pieces: list[bytes],
    certificate: Certificate = Certificate.GOOD,
    pause: float = 0,
) -> Iterator[tuple[int, list[str]]]:
    """Send the pieces in response to every request. Yield the port and the list of requests."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as secured:
                        asked.append(secured.recv(4096).decode())
                        for piece in pieces:
                            secured.sendall(piece)
                            time.sleep(pause)
                except (OSError, ssl.SSLError):
                    pass  # the client had enough

        context = authority.context(certificate)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(port: int, *, seconds: float = 5) -> ServerSettings | None:
    def addresses_of(host: str) -> list[str]:
        return ["127.0.0.1"] if host == "localhost" else []  # no server at autoconfig.localhost

    return fetch(ANNA, "localhost", addresses_of, seconds=seconds, port=port)


def test_a_published_server_is_read(authority: Authority) -> None:
    with site(authority, response(plan())) as (port, asked):
        assert ask(port) == ServerSettings("mail.example.com", 465, Security.TLS, "anna@localhost")
    assert asked[0].startswith("GET /.well-known/autoconfig/mail/config-v1.1.xml HTTP/1.1\r\n")
    assert f"Host: localhost:{port}\r\n" in asked[0]
    assert "anna" not in asked[0]


@pytest.mark.parametrize(
    ("pattern", "username"),
    [
        ("%EMAILLOCALPART%", "anna"),
        ("%EMAILLOCALPART%.%EMAILDOMAIN%", "anna.localhost"),
        ("", "anna@localhost"),
    ],
)
def test_the_user_name_is_made_of_the_address(
    authority: Authority, pattern: str, username: str
) -> None:
    with site(authority, response(plan(username=pattern, security="STARTTLS"))) as (port, _):
        offer = ask(port)
    assert offer is not None
    assert (offer.username, offer.security) == (username, "starttls")


BOMB = '<!DOCTYPE a [<!ENTITY b "' + "x" * 1000 + '"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
USELESS = [
    pytest.param(response(plan(security="plain")), id="no security"),
    pytest.param(response(plan(port="smtp")), id="no port"),
    pytest.param(response(plan(port="9" * 5_000)), id="a port of 5,000 digits"),
    pytest.param(response(plan(port="70000")), id="a port above the highest"),
    pytest.param(response(plan(port="-25")), id="a negative port"),
    pytest.param(response(plan(port="0")), id="the port zero"),
    pytest.param(response(plan(username="a" * 256)), id="a long username"),
    pytest.param(response(plan(port="\u0662\u0665")), id="a port in other digits"),
    pytest.param(response(plan(host="not a host")), id="no host"),
    pytest.param(response(plan(), status="404 Not Found"), id="not found"),
    pytest.param(response(plan(), status="302 Found"), id="a redirect"),
    pytest.param(response("<html>Hello"), id="a page"),
    pytest.param(response(BOMB), id="a document type"),
    pytest.param(response(plan().replace("<!--", "<!doctype -->")), id="a document type within"),
    pytest.param([response("")[0] + BOMB.encode("utf-16")], id="hidden by its encoding"),
    pytest.param([b"220 mail.example.com ESMTP\r\n"], id="no web server"),
    pytest.param([b""], id="nothing"),
    pytest.param([b"x" * 100_000] * 30, id="an endless response"),
]


@pytest.mark.parametrize("pieces", USELESS)
def test_what_cannot_be_used_is_nothing(authority: Authority, pieces: list[bytes]) -> None:
    with site(authority, pieces) as (port, _):
        assert ask(port) is None


@pytest.mark.parametrize(
    "certificate", [Certificate.EXPIRED, Certificate.WRONG_NAME, Certificate.UNTRUSTED]
)
def test_a_site_that_proves_nothing_is_not_believed(
    authority: Authority, certificate: Certificate
) -> None:
    with site(authority, response(plan()), certificate) as (port, asked):
        assert ask(port) is None
    assert asked == []


def test_a_slow_drip_costs_its_time_and_no_more(authority: Authority) -> None:
    began = time.monotonic()
    with site(authority, [b"H"] * 40, pause=0.05) as (port, _):
        assert ask(port, seconds=0.4) is None
    assert time.monotonic() - began < 10


def test_nothing_within_a_private_network_is_asked(
    authority: Authority, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    with site(authority, response(plan())) as (port, asked):
        assert ask(port) is None
    assert asked == []


def test_a_closed_port_is_nothing(authority: Authority, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert ask(port) is None


@pytest.mark.parametrize(("ways", "found"), [("dns https", True), ("https", True), ("dns", False)])
def test_it_is_asked_where_the_settings_say_so(
    authority: Authority,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    ways: str,
    found: bool,
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"AUTOCONFIG": ways}
    zone = {("localhost.", "A"): ["127.0.0.1"]}
    with dns_server(zone) as resolver, site(authority, response(plan())) as (port, asked):
        monkeypatch.setattr(discovery, "HTTPS_PORT", port)
        suggestion = discovery.suggest(ANNA, resolver)
    assert (suggestion is not None) is found
    assert bool(asked) is found
