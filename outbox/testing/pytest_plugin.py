"""Fixtures for the tests of a project. pytest finds them by itself where the outbox is installed.

    def test_an_order_is_confirmed(client, inbox):
        client.post("/orders/", {"item": "tea"})
        assert inbox[0].subject == "Your order"

    def test_it_leaves(client, transactional_db, inbox, mail_server):
        client.post("/orders/", {"item": "tea"})
        inbox.drain(mail_server)
        assert mail_server.mailboxes.addresses() == ["ann@example.com"]

    def test_it_tries_again_later(client, transactional_db, inbox, fault_lab):
        client.post("/orders/", {"item": "tea"})
        inbox.drain(fault_lab("greylisting"))
        assert inbox[0].states == {"ann@example.com": "deferred"}

It imports late: it is loaded before Django is set up, and where nobody uses it.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from outbox.testing.faultlab import FaultLab
    from outbox.testing.inbox import Inbox
    from outbox.testing.mailserver import MailServer
    from outbox.testing.scenario import Scenario

StartLab = Callable[["Scenario | str"], "FaultLab"]


@pytest.fixture
def inbox(db: None) -> "Iterator[Inbox]":
    """The mails this test queues, as `mail.outbox` has them; needs pytest-django."""
    from outbox.testing.inbox import Inbox

    with Inbox() as opened:
        yield opened


@pytest.fixture
def mail_server(tmp_path: Path) -> "Iterator[MailServer]":
    """A local server that takes mail for any address and keeps it, see its mailboxes."""
    from outbox.testing.mailserver import MailServer

    with MailServer(tmp_path / "mail") as server:
        yield server


@pytest.fixture
def fault_lab() -> "Iterator[StartLab]":
    """Start labs by scenario, text or name; each ends with the test and prints its dialogue."""
    from outbox.testing.faultlab import FaultLab

    with contextlib.ExitStack() as stack:

        def start(scenario: "Scenario | str" = "") -> FaultLab:
            lab = stack.enter_context(FaultLab(scenario))
            # pytest shows it where a test fails
            stack.callback(lambda: print(lab.ledger.text()))
            return lab

        yield start
