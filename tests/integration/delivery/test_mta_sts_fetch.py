"""MTA-STS policies that an engine reads itself: DNS, a web server with TLS, and mail servers."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings

from outbox.db.clock import database_now
from outbox.delivery import engine, runners
from outbox.delivery.sts_policies import write
from outbox.models import Destination, MtaStsPolicy, TlsCount
from outbox.net.mta_sts import KnownPolicy, Mode, Policy, fetch_policy
from tests.integration.delivery.direct_lab import DirectLab, direct_account, direct_lab
from tests.integration.delivery.mail_client import deliver, last_attempt, queue, row, states
from tests.integration.net.test_http import reply, server
from tests.integration.smtp.certificates import Authority

pytestmark = pytest.mark.django_db(transaction=True)

DOMAIN = "example.net"
WEB = f"mta-sts.{DOMAIN}"
MX = "mail.localhost"  # the certificates of the lab are for this name
POLICY = f"version: STSv1\nmode: enforce\nmx: {MX}\nmax_age: 86400\n".encode()
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(POLICY)
) + POLICY


@pytest.fixture
def lab(settings: LazySettings) -> Iterator[DirectLab]:
    with direct_lab(settings) as started:
        yield started


@contextmanager
def web_server(
    lab: DirectLab,
    monkeypatch: pytest.MonkeyPatch,
    context: ssl.SSLContext,
    may_respond: threading.Event | None = None,
) -> Iterator[list[bytes]]:
    """Serve the policy of the domain over HTTPS; yield the requests. The DNS names the server.

    Each response waits for `may_respond`.
    """
    serve, received = reply(RESPONSE)

    def serve_tls(connection: socket.socket) -> None:
        if may_respond is not None:
            may_respond.wait(60)
        with context.wrap_socket(connection, server_side=True) as secured:
            serve(secured)

    with server(serve_tls) as port:
        defaults = fetch_policy.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "port", port)  # 443 needs root
        lab.record(f"{WEB} A 127.0.0.1", f'_mta-sts.{DOMAIN} TXT "v=STSv1; id=1;"')
        yield received


@pytest.mark.parametrize(
    ("certificate", "web_name", "expected"),
    [
        pytest.param("good", WEB, ("sent", "verify", "verified"), id="fits"),
        pytest.param("wrong-name", WEB, ("deferred", "verify", "none"), id="mail server's differs"),
        # A policy that cannot be read requires nothing (RFC 8461 3.3).
        pytest.param(
            "wrong-name",
            "www.example.net",
            ("sent", "opportunistic", "encrypted"),
            id="web server's differs",
        ),
    ],
)
@pytest.mark.every_case
def test_a_policy_is_read_and_enforced_in_one_run(
    lab: DirectLab,
    settings: LazySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    web_name: str,
    expected: tuple[str, str, str],
) -> None:
    """Protocol items 121 and 122."""
    mail_server = lab.server(MX, f"offer STARTTLS\ncertificate {certificate}\n")
    lab.domain(DOMAIN, f"10 {MX}")
    authority = Authority(tmp_path)
    trusted = tmp_path / "authorities.pem"
    trusted.write_text(Path(mail_server.ca_file).read_text() + authority.file.read_text())
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": str(trusted)}

    with web_server(lab, monkeypatch, authority.context(web_name)) as requests:
        message = queue(direct_account())
        deliver()

    state, requested, achieved = expected
    assert states(message) == [state]
    assert len(mail_server.ledger.accepted) == (1 if state == "sent" else 0)
    session = last_attempt(message).session
    assert session is not None
    assert (session.tls_requested, session.tls_achieved) == (requested, achieved)
    assert session.tls_policy.code == ("tls_by_sts" if requested == "verify" else "")
    if state != "sent":
        assert row(message).reason.code == "certificate_names"
        assert row(message).attempts == 1
        assert not Destination.objects.filter(circuit_faults__gt=0).exists()
    if requested == "verify":
        [request] = requests
        assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
        stored = MtaStsPolicy.objects.get(domain=DOMAIN)
        assert (stored.policy_id, stored.mode, stored.mx) == ("1", "enforce", [MX])
        result = "" if state == "sent" else "certificate-host-mismatch"
        assert TlsCount.objects.filter(domain=DOMAIN, policy_type="sts", result=result).exists()
    else:
        assert not requests
        assert not MtaStsPolicy.objects.exists()


@pytest.fixture
def known(lab: DirectLab, settings: LazySettings, tmp_path: Path) -> Authority:
    """Store a policy that fits the server and was replaced since; return the web server's CA."""
    mail_server = lab.server(MX, "offer STARTTLS\n")
    lab.domain(DOMAIN, f"10 {MX}")
    authority = Authority(tmp_path)
    trusted = tmp_path / "authorities.pem"
    trusted.write_text(Path(mail_server.ca_file).read_text() + authority.file.read_text())
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": str(trusted)}
    read_at = database_now("default").timestamp() - 3_600
    former = Policy(Mode.TESTING, (MX,), 86_400)
    write(DOMAIN, KnownPolicy("0", former, read_at), "default")
    return authority


def test_a_drain_waits_for_a_policy_that_is_read_again(
    lab: DirectLab, known: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message did not wait for it, and another engine that is as short would not read it."""
    monkeypatch.setattr(engine, "_REFRESH_SECONDS", 60.0)
    may_respond = threading.Event()
    finish = runners.Runners.finish

    async def finish_then_respond(self: runners.Runners, seconds: float) -> None:
        may_respond.set()
        await finish(self, seconds)

    monkeypatch.setattr(runners.Runners, "finish", finish_then_respond)

    with web_server(lab, monkeypatch, known.context(WEB), may_respond):
        message = queue(direct_account())
        deliver()
        may_respond.set()

    assert states(message) == ["sent"]
    stored = MtaStsPolicy.objects.get(domain=DOMAIN)
    assert (stored.policy_id, stored.mode) == ("1", "enforce")


def test_a_drain_waits_for_no_web_server_that_does_not_respond(
    lab: DirectLab, known: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_REFRESH_SECONDS", 0.1)
    may_respond = threading.Event()

    with web_server(lab, monkeypatch, known.context(WEB), may_respond) as requests:
        message = queue(direct_account())
        deliver()
        was_silent = not requests
        may_respond.set()

    assert was_silent
    assert states(message) == ["sent"]
    assert MtaStsPolicy.objects.get(domain=DOMAIN).policy_id == "0"
