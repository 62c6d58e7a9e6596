"""A fast mail server for measurements: it counts messages and discards them.

    python -m outbox.testing.sink --port 0 --delay-ms 20 --chunking --ledger FILE

It prints the port, then runs until SIGTERM or SIGINT. The ledger has a JSON line
{"message_id", "recipients", "session"} per message, written before the reply 250, so that the file
names every counted message. The reply to the command XSTATS has the counts.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from outbox.testing.capabilities import MAX_SIZE, Capabilities
from outbox.testing.dialogue import Stage, Transaction, wire
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serve_until_signalled, write_port


@dataclass(slots=True)
class Counts:
    """The counts of a sink."""

    messages: int = 0  # accepted transactions
    recipients: int = 0  # accepted in them
    octets: int = 0
    distinct: int = 0  # Message-IDs
    connections: int = 0
    open: int = 0
    peak: int = 0  # most connections at the same time


class Sink:
    """The state that all connections of a sink share."""

    def __init__(
        self, capabilities: Capabilities, *, delay: float = 0.0, ledger: Path | None = None
    ) -> None:
        self.capabilities = capabilities
        self.delay = delay  # seconds before each group of replies: one round trip of the network
        self.counts = Counts()
        self._message_ids: set[str] = set()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._ledger = None if ledger is None else os.open(ledger, flags, 0o600)

    def receiver(self) -> Receiver:
        """Return the receiver for one connection."""
        return SinkReceiver(self)

    def take(self, session: int, transaction: Transaction) -> None:
        """Count a message."""
        counts, message_id = self.counts, transaction.message_id
        counts.messages += 1
        counts.recipients += len(transaction.recipients)
        counts.octets += len(transaction.source)
        self._message_ids.add(message_id)
        counts.distinct = len(self._message_ids)
        if self._ledger is not None:
            line = {
                "message_id": message_id,
                "recipients": transaction.recipients,
                "session": session,
            }
            os.write(self._ledger, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            os.close(self._ledger)


class SinkReceiver(Receiver):
    """The connection of one client of a sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink.capabilities)
        self._sink = sink
        self._session = 0
        self._last_line = ""

    def opened(self) -> None:
        counts = self._sink.counts
        counts.connections += 1
        counts.open += 1
        counts.peak = max(counts.peak, counts.open)
        self._session = counts.connections

    def closed(self, exc: Exception | None) -> None:
        self._sink.counts.open -= 1

    def judge_message(self, transaction: Transaction) -> str:
        self._sink.take(self._session, transaction)
        return "250 2.0.0 Ok"

    def send_reply(self, stage: Stage, index: int, reply: str) -> str:
        if stage is Stage.OTHER and self._last_line == "XSTATS":
            reply = f"250 {json.dumps(asdict(self._sink.counts))}"
        self._out.append(wire(reply))
        return reply

    def line_received(self, line: str) -> None:
        self._last_line = line

    def flush(self) -> None:
        if self._out and self._sink.delay:
            group = b"".join(self._out)
            self._out.clear()
            self._loop.call_later(self._sink.delay, self._write_late, group)
        else:
            super().flush()

    def close(self) -> None:
        self.flush()
        self._held = True
        self._loop.call_later(self._sink.delay, self.transport.close)

    def _write_late(self, group: bytes) -> None:
        if self._open:
            self.transport.write(group)


def _allow_all_descriptors() -> None:
    """Raise the soft limit: a sink has a socket for each address and for each connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str]) -> None:
    """Run a sink until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m outbox.testing.sink", description=__doc__)
    parser.add_argument("--host", nargs="+", default=["127.0.0.1"], help="addresses")
    parser.add_argument("--port", type=int, default=0, help="of all of them")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each group of replies")
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--chunking", action="store_true")
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--ready-file", type=Path, help="file to write the port to")
    options = parser.parse_args(arguments)
    if len(options.host) > 1 and not options.port:
        parser.error("--port 0 is a different port of each address: give one with several --host")
    _allow_all_descriptors()
    extensions = [f"SIZE {MAX_SIZE}", "8BITMIME", "SMTPUTF8"]
    extensions += [] if options.no_pipelining else ["PIPELINING"]
    extensions += ["CHUNKING"] if options.chunking else []
    capabilities = Capabilities(name="sink.localhost", extensions=tuple(extensions))
    sink = Sink(capabilities, delay=options.delay_ms / 1000, ledger=options.ledger)

    def ready(port: int) -> None:
        if options.ready_file:
            write_port(options.ready_file, port)
        print(port, flush=True)

    asyncio.run(serve_until_signalled(sink.receiver, options.host, options.port, ready))
    sink.close()
    print(json.dumps(asdict(sink.counts)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
