"""The POP3 fault lab: correct without a rule, and what its scenarios do. poplib is the client."""

import poplib
import ssl
from io import StringIO

import pytest
from django.core.management import call_command

from outbox.testing.pop3_dialogue import POP3, SAMPLES
from outbox.testing.pop3_lab import Pop3Lab
from outbox.testing.pytest_plugin import StartPop3Lab
from outbox.testing.scenario import ScenarioError, catalog, parse_scenario


def connected(lab: Pop3Lab) -> poplib.POP3:
    return poplib.POP3(lab.host, lab.port, timeout=10)


def logged_in(lab: Pop3Lab) -> poplib.POP3:
    client = connected(lab)
    client.user("anna")
    client.pass_("secret")
    return client


def test_a_correct_server(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("", sources=[b"Subject: a\r\n\r\n.\r\n..b\r\n", b"Subject: b\n\nc"])
    client = logged_in(lab)
    assert client.stat() == (2, 35)
    assert client.list()[1] == [b"1 22", b"2 13"]
    assert client.uidl()[1] == [b"1 uid-00001", b"2 uid-00002"]
    assert client.retr(1)[1] == [b"Subject: a", b"", b".", b"..b"]
    assert client.top(2, 0)[1] == [b"Subject: b", b""]
    client.dele(1)
    client.rset()
    client.dele(2)
    with pytest.raises(poplib.error_proto, match="No such message"):
        client.retr(2)
    assert client.noop().startswith(b"+OK")
    client.quit()
    assert list(lab.mailbox.messages) == ["uid-00001"]
    assert lab.ledger.violations == []


def test_stls_and_apop(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("offer STLS, UIDL\nlogin anna secret")
    client = connected(lab)
    assert "STLS" in client.capa()
    context = ssl.create_default_context(cafile=lab.ca_file)
    context.check_hostname = False
    client.stls(context)
    assert "STLS" not in client.capa()
    client.apop("anna", "secret")
    assert len(client.uidl()[1]) == len(SAMPLES)
    client.quit()


def test_a_login_is_checked_if_the_scenario_has_one(pop3_lab: StartPop3Lab) -> None:
    client = connected(pop3_lab("login anna other"))
    client.user("anna")
    with pytest.raises(poplib.error_proto, match="AUTH"):
        client.pass_("secret")
    client.close()


def test_one_session_has_the_mailbox(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("")
    first = logged_in(lab)
    second = connected(lab)
    second.user("anna")
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        second.pass_("secret")
    second.quit()
    first.quit()
    logged_in(lab).quit()


def test_a_session_that_breaks_deletes_nothing(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("at quit: close")
    client = logged_in(lab)
    client.dele(1)
    with pytest.raises((poplib.error_proto, OSError)):
        client.quit()
    client.close()
    assert len(lab.mailbox.messages) == 3


def test_a_message_that_breaks_off(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("at body 300 of message 2: close")
    client = logged_in(lab)
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == SAMPLES[0]
    with pytest.raises((poplib.error_proto, OSError)):
        client.retr(2)
    client.close()


def test_violations_are_recorded(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("offer UIDL, USER")
    client = logged_in(lab)
    client.sock.sendall(b"NOOP\r\nNOOP\n")
    lab.ledger.wait_for(lambda ledger: len(ledger.violations) == 2)
    assert "pipelined" in lab.ledger.violations[0]
    assert "bare LF" in lab.ledger.violations[1]
    client.close()


def test_each_scenario_of_the_package_is_valid() -> None:
    assert len(catalog(POP3)) >= 13


@pytest.mark.parametrize(
    "text",
    [
        "at rcpt: -ERR no",
        "at retr: 550 no",
        "at quit 2: -ERR no",
        "reject SIZE: -ERR no",
        "at connect: -ERR no",
    ],
)
def test_a_rule_of_smtp_is_rejected(text: str) -> None:
    with pytest.raises(ScenarioError, match="line 1"):
        parse_scenario(text, language=POP3)


def test_the_command_lists_the_scenarios() -> None:
    output = StringIO()
    call_command("outbox_faultlab", "--pop3", stdout=output)
    assert "mailbox-in-use" in output.getvalue()
    assert "greylisting" not in output.getvalue()
    shown = StringIO()
    call_command("outbox_faultlab", "quit-lost", "--pop3", "--show", stdout=shown)
    assert "at quit: no-reply" in shown.getvalue()
