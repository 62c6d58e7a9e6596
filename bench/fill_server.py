"""The mail server that delivers the mailbox of `make fill`: its reply depends on the address.

python -m bench.fill_server READY-FILE
"""

import asyncio
import re
import sys
from pathlib import Path

from outbox.testing.capabilities import Capabilities
from outbox.testing.dialogue import Transaction
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serve_until_signalled, write_port

_NUMBER = re.compile(r"([0-9]+)@")
# By the kind of a person: the replies to RCPT, of which the number of a person selects one.
REPLIES = {
    "accepted": (*["250 2.1.5 Ok"] * 97, "251 2.1.5 User not local; will forward", "252 2.0.0 Ok"),
    "rejected": (
        *["550 5.1.1 No such user here"] * 6,
        *["552 5.2.2 Mailbox full"] * 2,
        "554 5.7.1 Rejected by policy",
        "521 5.3.2 Host does not accept mail",
    ),
    "deferred": (*["451 4.7.1 Greylisted, try again"] * 4, "452 4.2.2 Mailbox over quota"),
}


def kind_of(number: int) -> str:
    """Return the kind of the person with this number: of fifty, one is rejected, one deferred."""
    return {0: "rejected", 1: "deferred"}.get(number % 50, "accepted")


class UnevenReceiver(Receiver):
    """A receiver that rejects some recipients, and accepts every message."""

    def judge_recipient(self, address: str) -> str:
        found = _NUMBER.search(address)
        number = int(found[1]) if found else 2
        replies = REPLIES[kind_of(number)]
        return replies[number // 50 % len(replies)]

    def judge_message(self, transaction: Transaction) -> str:
        return "250 2.0.0 Ok: queued"


def main(ready_file: str) -> None:
    """Serve until a signal."""

    def ready(port: int) -> None:
        write_port(Path(ready_file), port)

    receiver = Capabilities(name="mx.example.net")
    asyncio.run(serve_until_signalled(lambda: UnevenReceiver(receiver), "127.0.0.1", 0, ready))


if __name__ == "__main__":
    main(sys.argv[1])
