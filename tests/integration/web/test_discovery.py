"""From an address to its server, against a real DNS server on loopback with made-up zones."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from pytest_django import Settings

from outbox.mail.addresses import parse_address
from outbox.net.providers import PROVIDERS, Login, by_exchanger, provider_of
from outbox.web.accounts import discovery
from outbox.web.accounts.discovery import suggest

Zone = dict[tuple[str, str], list[str]]


@contextmanager
def dns_server(zone: Zone, *, silent: bool = False) -> Iterator[dns.resolver.Resolver]:
    """Serve `zone` ((name, kind) → records) over UDP; yield a resolver that queries it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, sender = server.recvfrom(4096)
                if not data:
                    return
                if not silent:
                    server.sendto(_response_to(data, zone), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.getsockname()[1]
        try:
            yield resolver
        finally:
            server.sendto(b"", server.getsockname())  # an empty datagram ends the thread
            thread.join()


def _response_to(data: bytes, zone: Zone) -> bytes:
    query = dns.message.from_wire(data)
    question = query.question[0]
    kind = question.rdtype.name
    found = zone.get((str(question.name), kind))
    response = dns.message.make_response(query)
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif found:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
    return response.to_wire()


def test_a_known_provider_needs_no_lookup() -> None:
    found = suggest(parse_address("Anna <anna@GMail.com>"))
    assert found is not None
    assert (found.host, found.port, found.security) == ("smtp.gmail.com", 465, "tls")
    assert found.username == "anna@GMail.com"
    assert "app password" in found.hint


SUBMISSIONS = ("_submissions._tcp.example.com.", "SRV")
SUBMISSION = ("_submission._tcp.example.com.", "SRV")
MX = ("example.com.", "MX")

ZONES = [
    pytest.param(
        {SUBMISSIONS: ["0 1 465 mail.example.com."]},
        ("mail.example.com", 465, "tls"),
        id="TLS from the first byte",
    ),
    pytest.param(
        {SUBMISSION: ["0 1 587 mail.example.com."]},
        ("mail.example.com", 587, "starttls"),
        id="STARTTLS",
    ),
    pytest.param(
        {SUBMISSION: ["0 1 587 b.example.com."], SUBMISSIONS: ["9 1 465 a.example.com."]},
        ("a.example.com", 465, "tls"),
        id="TLS is preferred whatever the priority",
    ),
    pytest.param(
        {SUBMISSIONS: ["0 0 0 ."], SUBMISSION: ["0 1 587 mail.example.com."]},
        ("mail.example.com", 587, "starttls"),
        id="decidedly no TLS",
    ),
    pytest.param(
        {SUBMISSION: ["5 9 1 far.example.com.", "1 2 2 light.example.com.", "1 7 3 own.example."]},
        ("own.example", 3, "starttls"),
        id="lowest priority, then highest weight",
    ),
    pytest.param(
        {MX: ["10 mx.example.com.", "5 aspmx.l.google.com."]},
        ("smtp.gmail.com", 465, "tls"),
        id="a domain that lives at a known provider",
    ),
    pytest.param(
        {SUBMISSIONS: [], MX: ["5 example-com.mail.protection.outlook.com."]},
        ("smtp.office365.com", 587, "starttls"),
        id="the name exists, without such a record",
    ),
]


@pytest.mark.parametrize(("zone", "expected"), ZONES)
def test_a_domain_may_name_its_server_itself(zone: Zone, expected: tuple[str, int, str]) -> None:
    with dns_server(zone) as resolver:
        found = suggest(parse_address("anna@example.com"), resolver)
    assert found is not None
    assert (found.host, found.port, found.security) == expected
    assert found.username == "anna@example.com"


NOTHING = [
    pytest.param({}, "anna@example.com", id="no such names"),
    pytest.param(
        {MX: ["5 mx.example.com."]}, "anna@example.com", id="an MX of an unknown provider"
    ),
    pytest.param({MX: ["5 evilgoogle.com."]}, "anna@example.com", id="a look-alike"),
    pytest.param({SUBMISSION: ["0 0 0 ."]}, "anna@example.com", id="decidedly none"),
    pytest.param({}, "anna@[192.0.2.1]", id="an address without a domain"),
]


@pytest.mark.parametrize(("zone", "address"), NOTHING)
def test_nothing_is_guessed(zone: Zone, address: str) -> None:
    with dns_server(zone) as resolver:
        assert suggest(parse_address(address), resolver) is None


@pytest.fixture
def _public_hosts_only(settings: Settings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}


@pytest.mark.usefixtures("_public_hosts_only")
@pytest.mark.parametrize("rejected", ["0 1 10587 mail.example.com.", "0 1 587 db.internal."])
def test_a_server_that_the_form_rejects_is_not_suggested(rejected: str) -> None:
    with dns_server({SUBMISSION: [rejected]}) as resolver:
        assert suggest(parse_address("anna@example.com"), resolver) is None
    with dns_server({SUBMISSION: [rejected, "9 1 587 b.example.com."]}) as resolver:
        found = suggest(parse_address("anna@example.com"), resolver)
    assert found is not None
    assert (found.host, found.port) == ("b.example.com", 587)


@pytest.mark.usefixtures("_public_hosts_only")
def test_a_provider_is_suggested_only_if_its_port_is_allowed(settings: Settings) -> None:
    assert suggest(parse_address("anna@gmail.com")) is not None
    settings.OUTBOX = settings.OUTBOX | {"ACCOUNT_PORTS": ["587"]}
    assert suggest(parse_address("anna@gmail.com")) is None


def test_an_address_in_chinese_is_asked_for_in_a_labels() -> None:
    zone = {("_submissions._tcp.xn--fiqs8s.", "SRV"): ["0 1 465 mail.example.cn."]}
    with dns_server(zone) as resolver:
        found = suggest(parse_address("anna@中国"), resolver)
    assert found is not None
    assert found.host == "mail.example.cn"


def test_a_silent_dns_server_costs_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "TIMEOUT", 0.3)
    began = time.monotonic()
    with dns_server({}, silent=True) as resolver:
        assert suggest(parse_address("anna@example.com"), resolver) is None
    assert 0.2 < time.monotonic() - began < 10


@pytest.mark.parametrize("off", ["", "off", False])
def test_no_lookup_is_made_if_it_is_disabled(settings: Settings, off: object) -> None:
    settings.OUTBOX = settings.OUTBOX | {"AUTOCONFIG": off}
    with dns_server({SUBMISSIONS: ["0 1 465 mail.example.com."]}) as resolver:
        assert suggest(parse_address("anna@example.com"), resolver) is None
    assert suggest(parse_address("anna@gmail.com")) is not None


def test_a_host_without_dns_causes_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", none)
    assert suggest(parse_address("anna@example.com")) is None


def test_no_domain_is_listed_twice() -> None:
    domains = [domain for provider in PROVIDERS for domain in provider.domains]
    assert len(domains) == len(set(domains))
    assert all(provider.domains or provider.exchangers for provider in PROVIDERS)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.host)
def test_each_provider_is_found_by_each_of_its_names(provider: object) -> None:
    known = next(one for one in PROVIDERS if one is provider)
    assert all(provider_of(domain) is known for domain in known.domains)
    for pattern in known.exchangers:
        host = f"x{pattern}" if pattern.startswith(".") else pattern.replace("*", "1")
        assert by_exchanger(f"{host}.") is known
    assert known.login in Login


def test_slow_lookups_occupy_only_some_threads() -> None:
    """A lookup may take three seconds: a few at the same time would occupy all threads."""
    count = discovery.AT_ONCE + 4
    start = threading.Barrier(count)

    def seconds(number: int) -> float:
        start.wait(30)
        began = time.monotonic()
        suggest(parse_address(f"a@{number}.example.org"), resolver)
        return time.monotonic() - began

    with dns_server({}, silent=True) as resolver, ThreadPoolExecutor(count) as threads:
        took = list(threads.map(seconds, range(count)))
    assert sum(one > discovery.TIMEOUT / 2 for one in took) == discovery.AT_ONCE
