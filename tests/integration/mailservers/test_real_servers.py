"""The client against real servers over TLS: Dovecot (POP3 and IMAP), and pop3d of GNU Mailutils."""

import datetime as dt
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dev.processes import wait_until
from outbox.inbound.mail_server import (
    Login,
    LoginRefusedError,
    MailboxBusyError,
    MailServer,
    MessageRefusedError,
    MessageTooLargeError,
    Timeouts,
    open_mail_server,
    open_sent_folder,
)
from tests.mailbox_servers import dovecot, mailutils
from tests.mailbox_servers.dovecot import Dovecot
from tests.mailbox_servers.mailutils import Mailutils

TIMEOUTS = Timeouts(connect=10, tls=10, line=20, response=40, session=60, quit=20)
IS_REQUIRED = bool(os.environ.get("MAIL_SERVERS_REQUIRED"))

PLAIN = b"Subject: plain\n\nA line.\n"
DOTS = b"Subject: dots\n\n.\n..\n.a\n...\nb.\n\n.\n"
EIGHT_BIT = b"Subject: gr\xc3\xbc\xc3\x9fe\n\n\xe4\xf6\xfc \xff\xfe \x01 \x7f\n"
LONG_LINE = b"Subject: long\n\n" + b"x" * 1_000_000 + b"\n"
SAMPLES = (PLAIN, DOTS, EIGHT_BIT, LONG_LINE)

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def wired(source: bytes) -> bytes:
    return source.replace(b"\n", b"\r\n")


def _needed(program: str | None, package: str) -> None:
    if program is None and not IS_REQUIRED:
        pytest.skip(f"the package {package} is not installed")


@pytest.fixture(scope="module")
def dovecot_server() -> Iterator[Dovecot]:
    _needed(dovecot.PROGRAM, "dovecot-pop3d")
    with Dovecot() as server:
        yield server


@pytest.fixture
def mailbox(dovecot_server: Dovecot) -> Dovecot:
    """The server with an empty mailbox."""
    for path in dovecot_server.stored():
        path.unlink()
    return dovecot_server


@pytest.fixture(scope="module")
def mailutils_server() -> Iterator[Mailutils]:
    _needed(mailutils.PROGRAM, "mailutils-pop3d")
    with Mailutils() as server:
        yield server


def login_at(server: Dovecot | Mailutils, protocol: Any, security: Any, **changes: Any) -> Login:
    fields: dict[str, Any] = {
        "protocol": protocol,
        "host": "localhost",
        "port": server.ports[f"{protocol}s" if security == "tls" else protocol],
        "security": security,
        "username": dovecot.USER if isinstance(server, Dovecot) else mailutils.ADDRESS,
        "password": dovecot.PASSWORD,
        "allows_private": True,
        "ca_file": server.ca_file,
    }
    return Login(**(fields | changes))


def session(
    server: Dovecot | Mailutils, protocol: str = "pop3", security: str = "tls", **changes: Any
) -> MailServer:
    return open_mail_server(login_at(server, protocol, security, **changes), timeouts=TIMEOUTS)


def retrieved(server: MailServer) -> list[bytes]:
    indexes = range(len(server.messages()))
    found = []
    for index, source in server.retrieve_many(indexes):
        assert isinstance(source, bytes), (index, source)
        found.append(source)
    return found


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_dovecot_sends_each_byte_over_tls(mailbox: Dovecot, protocol: str, security: str) -> None:
    """Items 135, 136 and 140: dots, 8-bit bytes, and a line of a megabyte."""
    mailbox.deliver(*SAMPLES)
    server = session(mailbox, protocol, security)
    assert retrieved(server) == [wired(source) for source in SAMPLES]
    server.quit()
    assert len(mailbox.stored()) == len(SAMPLES)


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_unique_ids_are_those_of_the_next_session(mailbox: Dovecot, protocol: str) -> None:
    """Item 141."""
    mailbox.deliver(PLAIN, DOTS)
    first = session(mailbox, protocol)
    uids = [listed.uid for listed in first.messages()]
    first.delete(0)
    first.quit()
    mailbox.deliver(EIGHT_BIT)
    second = session(mailbox, protocol)
    assert [listed.uid for listed in second.messages()][:1] == uids[1:]
    assert len(set(uids)) == 2
    second.abandon()


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_only_quit_deletes(mailbox: Dovecot, protocol: str) -> None:
    """Item 143."""
    mailbox.deliver(PLAIN, DOTS, EIGHT_BIT)
    server = session(mailbox, protocol)
    for index in range(len(server.messages())):
        server.delete(index)
    server.abandon()
    assert len(mailbox.stored()) == 3
    server = session(mailbox, protocol)
    server.messages()
    server.delete(1)
    server.quit()
    assert len(mailbox.stored()) == 2
    last = session(mailbox, protocol)
    assert retrieved(last) == [wired(PLAIN), wired(EIGHT_BIT)]
    last.quit()


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_a_hundred_messages_come_in_one_session(mailbox: Dovecot, protocol: str) -> None:
    """Item 148."""
    sources = [b"Subject: %d\n\n%s\n" % (number, b"a line\n" * 700) for number in range(100)]
    mailbox.deliver(*sources)
    server = session(mailbox, protocol)
    assert server.facts.is_pipelined
    assert retrieved(server) == [wired(source) for source in sources]
    server.quit()


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_a_large_message_is_left_out(mailbox: Dovecot, protocol: str) -> None:
    """Item 147."""
    mailbox.deliver(PLAIN, LONG_LINE, DOTS)
    server = session(mailbox, protocol)
    server.messages()
    found = dict(server.retrieve_many(range(3), 1_000))
    assert [found[0], found[2]] == [wired(PLAIN), wired(DOTS)]
    assert isinstance(found[1], MessageTooLargeError)
    server.quit()


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_a_wrong_password_is_for_a_person(mailbox: Dovecot, protocol: str) -> None:
    """Item 139."""
    with pytest.raises(LoginRefusedError, match="Authentication failed"):
        session(mailbox, protocol, password="wrong")


def test_dovecot_accepts_apop(mailbox: Dovecot) -> None:
    """Item 138."""
    mailbox.deliver(PLAIN)
    server = session(mailbox, allows_apop=True)
    assert retrieved(server) == [wired(PLAIN)]
    server.quit()
    assert "method=APOP" in mailbox.log.read_text()


def test_the_second_of_two_fetchers_sees_that_the_mailbox_is_in_use(mailbox: Dovecot) -> None:
    """Item 152."""
    mailbox.deliver(PLAIN)
    first = session(mailbox)
    with pytest.raises(MailboxBusyError):
        session(mailbox)
    assert retrieved(first) == [wired(PLAIN)]
    first.quit()


def test_a_message_that_is_gone_leaves_the_session_open(mailbox: Dovecot) -> None:
    mailbox.deliver(PLAIN, DOTS)
    server = session(mailbox)
    server.messages()
    server.delete(0)
    with pytest.raises(MessageRefusedError, match="RETR"):
        server.retrieve(0)
    assert server.retrieve(1) == wired(DOTS)
    server.quit()


def test_imap_reads_without_marking_as_read(mailbox: Dovecot) -> None:
    mailbox.deliver(PLAIN)
    server = session(mailbox, "imap")
    assert retrieved(server) == [wired(PLAIN)]
    server.quit()
    (path,) = mailbox.stored()
    assert "S" not in path.name.partition(":2,")[2]


def test_imap_deletes_no_message_that_another_program_has_marked(mailbox: Dovecot) -> None:
    mailbox.deliver(PLAIN, DOTS)
    first = session(mailbox, "imap")
    first.messages()
    (one, other) = mailbox.stored()
    marked = other.parent.parent / "cur" / f"{other.name.partition(':')[0]}:2,T"
    other.rename(marked)
    first.delete(0)
    first.quit()
    assert not one.exists()
    assert mailbox.stored() == [marked]


def test_a_sent_message_is_appended_as_read(mailbox: Dovecot) -> None:
    at = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    sent = open_sent_folder(login_at(mailbox, "imap", "tls"), timeouts=TIMEOUTS)
    sent.append(wired(EIGHT_BIT), at)
    sent.close()
    (path,) = mailbox.maildir.glob(".*/cur/*")
    assert path.read_bytes() in {EIGHT_BIT, wired(EIGHT_BIT)}
    assert path.name.endswith(":2,S")
    assert int(path.stat().st_mtime) == int(at.timestamp())


def _original(source: bytes) -> bytes:
    """Return a message without the header field in which Mailutils stores its unique id."""
    return re.sub(rb"X-UIDL: [^\r]*\r\n", b"", source)


def _session_once_it_is_free(server: Mailutils, security: str) -> MailServer:
    """Log in once the server has noticed the end of the session before."""
    sessions: list[MailServer] = []

    def is_free() -> bool:
        try:
            sessions.append(session(server, "pop3", security))
        except MailboxBusyError:
            return False
        return True

    wait_until(is_free, within=20, what=server.name)
    return sessions[0]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mailutils_sends_each_message(mailutils_server: Mailutils, security: str) -> None:
    """Items 135, 138, 140, 141 and 143."""
    mailutils_server.deliver(PLAIN, DOTS, LONG_LINE)
    first = session(mailutils_server, "pop3", security)
    listed = first.messages()
    assert len({found.uid for found in listed}) == 3
    assert [_original(source) for source in retrieved(first)] == [
        wired(source) for source in (PLAIN, DOTS, LONG_LINE)
    ]
    for index in range(3):
        first.delete(index)
    first.abandon()
    assert mailutils_server.stored() == 3
    second = _session_once_it_is_free(mailutils_server, security)
    assert [found.uid for found in second.messages()] == [found.uid for found in listed]
    for index in range(3):
        second.delete(index)
    second.quit()
    assert mailutils_server.stored() == 0


def test_mailutils_rejects_a_wrong_password(mailutils_server: Mailutils) -> None:
    with pytest.raises(LoginRefusedError, match="Bad login"):
        session(mailutils_server, password="wrong")
