"""The server that crash tests send to: it records each copy of each message before it replies.

    python -m tests.crash.sink LEDGER READY-FILE [--chunking] [--seed 1]

A line of the ledger is {"at", "message_id", "recipients", "way"}. It replies after 5 to 20 ms, so
that kills happen inside transactions. Sometimes it misbehaves as real servers do: it accepts a
message and never replies ("mute") or drops the connection ("cut"), is busy, or rejects the client.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from outbox.testing.capabilities import MAX_SIZE, Capabilities
from outbox.testing.dialogue import Stage, Transaction, wire
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serve_until_signalled, write_port

MUTE, CUT, BUSY = 0.004, 0.004, 0.01  # share of the messages
BUSY_RECIPIENT = 0.004  # share of the recipients
CLOSED = 0.1  # share of the connections that get 421
REFUSED = "refused"  # a local part that begins so is rejected permanently
QUICKEST, SLOWEST = 0.005, 0.02  # seconds before each group of replies


class CrashReceiver(Receiver):
    """The connection of one client."""

    def __init__(
        self, capabilities: Capabilities, chance: random.Random, note: Callable[..., None]
    ) -> None:
        super().__init__(capabilities)
        self._chance = chance
        self._note = note
        self._delay = chance.uniform(
            QUICKEST, SLOWEST
        )  # the same for a whole connection: replies must not overtake each other
        self._silent = False

    def send_reply(self, stage: Stage, index: int, reply: str) -> str:
        if stage is Stage.GREETING and self._chance.random() < CLOSED:
            reply = "421 4.3.2 Too busy"
            self.after_this(self.close)
        self._out.append(wire(reply))
        return reply

    def judge_recipient(self, address: str) -> str:
        if address.startswith(REFUSED):
            return "550 5.1.1 No such mailbox"
        if self._chance.random() < BUSY_RECIPIENT:
            return "450 4.2.1 Busy, try again"
        return "250 2.1.5 Ok"

    def judge_message(self, transaction: Transaction) -> str:
        drawn = self._chance.random()
        if drawn < BUSY:
            return "451 4.3.0 AttemptRecord again later"
        way = "mute" if drawn < BUSY + MUTE else "cut" if drawn < BUSY + MUTE + CUT else "ok"
        self._note(transaction, way)
        if way == "cut":
            self.after_this(self.abort)
        self._silent = way == "mute"
        return "250 2.0.0 Ok"

    def flush(self) -> None:
        group = b"".join(self._out)
        self._out.clear()
        if group and not self._silent:
            self._loop.call_later(self._delay, self._write_late, group)

    def close(self) -> None:
        self.flush()
        self._held = True
        self._loop.call_later(self._delay, self.transport.close)

    def _write_late(self, group: bytes) -> None:
        if self._open:
            self.transport.write(group)


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.sink", description=__doc__)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("ready_file", type=Path)
    parser.add_argument("--chunking", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ledger = os.open(options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    chance = random.Random(options.seed)  # noqa: S311  # variety; not a secret
    extensions = ["PIPELINING", f"SIZE {MAX_SIZE}", "8BITMIME", "SMTPUTF8"]
    extensions += ["CHUNKING"] if options.chunking else []
    capabilities = Capabilities(name="sink.localhost", extensions=tuple(extensions))

    def note(transaction: Transaction, way: str) -> None:
        line = {
            "at": time.time(),
            "message_id": transaction.message_id.strip("<>"),
            "recipients": transaction.recipients,
            "way": way,
        }
        os.write(ledger, json.dumps(line).encode() + b"\n")

    asyncio.run(
        serve_until_signalled(
            lambda: CrashReceiver(capabilities, chance, note),
            "127.0.0.1",
            0,
            lambda port: write_port(options.ready_file, port),
        )
    )


if __name__ == "__main__":
    main()
