"""TLS from the first byte and by STARTTLS, and each way it can fail."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from outbox.reasons import ReasonCode
from outbox.smtp import (
    Connection,
    Disposition,
    Envelope,
    FaultKind,
    Phase,
    Security,
    SmtpFault,
    Timeouts,
)
from tests.integration.smtp.certificates import Authority
from tests.integration.smtp.scripted_server import (
    EXTENSIONS,
    Drip,
    Raw,
    ScriptedServer,
    ServerAction,
)

SOURCE = b"Subject: hello\r\n\r\n.one\r\n"
ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))
BOTH = pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def permit() -> bool:
    return True


def tls_server(security: Security, context: ssl.SSLContext, **more: object) -> ScriptedServer:
    extensions = ("STARTTLS", *EXTENSIONS) if security is Security.STARTTLS else EXTENSIONS
    return ScriptedServer(
        extensions=extensions,
        tls=context,
        implicit_tls=security is Security.TLS,
        **more,  # type: ignore[arg-type]  # a test's own choice
    )


async def fault_of(
    scripted: ScriptedServer, security: Security, ca_file: Path, **more: object
) -> SmtpFault:
    async with scripted.serving():
        server = scripted.server(host="localhost", security=security, ca_file=str(ca_file), **more)
        with pytest.raises(SmtpFault) as caught:
            await Connection.open(server)
    assert not [command for command in scripted.commands if command.startswith(("MAIL", "AUTH"))]
    return caught.value


@BOTH
async def test_it_sends_messages_over_tls(security: Security, authority: Authority) -> None:
    """Protocol items 30 and 35: SNI is sent; version, cipher and certificate are known."""
    scripted = tls_server(security, authority.context("localhost"))
    async with scripted.serving():
        server = scripted.server(host="localhost", security=security, ca_file=str(authority.file))
        session = await Connection.open(server)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert scripted.messages == [SOURCE]
    assert scripted.sni == ["localhost"]
    tls = session.facts.tls
    assert tls is not None
    assert tls.version == "TLSv1.3"
    assert tls.cipher
    assert tls.subject == "commonName=localhost"
    assert tls.issuer == "commonName=Test Authority"
    assert tls.not_after
    assert tls.verified
    assert session.facts.phases_ms["tls"] > 0
    assert "TLSv1.3" in session.transcript.as_text()


@BOTH
async def test_it_sends_large_messages_over_tls(security: Security, authority: Authority) -> None:
    """Protocol items 64, 67 and 73, where TLS buffers in between."""
    source = b".line of a large message\r\n" * 200_000
    scripted = tls_server(security, authority.context("localhost"))
    async with scripted.serving():
        for chunking in (True, False):
            server = scripted.server(
                host="localhost",
                security=security,
                ca_file=str(authority.file),
                chunking=chunking,
                timeouts=Timeouts(block=5.0, dot=5.0, command=5.0),
            )
            session = await Connection.open(server)
            for _ in range(2):
                transaction = await session.send(ENVELOPE, source, permit)
                assert transaction.fault is None
            await session.quit()
    assert scripted.messages == [source] * 4


@BOTH
async def test_an_unread_body_over_tls_ends_in_time(
    security: Security, authority: Authority
) -> None:
    """Protocol item 67."""
    scripted = tls_server(
        security, authority.context("localhost"), reads_body=False, receive_buffer=65_536
    )
    async with scripted.serving():
        server = scripted.server(
            host="localhost",
            security=security,
            ca_file=str(authority.file),
            timeouts=Timeouts(block=0.3, quit=0.3),
        )
        session = await Connection.open(server)
        transaction = await session.send(ENVELOPE, b"x" * 12_000_000 + b"\r\n", permit)
        await session.quit()
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (Phase.BODY, FaultKind.TIMEOUT)
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED


async def test_it_sends_ehlo_again_within_tls(authority: Authority) -> None:
    """Protocol item 33."""
    scripted = ScriptedServer(
        extensions=("STARTTLS", "X-PLAIN"),
        extensions_in_tls=("X-SECURE",),
        tls=authority.context("localhost"),
    )
    async with scripted.serving():
        server = scripted.server(
            host="localhost", security=Security.STARTTLS, ca_file=str(authority.file)
        )
        session = await Connection.open(server)
        await session.quit()
    assert scripted.commands == ["EHLO client.test", "STARTTLS", "EHLO client.test", "QUIT"]
    assert session.facts.extensions == {"X-SECURE": ""}


@BOTH
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(
            lambda own, _: own.context("localhost", days=(-9, -1)),
            FaultKind.CERT_EXPIRED,
            id="expired",
        ),
        pytest.param(
            lambda own, _: own.context("localhost", days=(2, 9)),
            FaultKind.CERT_EXPIRED,
            id="not valid yet",
        ),
        pytest.param(
            lambda own, _: own.context("other.test"), FaultKind.CERT_NAME, id="another name"
        ),
        pytest.param(
            lambda _, foreign: foreign.context("localhost"),
            FaultKind.CERT_UNTRUSTED,
            id="unknown authority",
        ),
    ],
)
async def test_it_rejects_a_certificate_and_reports_why(
    security: Security,
    make: Callable[[Authority, Authority], ssl.SSLContext],
    kind: FaultKind,
    authority: Authority,
    tmp_path: Path,
) -> None:
    """Protocol items 31 and 34."""
    context = make(authority, Authority(tmp_path, "Foreign Authority"))
    fault = await fault_of(tls_server(security, context), security, authority.file)
    assert (fault.phase, fault.kind) == (Phase.TLS, kind)
    assert fault.reason.code == ReasonCode.CERTIFICATE_REJECTED


@BOTH
async def test_it_rejects_a_self_signed_certificate(
    security: Security, authority: Authority, tmp_path: Path
) -> None:
    """Protocol item 34: self-signed."""
    selfmade = Authority(tmp_path, "localhost")
    context = selfmade.context("localhost")
    fault = await fault_of(tls_server(security, context), security, authority.file)
    assert fault.kind is FaultKind.CERT_UNTRUSTED


async def test_it_matches_an_address_against_the_certificate(authority: Authority) -> None:
    """Protocol item 34: a host configured as an IP address."""
    scripted = tls_server(Security.TLS, authority.context("127.0.0.1"))
    async with scripted.serving():
        session = await Connection.open(
            scripted.server(security=Security.TLS, ca_file=str(authority.file))
        )
        await session.quit()
    fault = await fault_of_address(tls_server(Security.TLS, authority.context("x.test")), authority)
    assert fault.kind is FaultKind.CERT_NAME


async def fault_of_address(scripted: ScriptedServer, authority: Authority) -> SmtpFault:
    async with scripted.serving():
        with pytest.raises(SmtpFault) as caught:
            await Connection.open(
                scripted.server(security=Security.TLS, ca_file=str(authority.file))
            )
    return caught.value


@BOTH
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_it_rejects_old_tls(security: Security, authority: Authority) -> None:
    """Protocol item 35: TLS ≥ 1.2."""
    context = authority.context("localhost", newest=ssl.TLSVersion.TLSv1_1)
    fault = await fault_of(tls_server(security, context), security, authority.file)
    assert (fault.phase, fault.kind) == (Phase.TLS, FaultKind.TLS)


async def test_it_accepts_tls_1_2(authority: Authority) -> None:
    """Protocol item 35."""
    context = authority.context("localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    scripted = tls_server(Security.TLS, context)
    async with scripted.serving():
        session = await Connection.open(
            scripted.server(host="localhost", security=Security.TLS, ca_file=str(authority.file))
        )
        await session.quit()
    assert session.facts.tls is not None
    assert session.facts.tls.version == "TLSv1.2"


async def test_it_reports_a_port_without_tls(authority: Authority) -> None:
    scripted = ScriptedServer()
    fault = await fault_of(scripted, Security.TLS, authority.file)
    assert (fault.phase, fault.kind) == (Phase.TLS, FaultKind.TLS)
    assert fault.reason.code == ReasonCode.TLS_NOT_SPOKEN


@pytest.mark.parametrize(
    "said",
    [
        b"220 go ahead\r\n250 far.test\r\n",
        b"220 go ahead\r\n250-far.test\r\n250-AUTH PLAIN\r\n",
        b"220 go ahead\r\n\x16\x03",
    ],
)
async def test_it_rejects_bytes_injected_after_starttls(said: bytes, authority: Authority) -> None:
    """Protocol item 32."""
    scripted = tls_server(
        Security.STARTTLS, authority.context("localhost"), replies={"STARTTLS": Raw(said)}
    )
    fault = await fault_of(scripted, Security.STARTTLS, authority.file)
    assert (fault.phase, fault.kind) == (Phase.STARTTLS, FaultKind.INJECTION)


@pytest.mark.parametrize(
    ("after_starttls", "kinds"),
    [
        (Raw(b"220 go ahead\r\n", ServerAction.CLOSE), {FaultKind.TLS, FaultKind.CLOSED}),
        (Raw(b"220 go ahead\r\n", ServerAction.SILENCE), {FaultKind.TIMEOUT}),
    ],
    ids=["closes", "falls silent"],
)
async def test_it_ends_when_the_handshake_fails(
    after_starttls: Raw, kinds: set[FaultKind], authority: Authority
) -> None:
    """Protocol item 31."""
    scripted = tls_server(
        Security.STARTTLS, authority.context("localhost"), replies={"STARTTLS": after_starttls}
    )
    fault = await fault_of(
        scripted, Security.STARTTLS, authority.file, timeouts=Timeouts(tls=0.3, command=2.0)
    )
    assert fault.kind in kinds
    assert fault.phase in {Phase.TLS, Phase.STARTTLS}


async def test_it_ends_when_the_handshake_drips(authority: Authority) -> None:
    """Protocol items 31 and 88."""
    server_hello = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(100)
    scripted = ScriptedServer(replies={"GREETING": Drip(server_hello, 0.05)})
    fault = await fault_of(scripted, Security.TLS, authority.file, timeouts=Timeouts(tls=0.3))
    assert (fault.phase, fault.kind) == (Phase.TLS, FaultKind.TIMEOUT)


@BOTH
async def test_it_accepts_a_server_that_closes_at_quit(
    security: Security, authority: Authority
) -> None:
    """Protocol item 39: a missing close_notify after our QUIT is not an error."""
    scripted = tls_server(
        security, authority.context("localhost"), replies={"QUIT": ServerAction.RESET}
    )
    async with scripted.serving():
        server = scripted.server(host="localhost", security=security, ca_file=str(authority.file))
        session = await Connection.open(server)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert transaction.fault is None


async def test_it_logs_in_only_within_tls(authority: Authority) -> None:
    """Protocol items 40, 41 and 45."""
    scripted = ScriptedServer(
        extensions=("STARTTLS",),
        extensions_in_tls=("AUTH PLAIN",),
        tls=authority.context("localhost"),
    )
    async with scripted.serving():
        session = await Connection.open(
            scripted.server(
                host="localhost",
                security=Security.STARTTLS,
                ca_file=str(authority.file),
                username="ann",
                secret="s3cret-word",
            )
        )
        await session.quit()
    assert session.facts.auth_mechanism == "PLAIN"
    assert scripted.commands[3] == "AUTH PLAIN AGFubgBzM2NyZXQtd29yZA=="
    shown = session.transcript.as_text() + repr(session.transcript.dump()) + repr(session.facts)
    assert "AUTH PLAIN ***" in shown
    assert "s3cret" not in shown
    assert "AGFubgBz" not in shown


@BOTH
@pytest.mark.parametrize("chunking", [True, False])
async def test_it_stops_writing_a_body_when_the_connection_is_lost(
    security: Security, authority: Authority, chunking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio warns in the worker's log of each write to a lost connection."""
    scripted = tls_server(security, authority.context("localhost"))
    scripted.closes_after_body_bytes = 300_000
    async with scripted.serving():
        server = scripted.server(
            host="localhost",
            security=security,
            ca_file=str(authority.file),
            chunking=chunking,
        )
        session = await Connection.open(server)
        transaction = await session.send(ENVELOPE, b"x" * 20_000_000 + b"\r\n", permit)
    assert transaction.fault is not None
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
