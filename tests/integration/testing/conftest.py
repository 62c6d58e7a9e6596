"""The servers of `outbox.testing`, started for one test each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outbox.testing.mailserver import MailServer
from outbox.testing.pytest_plugin import fault_lab
from tests.integration.testing.talk import Talk

__all__ = ["fault_lab"]

OpenTalk = Callable[[int], Talk]


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path / "mail", slow_after=0.3) as server:
        yield server


@pytest.fixture
def talk() -> Iterator[OpenTalk]:
    """Open connections that end with the test."""
    opened: list[Talk] = []

    def open_talk(port: int) -> Talk:
        opened.append(Talk(port))
        return opened[-1]

    yield open_talk
    for each in opened:
        each.socket.close()
