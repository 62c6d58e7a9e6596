"""Fixtures for the tests of a project. pytest finds them by itself where the outbox is installed.

    def test_an_order_is_confirmed(client, inbox):
        client.post("/orders/", {"item": "tea"})
        assert inbox[0].subject == "Your order"

    def test_it_is_delivered(client, transactional_db, inbox, mail_server):
        client.post("/orders/", {"item": "tea"})
        inbox.drain(mail_server)
        assert mail_server.mailboxes.addresses() == ["ann@example.com"]

    def test_it_tries_again_later(client, transactional_db, inbox, fault_lab):
        client.post("/orders/", {"item": "tea"})
        inbox.drain(fault_lab("greylisting"))
        assert inbox[0].states == {"ann@example.com": "deferred"}

    def test_a_mailbox_is_read(pop3_lab):
        lab = pop3_lab("at retr 2: -ERR [SYS/TEMP] disk", sources=[first, second])
        ...  # fetch from lab.host, lab.port
        assert len(lab.mailbox.messages) == 1

    def test_a_broken_dns_server(dns_lab):
        lab = dns_lab("at mx <example.org>: servfail")
        ...  # ask lab.address

It imports late: pytest loads it before Django is set up.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from outbox.testing.dns_lab import DnsLab
    from outbox.testing.dns_scenario import DnsScenario
    from outbox.testing.faultlab import FaultLab
    from outbox.testing.inbox import Inbox
    from outbox.testing.mailserver import MailServer
    from outbox.testing.pop3_lab import Pop3Lab
    from outbox.testing.scenario import Scenario

StartLab = Callable[["Scenario | str"], "FaultLab"]
StartDnsLab = Callable[["DnsScenario | str"], "DnsLab"]


class StartPop3Lab(Protocol):
    """What the fixture `pop3_lab` is. Without `sources`, the mailbox has three messages."""

    def __call__(
        self, scenario: "Scenario | str" = "", *, sources: Sequence[bytes] | None = None
    ) -> "Pop3Lab": ...


@pytest.fixture
def inbox(db: None) -> "Iterator[Inbox]":
    """The messages that this test queues, like `mail.outbox`; needs pytest-django."""
    from outbox.testing.inbox import Inbox

    with Inbox() as opened:
        yield opened


@pytest.fixture
def mail_server(tmp_path: Path) -> "Iterator[MailServer]":
    """A local server that accepts mail for any address and stores it in its mailboxes."""
    from outbox.testing.mailserver import MailServer

    with MailServer(tmp_path / "mail") as server:
        yield server


@pytest.fixture
def fault_lab() -> "Iterator[StartLab]":
    """Start labs by scenario, text or name; each ends with the test and prints its dialogues."""
    from outbox.testing.faultlab import FaultLab

    with contextlib.ExitStack() as stack:

        def start(scenario: "Scenario | str" = "") -> FaultLab:
            lab = stack.enter_context(FaultLab(scenario))
            # pytest displays it if the test fails
            stack.callback(lambda: print(lab.ledger.text()))
            return lab

        yield start


@pytest.fixture
def pop3_lab() -> "Iterator[StartPop3Lab]":
    """Start POP3 labs by scenario, text or name; each ends with the test and prints its record."""
    from outbox.testing.pop3_dialogue import SAMPLES
    from outbox.testing.pop3_lab import Pop3Lab

    with contextlib.ExitStack() as stack:

        def start(
            scenario: "Scenario | str" = "", *, sources: Sequence[bytes] | None = None
        ) -> Pop3Lab:
            found = SAMPLES if sources is None else sources
            lab = stack.enter_context(Pop3Lab(scenario, sources=found))
            stack.callback(lambda: print(lab.ledger.text()))
            return lab

        yield start


@pytest.fixture
def dns_lab() -> "Iterator[StartDnsLab]":
    """Start DNS servers by scenario; each ends with the test and prints what it was asked."""
    from outbox.testing.dns_lab import DnsLab

    with contextlib.ExitStack() as stack:

        def start(scenario: "DnsScenario | str" = "") -> DnsLab:
            lab = stack.enter_context(DnsLab(scenario))
            stack.callback(lambda: print(*lab.queries, sep="\n"))
            return lab

        yield start
