"""Fetch a mailbox in a process that kills itself before it sends a command for the nth time.

python -m tests.integration.mailservers.killed_fetch MAILBOX VERB NUMBER
"""

import os
import signal
import sys
from collections import Counter
from typing import Any

import django


def main() -> None:
    """Fetch the mailbox. The exit status is 1 if the command was not sent so often."""
    django.setup()
    from outbox.inbound.fetch import fetch_mailbox
    from outbox.pop3.protocol import Protocol, Verb

    verb, number = Verb(sys.argv[2]), int(sys.argv[3])
    counts: Counter[Verb] = Counter()
    original = Protocol.command

    def command(self: Protocol, sent: Verb, *rest: Any, **named: Any) -> bytes:
        counts[sent] += 1
        if sent is verb and counts[sent] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, sent, *rest, **named)

    Protocol.command = command  # type: ignore[method-assign]
    print(fetch_mailbox(int(sys.argv[1])))
    sys.exit(1)


if __name__ == "__main__":
    main()
