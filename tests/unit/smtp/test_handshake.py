"""From the greeting to a ready session, as transcripts."""

import base64
from dataclasses import replace

import pytest

from outbox.smtp import FaultKind, Phase, Security, Server, SessionFacts, SmtpFault, TlsFacts
from outbox.smtp.handshake import Handshake
from outbox.smtp.protocol import Protocol
from tests.unit.smtp.script_runner import Transcript

PLAIN = Server(host="far.test", port=25, security=Security.NONE)
STARTTLS = replace(PLAIN, security=Security.STARTTLS)
LOGIN = replace(PLAIN, username="ann", secret="s3cret-word", allow_plaintext_auth=True)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def play(server: Server, transcript: str, *, tls: bool = False) -> SessionFacts:
    """Open a session by the transcript, greeting included."""
    facts = SessionFacts(server.host, server.port)
    facts.tls = TlsFacts("TLSv1.3", "", "", "", "", verified=True) if tls else None
    protocol = Protocol()
    handshake = Handshake(protocol, server, facts, "client.test")
    head, _, rest = transcript.strip().partition("C: ")
    Transcript(protocol, head).play(handshake.greeting())
    Transcript(protocol, f"C: {rest}").play(handshake.session_setup())
    return facts


def fail(server: Server, transcript: str, *, tls: bool = False) -> SmtpFault:
    with pytest.raises(SmtpFault) as caught:
        play(server, transcript, tls=tls)
    return caught.value


def test_it_sends_ehlo_and_reads_the_extensions() -> None:
    """Protocol item 24."""
    facts = play(
        PLAIN,
        """
        S: 220 far.test ESMTP
        C: EHLO client.test
        S: 250-far.test
        S: 250-PIPELINING
        S: 250 SIZE 1000
        """,
    )
    assert facts.greeting == "far.test ESMTP"
    assert facts.extensions == {"PIPELINING": "", "SIZE": "1000"}


def test_it_reads_a_greeting_of_many_lines() -> None:
    """Protocol item 21."""
    facts = play(
        PLAIN,
        """
        S: 220-far.test ESMTP
        S: 220-no unsolicited mail
        S: 220 thank you
        C: EHLO client.test
        S: 250 far.test
        """,
    )
    assert facts.greeting == "far.test ESMTP\nno unsolicited mail\nthank you"


@pytest.mark.parametrize("code", ["500", "502", "504"])
def test_it_sends_helo_where_ehlo_is_unknown(code: str) -> None:
    """Protocol item 24: and assumes no extension."""
    facts = play(
        PLAIN,
        f"""
        S: 220 far.test
        C: EHLO client.test
        S: {code} what
        C: HELO client.test
        S: 250 far.test
        """,
    )
    assert facts.extensions == {}


@pytest.mark.parametrize("reply", ["550 no", "501 5.5.4 bad name", "554 what", "503 wait"])
def test_it_sends_helo_after_other_rejections_if_no_extension_is_needed(reply: str) -> None:
    """Protocol item 24: old servers reject EHLO by any code."""
    dialogue = f"S: 220 far.test\nC: EHLO client.test\nS: {reply}\n"
    assert play(PLAIN, f"{dialogue}C: HELO client.test\nS: 250 far.test").extensions == {}
    fault = fail(PLAIN, f"{dialogue}C: HELO client.test\nS: 550 no")
    assert str(fault.reply) == reply


@pytest.mark.parametrize("server", [STARTTLS, LOGIN], ids=["TLS", "login"])
def test_it_sends_no_helo_after_them_if_an_extension_is_needed(server: Server) -> None:
    fault = fail(server, "S: 220 far.test\nC: EHLO client.test\nS: 550 no")
    assert (fault.phase, fault.kind) == (Phase.EHLO, FaultKind.REJECTED)


@pytest.mark.parametrize("reply", ["550 5.7.1 not you", "451 4.3.0 later", "521 5.3.2 no"])
def test_it_does_not_send_helo_after_a_rejection_of_the_client(reply: str) -> None:
    """Protocol item 24."""
    fault = fail(PLAIN, f"S: 220 far.test\nC: EHLO client.test\nS: {reply}")
    assert (fault.phase, fault.kind) == (Phase.EHLO, FaultKind.REJECTED)
    assert fault.reply is not None
    assert str(fault.reply) == reply


@pytest.mark.parametrize("code", [554, 521, 450])
def test_it_sends_nothing_after_a_negative_greeting(code: int) -> None:
    """Protocol item 22."""
    fault = fail(PLAIN, f"S: {code} 5.3.2 no service here")
    assert (fault.phase, fault.kind) == (Phase.GREETING, FaultKind.REJECTED)
    assert fault.reply is not None
    assert fault.reply.code == code


def test_a_421_greeting_is_a_shutdown() -> None:
    """Protocol item 23."""
    fault = fail(PLAIN, "S: 421 4.3.2 too busy")
    assert (fault.phase, fault.kind) == (Phase.GREETING, FaultKind.SHUTDOWN)


@pytest.mark.parametrize("greeting", ["350 what", "150 wait", "HTTP/1.1 400 Bad Request"])
def test_it_rejects_any_other_greeting(greeting: str) -> None:
    """Protocol item 87."""
    fault = fail(PLAIN, f"S: {greeting}")
    assert (fault.phase, fault.kind) == (Phase.GREETING, FaultKind.PROTOCOL)


def test_it_flags_input_before_its_first_command() -> None:
    """Protocol item 28."""
    fault = fail(PLAIN, "S: 220 far.test\nS: 250 hello\nC: EHLO client.test")
    assert fault.kind is FaultKind.PROTOCOL


def test_it_starts_again_within_tls() -> None:
    """Protocol items 27 and 33: what was offered in plain text is forgotten."""
    facts = play(
        STARTTLS,
        """
        S: 220 far.test
        C: EHLO client.test
        S: 250-far.test
        S: 250-STARTTLS
        S: 250 PIPELINING
        C: STARTTLS
        S: 220 2.0.0 go ahead
        C: -
        C: EHLO client.test
        S: 250-far.test
        S: 250 SIZE
        """,
    )
    assert facts.extensions == {"SIZE": ""}


def test_it_assumes_no_extension_within_tls_after_helo() -> None:
    """Protocol items 24 and 27."""
    facts = play(
        STARTTLS,
        """
        S: 220 far.test
        C: EHLO client.test
        S: 250-far.test
        S: 250-STARTTLS
        S: 250 PIPELINING
        C: STARTTLS
        S: 220 2.0.0 go ahead
        C: -
        C: EHLO client.test
        S: 502 what
        C: HELO client.test
        S: 250 far.test
        """,
    )
    assert facts.extensions == {}


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("S: 250-far.test\nS: 250 SIZE", id="not offered, or taken out"),
        pytest.param(
            "S: 250-far.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no", id="refused for now"
        ),
        pytest.param(
            "S: 250-far.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 502 5.5.1 no", id="refused"
        ),
        pytest.param("S: 502 what\nC: HELO client.test\nS: 250 far.test", id="no EHLO at all"),
    ],
)
def test_it_ends_where_required_tls_is_unavailable(rest: str) -> None:
    """Protocol items 31 and 36: no login and no message in plain text."""
    server = replace(STARTTLS, username="ann", secret="s3cret-word")
    fault = fail(server, f"S: 220 far.test\nC: EHLO client.test\n{rest}")
    assert (fault.phase, fault.kind) == (Phase.STARTTLS, FaultKind.NO_STARTTLS)


@pytest.mark.parametrize(
    "greeting", ["220 far.test PREAUTH", "220-far.test\nS: 220 2.0.0 TLS is on already"]
)
def test_no_greeting_prevents_starttls(greeting: str) -> None:
    """Protocol item 36."""
    fault = fail(STARTTLS, f"S: {greeting}\nC: EHLO client.test\nS: 250 far.test")
    assert fault.kind is FaultKind.NO_STARTTLS


@pytest.mark.parametrize("injected", ["250 far.test", "garbage", "2"])
def test_it_rejects_plain_bytes_after_the_reply_to_starttls(injected: str) -> None:
    """Protocol item 32."""
    fault = fail(
        STARTTLS,
        f"""
        S: 220 far.test
        C: EHLO client.test
        S: 250-far.test
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go ahead
        S: {injected}
        C: -
        """,
    )
    assert (fault.phase, fault.kind) == (Phase.STARTTLS, FaultKind.INJECTION)


EXTENSIONS = "S: 220 far.test\nC: EHLO client.test\nS: 250-far.test\nS: 250 AUTH {}\n"
PLAIN_LINE = "AUTH PLAIN " + b64("\0ann\0s3cret-word")


def test_it_logs_in_with_plain() -> None:
    """Protocol items 41 and 43."""
    facts = play(LOGIN, EXTENSIONS.format("LOGIN PLAIN") + f"C: {PLAIN_LINE}\nS: 235 2.7.0 welcome")
    assert facts.auth_mechanism == "PLAIN"


def test_it_logs_in_with_login() -> None:
    """Protocol item 41: whatever the server calls its questions."""
    facts = play(
        LOGIN,
        EXTENSIONS.format("LOGIN")
        + f"""
        C: AUTH LOGIN
        S: 334 {b64("Username:")}
        C: {b64("ann")}
        S: 334 {b64("pass?")}
        C: {b64("s3cret-word")}
        S: 235 welcome
        """,
    )
    assert facts.auth_mechanism == "LOGIN"


def test_it_logs_in_with_cram_md5() -> None:
    """The example of RFC 2195 2."""
    server = replace(LOGIN, username="tim", secret="tanstaaftanstaaf")
    play(
        server,
        EXTENSIONS.format("CRAM-MD5")
        + """
        C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        S: 235 welcome
        """,
    )


def test_it_logs_in_with_a_token() -> None:
    """Protocol item 41."""
    server = replace(LOGIN, username="ann@x.test", secret="t0ken", secret_is_token=True)
    line = b64("user=ann@x.test\x01auth=Bearer t0ken\x01\x01")
    facts = play(
        server, EXTENSIONS.format("PLAIN XOAUTH2") + f"C: AUTH XOAUTH2 {line}\nS: 235 welcome"
    )
    assert facts.auth_mechanism == "XOAUTH2"


def test_it_logs_in_with_a_token_by_rfc_7628() -> None:
    """Protocol item 41."""
    server = replace(LOGIN, username="a=b,c@x.test", secret="t0ken", secret_is_token=True)
    line = b64("n,a=a=3Db=2Cc@x.test,\x01host=far.test\x01port=25\x01auth=Bearer t0ken\x01\x01")
    play(server, EXTENSIONS.format("OAUTHBEARER") + f"C: AUTH OAUTHBEARER {line}\nS: 235 welcome")


@pytest.mark.parametrize(("mechanism", "sent"), [("XOAUTH2", ""), ("OAUTHBEARER", b64("\x01"))])
def test_it_reads_why_a_token_is_rejected(mechanism: str, sent: str) -> None:
    """RFC 7628 3.2.2: the reason is a challenge, which needs a response."""
    server = replace(LOGIN, secret_is_token=True)
    first = {
        "XOAUTH2": b64("user=ann\x01auth=Bearer s3cret-word\x01\x01"),
        "OAUTHBEARER": b64(
            "n,a=ann,\x01host=far.test\x01port=25\x01auth=Bearer s3cret-word\x01\x01"
        ),
    }[mechanism]
    fault = fail(
        server,
        EXTENSIONS.format(mechanism)
        + f"""
        C: AUTH {mechanism} {first}
        S: 334 {b64('{"status":"401"}')}
        C: {sent}
        S: 535 5.7.8 no
        """,
    )
    assert fault.kind is FaultKind.AUTH_REJECTED


def test_it_sends_a_long_initial_response_after_the_command() -> None:
    """Protocol item 41: the initial response goes along only where the line stays in its limit."""
    server = replace(LOGIN, secret="s" * 600)
    play(
        server,
        EXTENSIONS.format("PLAIN")
        + "C: AUTH PLAIN\nS: 334 \n"
        + f"C: {b64(chr(0) + 'ann' + chr(0) + 's' * 600)}\nS: 235 welcome",
    )


def test_it_sends_no_login_above_the_limit_of_smtp() -> None:
    """Protocol item 46: responses ≤ 12,288 octets."""
    server = replace(LOGIN, secret="s" * 9_300)
    fault = fail(
        server, EXTENSIONS.format("PLAIN") + "C: AUTH PLAIN\nS: 334 \nC: *\nS: 501 cancelled"
    )
    assert (fault.phase, fault.kind) == (Phase.AUTH, FaultKind.AUTH_UNAVAILABLE)


@pytest.mark.parametrize(
    "transcript",
    [
        pytest.param(
            f"C: {PLAIN_LINE}\nS: 334 {b64('more?')}\nC: {PLAIN_LINE.split()[-1]}\n"
            f"S: 334 {b64('more?')}\nC: *\n",
            id="a question too many",
        ),
        pytest.param("C: AUTH CRAM-MD5\nS: 334 !!!\nC: *\n", id="not base64"),
        pytest.param("C: AUTH CRAM-MD5\nS: 334\nC: *\n", id="no challenge"),
    ],
)
def test_it_cancels_what_it_does_not_expect(transcript: str) -> None:
    """Protocol item 42: "*" is the response to an unexpected challenge; then 501."""
    extensions = EXTENSIONS.format("CRAM-MD5" if "CRAM" in transcript else "PLAIN")
    fault = fail(LOGIN, f"{extensions}{transcript}S: 501 5.7.0 cancelled")
    assert fault.kind is FaultKind.AUTH_UNAVAILABLE
    assert fault.reply is not None
    assert fault.reply.code == 501


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("454 4.7.0 try later", FaultKind.AUTH_TEMPORARY),
        ("451 4.3.0 try later", FaultKind.AUTH_TEMPORARY),
        ("432 4.7.12 a password transition is needed", FaultKind.AUTH_REJECTED),
        ("534 5.7.9 too weak", FaultKind.AUTH_REJECTED),
        ("535 5.7.8 wrong", FaultKind.AUTH_REJECTED),
        ("538 5.7.11 encryption needed", FaultKind.AUTH_REJECTED),
        ("504 5.5.4 unknown mechanism", FaultKind.AUTH_UNAVAILABLE),
        ("421 4.3.2 bye", FaultKind.SHUTDOWN),
        ("250 fine", None),
        ("354 what", FaultKind.PROTOCOL),
        ("hello", FaultKind.PROTOCOL),
    ],
)
def test_it_reports_why_a_login_failed(reply: str, kind: FaultKind | None) -> None:
    """Protocol item 43."""
    transcript = EXTENSIONS.format("PLAIN") + f"C: {PLAIN_LINE}\nS: {reply}"
    if kind is None:
        play(LOGIN, transcript)
        return
    fault = fail(LOGIN, transcript)
    assert (fault.phase, fault.kind) == (Phase.AUTH, kind)


@pytest.mark.parametrize(
    ("server", "offered"),
    [
        pytest.param(LOGIN, "GSSAPI NTLM", id="none in common"),
        pytest.param(LOGIN, "XOAUTH2", id="a token where a password is set"),
        pytest.param(replace(LOGIN, secret_is_token=True), "PLAIN", id="the reverse"),
        pytest.param(replace(LOGIN, allow_plaintext_auth=False), "PLAIN", id="no TLS"),
        pytest.param(replace(LOGIN, allow_plaintext_auth=False), "CRAM-MD5", id="no TLS, hashed"),
        pytest.param(replace(LOGIN, secret="a\0b"), "PLAIN", id="NUL"),
    ],
)
def test_it_ends_without_a_common_mechanism(server: Server, offered: str) -> None:
    """Protocol items 40, 41 and 44: before the first transaction."""
    fault = fail(server, EXTENSIONS.format(offered))
    assert (fault.phase, fault.kind) == (Phase.AUTH, FaultKind.AUTH_UNAVAILABLE)


def test_it_ends_where_a_login_is_set_and_no_mechanism_announced() -> None:
    """Protocol item 44."""
    fault = fail(LOGIN, "S: 220 far.test\nC: EHLO client.test\nS: 250 far.test")
    assert fault.kind is FaultKind.AUTH_UNAVAILABLE
    assert fault.reason.args["offered"] == "none"


def test_it_needs_no_permission_to_log_in_over_tls() -> None:
    """Protocol item 40."""
    server = replace(LOGIN, security=Security.TLS, allow_plaintext_auth=False)
    play(server, EXTENSIONS.format("PLAIN") + f"C: {PLAIN_LINE}\nS: 235 welcome", tls=True)


def test_it_logs_in_by_the_mechanisms_announced_within_tls() -> None:
    """Protocol item 41."""
    server = replace(LOGIN, security=Security.STARTTLS, allow_plaintext_auth=True)
    facts = play(
        server,
        f"""
        S: 220 far.test
        C: EHLO client.test
        S: 250-far.test
        S: 250-AUTH PLAIN
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go ahead
        C: -
        C: EHLO client.test
        S: 250-far.test
        S: 250 AUTH LOGIN
        C: AUTH LOGIN
        S: 334 {b64("Username:")}
        C: {b64("ann")}
        S: 334 {b64("Password:")}
        C: {b64("s3cret-word")}
        S: 235 welcome
        """,
    )
    assert facts.auth_mechanism == "LOGIN"


def test_it_keeps_the_extensions_after_a_login_without_security_layer() -> None:
    """Protocol item 27: none of our mechanisms brings one up."""
    transcript = EXTENSIONS.format("PLAIN") + f"C: {PLAIN_LINE}\nS: 235 welcome"
    assert play(LOGIN, transcript).extensions == {"AUTH": "PLAIN"}


@pytest.mark.parametrize("echo", ["s3cret-word", b64("\0ann\0s3cret-word"), b64("s3cret-word")])
@pytest.mark.parametrize(
    "shape", ["535 5.7.8 {} is wrong", "{} is not a reply", "235-{}\nS: 2350 {}"]
)
def test_a_secret_that_a_server_echoes_is_masked(echo: str, shape: str) -> None:
    """Protocol item 45."""
    login_line = f"C: AUTH LOGIN\nS: 334 \nC: {b64('ann')}\nS: 334 \nC: {b64('s3cret-word')}\n"
    for offered, sent in (("PLAIN", f"C: {PLAIN_LINE}\n"), ("LOGIN", login_line)):
        if offered == "LOGIN" and echo.startswith("AGFu"):
            continue
        if offered == "PLAIN" and echo == b64("s3cret-word"):
            continue
        fault = fail(LOGIN, EXTENSIONS.format(offered) + sent + f"S: {shape.format(echo, echo)}")
        for shown in (str(fault), repr(fault), str(fault.reply), repr(fault.args)):
            assert echo not in shown


def test_no_secret_is_in_a_repr() -> None:
    """Protocol item 45."""
    assert "s3cret" not in repr(LOGIN)


@pytest.mark.parametrize(
    ("server", "extension"), [(STARTTLS, "STARTTLS"), (LOGIN, "AUTH PLAIN")], ids=["TLS", "login"]
)
def test_an_end_right_after_the_reply_to_ehlo_is_a_fault(server: Server, extension: str) -> None:
    """A server may close the connection before the client's next command."""
    fault = fail(
        server,
        f"""
        S: 220 far.test
        C: EHLO client.test
        S: 250-far.test
        S: 250 {extension}
        S: <closes>
        """,
    )
    assert fault.kind is FaultKind.CLOSED
