"""What each POP3 scenario of the package means for a fetch."""

import pytest

from outbox.inbound.mail_server import (
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServerError,
    QuitRefusedError,
    TemporaryError,
    Timeouts,
)
from outbox.testing.pop3_dialogue import POP3
from outbox.testing.pytest_plugin import StartPop3Lab
from outbox.testing.scenario import catalog
from tests.integration.mailservers.client import fetch

TIMEOUTS = Timeouts(line=2, response=2, quit=2)
# The error, messages that arrived, and messages that count as deleted.
EXPECTED: dict[str, tuple[type[MailServerError] | None, int, int]] = {
    "login-too-soon": (MailboxBusyError, 0, 0),
    "lost-in-a-message": (TemporaryError, 1, 0),
    "mailbox-in-use": (MailboxBusyError, 0, 0),
    "old-server": (None, 1, 0),  # without unique ids, this test cannot distinguish its messages
    "quit-lost": (QuitRefusedError, 3, 0),
    "quit-rejected": (QuitRefusedError, 3, 0),
    "retr-fails": (None, 2, 2),
    "same-unique-ids": (None, 2, 2),  # two have none, and are one to this test
    "slow-messages": (TemporaryError, 0, 0),
    "stls-injection": (None, 3, 3),  # this test does not want TLS
    "wrong-password": (LoginRefusedError, 0, 0),
    "wrong-password-unclear": (LoginUnclearError, 0, 0),
    "wrong-sizes": (None, 2, 2),  # one seems to be larger than the limit
}


@pytest.mark.parametrize("name", [scenario.name for scenario in catalog(POP3)])
def test_a_scenario_does_what_it_says(pop3_lab: StartPop3Lab, name: str) -> None:
    fetched = fetch(pop3_lab(name), TIMEOUTS)
    error, arrived, deleted = EXPECTED[name]
    assert type(fetched.error) is (error or type(None)), fetched.error
    assert len(fetched.sources) == arrived
    if name != "old-server":
        assert len(fetched.deleted) == deleted
