"""The levels of TLS for delivery by MX: opportunistic, verify (MTA-STS), DANE, and REQUIRETLS.

No account has these levels yet.
"""

import hashlib
import ssl
import threading
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
    PlainText,
    Security,
    SmtpFault,
    Timeouts,
    Tlsa,
    TlsLevel,
)
from tests.integration.smtp.certificates import Authority
from tests.integration.smtp.scripted_server import EXTENSIONS, Raw, ScriptedServer, ServerAction

SOURCE = b"Subject: hello\r\n\r\nhi\r\n"
ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))
OFFERED = ("STARTTLS", *EXTENSIONS)
GO_AHEAD = b"220 go ahead\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def permit() -> bool:
    return True


async def session_with(scripted: ScriptedServer, **more: object) -> Connection:
    """Open a session and send a message through it."""
    async with scripted.serving():
        session = await Connection.open(scripted.server(host="localhost", **more))
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert scripted.messages == [SOURCE]
    return session


async def fault_of(scripted: ScriptedServer, **more: object) -> SmtpFault:
    async with scripted.serving():
        with pytest.raises(SmtpFault) as caught:
            await Connection.open(scripted.server(host="localhost", **more))
    assert not [command for command in scripted.commands if command.startswith("MAIL")]
    return caught.value


def offering(context: ssl.SSLContext, **more: object) -> ScriptedServer:
    return ScriptedServer(extensions=OFFERED, tls=context, **more)  # type: ignore[arg-type]


async def test_opportunistic_tls_records_a_valid_certificate(authority: Authority) -> None:
    session = await session_with(
        offering(authority.context("localhost")),
        security=Security.OPPORTUNISTIC,
        ca_file=str(authority.file),
    )
    facts = session.facts
    assert (facts.tls_requested, facts.tls_achieved) == ("opportunistic", TlsLevel.VERIFIED)
    assert not facts.tls_why
    assert facts.tls is not None
    assert facts.tls.verified
    assert facts.tls.subject == "CN=localhost"
    assert facts.tls.not_after.endswith("GMT")
    names = [one.name for one in threading.enumerate()]
    assert any(name.startswith("outbox-certificates") for name in names)  # not the event loop


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda own, _: own.context("localhost", days=(-9, -1)), id="expired"),
        pytest.param(lambda own, _: own.context("other.test"), id="another name"),
        pytest.param(lambda _, foreign: foreign.context("localhost"), id="unknown authority"),
    ],
)
async def test_opportunistic_tls_accepts_any_certificate_and_records_why(
    make: Callable[[Authority, Authority], ssl.SSLContext], authority: Authority, tmp_path: Path
) -> None:
    context = make(authority, Authority(tmp_path, "Foreign Authority"))
    session = await session_with(
        offering(context), security=Security.OPPORTUNISTIC, ca_file=str(authority.file)
    )
    assert session.facts.tls_achieved is TlsLevel.ENCRYPTED
    assert session.facts.tls_why.code == ReasonCode.CERTIFICATE_REJECTED
    assert session.facts.tls is not None
    assert not session.facts.tls.verified


async def test_opportunistic_tls_sends_in_plain_text_where_none_is_offered() -> None:
    session = await session_with(ScriptedServer(), security=Security.OPPORTUNISTIC)
    assert session.facts.tls_achieved is TlsLevel.NONE
    assert session.facts.tls_why.code == ReasonCode.STARTTLS_NOT_OFFERED


async def test_opportunistic_tls_may_be_required() -> None:
    fault = await fault_of(
        ScriptedServer(), security=Security.OPPORTUNISTIC, plain_text=PlainText.NEVER
    )
    assert fault.kind is FaultKind.NO_STARTTLS


FAILURES = {
    "rejected": ("454 4.7.0 TLS not available", 1),
    "closes": (Raw(GO_AHEAD, ServerAction.CLOSE), 2),
    "resets": (Raw(GO_AHEAD, ServerAction.RESET), 2),
    "silent": (Raw(GO_AHEAD, ServerAction.SILENCE), 2),
    "silent before": (ServerAction.SILENCE, 2),
}


@pytest.mark.parametrize(("reply", "connections"), FAILURES.values(), ids=FAILURES)
async def test_a_failed_handshake_is_followed_by_plain_text_only_if_allowed(
    reply: str | Raw | ServerAction, connections: int, authority: Authority
) -> None:
    """Protocol item 38."""
    context = authority.context("localhost")
    is_silent_before = reply is ServerAction.SILENCE
    timeouts = Timeouts(tls=0.3, command=1.0) if is_silent_before else Timeouts(tls=0.3)
    scripted = offering(context, replies={"STARTTLS": reply})
    session = await session_with(
        scripted,
        security=Security.OPPORTUNISTIC,
        plain_text=PlainText.AFTER_FAILURE,
        timeouts=timeouts,
    )
    assert scripted.connections == connections
    assert session.facts.tls is None
    assert session.facts.tls_achieved is TlsLevel.NONE
    assert session.facts.tls_why
    assert session.server.security is Security.OPPORTUNISTIC
    for policy in (PlainText.NEVER, PlainText.IF_NOT_OFFERED):
        scripted = offering(context, replies={"STARTTLS": reply})
        await fault_of(
            scripted, security=Security.OPPORTUNISTIC, plain_text=policy, timeouts=timeouts
        )


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_fault_of_this_host_is_never_followed_by_plain_text(
    content: str | None, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    scripted = offering(authority.context("localhost"))
    fault = await fault_of(
        scripted,
        security=Security.OPPORTUNISTIC,
        plain_text=PlainText.AFTER_FAILURE,
        ca_file=str(file),
    )
    assert (fault.phase, fault.kind) == (Phase.TLS, FaultKind.LOCAL)
    assert scripted.connections == 1


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_a_server_with_old_tls_only_is_a_failed_handshake(authority: Authority) -> None:
    context = authority.context("localhost", newest=ssl.TLSVersion.TLSv1_1)
    session = await session_with(
        offering(context), security=Security.OPPORTUNISTIC, plain_text=PlainText.AFTER_FAILURE
    )
    assert session.facts.tls_achieved is TlsLevel.NONE
    assert session.facts.tried[0][1] == session.facts.tls_why


async def test_injected_bytes_are_never_followed_by_plain_text(authority: Authority) -> None:
    """Protocol item 32."""
    scripted = offering(
        authority.context("localhost"), replies={"STARTTLS": Raw(GO_AHEAD + b"250 far.test\r\n")}
    )
    fault = await fault_of(
        scripted, security=Security.OPPORTUNISTIC, plain_text=PlainText.AFTER_FAILURE
    )
    assert fault.kind is FaultKind.INJECTION
    assert scripted.connections == 1


async def test_verify_accepts_a_certificate_for_the_host(authority: Authority) -> None:
    session = await session_with(
        offering(authority.context("*.policy.test", "localhost")),
        security=Security.VERIFY,
        ca_file=str(authority.file),
    )
    assert session.facts.tls_achieved is TlsLevel.VERIFIED


@pytest.mark.parametrize(
    ("make", "names", "kind"),
    [
        pytest.param(
            lambda own, _: own.context("example.test", "*.policy.test"),
            ("example.test", "mx.policy.test"),
            FaultKind.CERT_NAME,
            id="for the domain and not for its server",
        ),
        (lambda own, _: own.context("127.0.0.1"), (), FaultKind.CERT_NAME),
        (
            lambda own, _: own.context("localhost", days=(-9, -1)),
            (),
            FaultKind.CERT_EXPIRED,
        ),
        (
            lambda _, foreign: foreign.context("localhost"),
            (),
            FaultKind.CERT_UNTRUSTED,
        ),
    ],
)
async def test_verify_rejects_other_certificates(
    make: Callable[[Authority, Authority], ssl.SSLContext],
    names: tuple[str, ...],
    kind: FaultKind,
    authority: Authority,
    tmp_path: Path,
) -> None:
    """Protocol item 122."""
    context = make(authority, Authority(tmp_path, "Foreign Authority"))
    fault = await fault_of(
        offering(context),
        security=Security.VERIFY,
        tls_names=names,
        ca_file=str(authority.file),
        plain_text=PlainText.AFTER_FAILURE,
    )
    assert (fault.phase, fault.kind) == (Phase.TLS, kind)


def own_certificate(authority: Authority, name: str) -> tuple[ssl.SSLContext, bytes]:
    context = authority.context(name)
    text = (authority.directory / f"{name}-30.pem").read_text()
    return context, ssl.PEM_cert_to_DER_cert(text.partition("-----BEGIN PRIVATE")[0])


async def test_dane_needs_no_authority_and_no_name(authority: Authority) -> None:
    context, own = own_certificate(authority, "other.test")
    session = await session_with(
        offering(context),
        security=Security.DANE,
        tlsa=(Tlsa(3, 0, 1, hashlib.sha256(own).digest()),),
    )
    assert session.facts.tls_achieved is TlsLevel.DANE
    assert session.facts.tls is not None
    assert session.facts.tls.verified


async def test_dane_accepts_an_authority_of_the_record(authority: Authority) -> None:
    root = ssl.PEM_cert_to_DER_cert(authority.file.read_text())
    context, _ = own_certificate(authority, "localhost")
    session = await session_with(
        offering(context), security=Security.DANE, tlsa=(Tlsa(2, 0, 0, root),)
    )
    assert session.facts.tls_achieved is TlsLevel.DANE


async def test_dane_rejects_another_certificate(authority: Authority) -> None:
    """Also if a trusted authority signed it."""
    fault = await fault_of(
        offering(authority.context("localhost")),
        security=Security.DANE,
        tlsa=(Tlsa(3, 1, 1, bytes(32)),),
        ca_file=str(authority.file),
    )
    assert (fault.phase, fault.kind) == (Phase.TLS, FaultKind.CERT_UNTRUSTED)
    assert fault.reason.code == ReasonCode.DANE_MISMATCH


async def test_dane_without_a_usable_record_still_requires_tls(authority: Authority) -> None:
    unusable = (Tlsa(1, 1, 1, bytes(32)),)
    session = await session_with(
        offering(authority.context("localhost")), security=Security.DANE, tlsa=unusable
    )
    assert session.facts.tls_achieved is TlsLevel.ENCRYPTED
    assert session.facts.tls_why.code == ReasonCode.DANE_UNUSABLE
    fault = await fault_of(ScriptedServer(), security=Security.DANE, tlsa=unusable)
    assert fault.kind is FaultKind.NO_STARTTLS


@pytest.mark.parametrize("security", [Security.OPPORTUNISTIC, Security.VERIFY, Security.DANE])
def test_no_login_at_a_server_that_is_not_known_beforehand(security: Security) -> None:
    """Protocol item 38."""
    with pytest.raises(ValueError, match="allows no login"):
        ScriptedServer().server(security=security, username="ann", secret="x")


async def test_required_levels_of_accounts_say_what_was_achieved(authority: Authority) -> None:
    session = await session_with(
        offering(authority.context("localhost")),
        security=Security.STARTTLS,
        ca_file=str(authority.file),
    )
    assert session.facts.tls_requested == "starttls"
    assert session.facts.tls_achieved is TlsLevel.VERIFIED


REQUIRING = Envelope(sender="a@x.test", recipients=("b@y.test",), requires_tls=True)


async def required_at(scripted: ScriptedServer, **more: object) -> str:
    """Send a message with REQUIRETLS; return why it was rejected here, or the MAIL command."""
    async with scripted.serving():
        session = await Connection.open(scripted.server(host="localhost", **more))
        transaction = await session.send(REQUIRING, SOURCE, permit)
        await session.quit()
    begun = [command for command in scripted.commands if command.startswith("MAIL")]
    outcome = transaction.recipients[0]
    if begun:
        assert outcome.disposition is Disposition.ACCEPTED
        return begun[0]
    assert outcome.disposition is Disposition.PERMANENT
    assert not scripted.messages
    return outcome.reason.code


async def test_requiretls_is_passed_on_over_verified_tls(authority: Authority) -> None:
    """Protocol item 125."""
    context = authority.context("localhost")
    scripted = ScriptedServer(extensions=(*OFFERED, "REQUIRETLS"), tls=context)
    mail = await required_at(scripted, security=Security.VERIFY, ca_file=str(authority.file))
    assert " REQUIRETLS" in mail


@pytest.mark.parametrize(
    ("extensions", "more", "code"),
    [
        pytest.param(OFFERED, {}, "requiretls_not_offered", id="not offered"),
        pytest.param(
            (*OFFERED, "REQUIRETLS"),
            {"security": Security.OPPORTUNISTIC, "ca_file": None},
            "requiretls_unverified",
            id="certificate not verified",
        ),
        pytest.param(
            (*OFFERED, "REQUIRETLS"),
            {"is_host_proven": False},
            "requiretls_unverified",
            id="MX records not proven",
        ),
        pytest.param(
            ("REQUIRETLS",),
            {"security": Security.OPPORTUNISTIC},
            "requiretls_unverified",
            id="no TLS",
        ),
    ],
)
async def test_without_proof_a_message_that_requires_tls_is_not_sent(
    authority: Authority, extensions: tuple[str, ...], more: dict[str, object], code: str
) -> None:
    """Protocol item 125."""
    scripted = ScriptedServer(extensions=extensions, tls=authority.context("localhost"))
    values = {"security": Security.VERIFY, "ca_file": str(authority.file), **more}
    assert await required_at(scripted, **values) == code


async def test_dane_asks_for_the_name_of_the_records(authority: Authority) -> None:
    """RFC 7672 8.1."""
    context, own = own_certificate(authority, "base.test")
    scripted = offering(context)
    await session_with(
        scripted,
        security=Security.DANE,
        tls_names=("base.test", "localhost"),
        tlsa=(Tlsa(3, 0, 1, hashlib.sha256(own).digest()),),
    )
    assert scripted.sni == ["base.test"]
