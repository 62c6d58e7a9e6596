"""The sink counts messages, lists them in its ledger, and replies after a round trip."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.integration.testing.dialogue import PATIENCE, Dialogue

ROOT = Path(__file__).parents[3]


@contextmanager
def sink(
    *arguments: str, within: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a sink, by a command `within` that runs another one."""
    process = subprocess.Popen(
        [*within, sys.executable, "-m", "outbox.testing.sink", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def counts(client: Dialogue) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.say("XSTATS").removeprefix("250 "))
    return found


def source(number: int) -> bytes:
    return f"Message-ID: <{number}@example.org>\r\n\r\nhi\r\n".encode()


def test_it_counts_messages_and_copies() -> None:
    with sink() as (process, port):
        with Dialogue(port) as client:
            client.greeted()
            for number in (1, 2, 2):
                client.message(source(number), "a@example.org", "b@example.org")
            found = counts(client)
            assert (found["messages"], found["recipients"], found["distinct"]) == (3, 6, 2)
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["messages"] == 3


def test_it_counts_the_peak_of_connections() -> None:
    with sink() as (_, port), ExitStack() as stack:
        clients = [stack.enter_context(Dialogue(port)).greeted() for _ in range(5)]
        for client in clients[1:]:
            client.say("QUIT")
            assert client.receive() == b""
        stack.enter_context(Dialogue(port)).greeted()
        found = counts(clients[0])
        assert (found["connections"], found["peak"], found["open"]) == (6, 5, 2)


def test_it_accepts_more_connections_than_its_soft_limit_of_descriptors() -> None:
    few = ("sh", "-c", 'ulimit -S -n 40 && exec "$@"', "sh")
    with sink(within=few) as (_, port), ExitStack() as stack:
        clients = [stack.enter_context(Dialogue(port)).greeted() for _ in range(60)]
        assert counts(clients[-1])["open"] == 60


def test_its_ledger_has_a_message_before_the_client_gets_the_reply(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with sink(f"--ledger={ledger}") as (process, port), Dialogue(port) as client:
        client.greeted()
        for number in (1, 2):
            client.message(source(number))
        process.kill()
        process.wait(PATIENCE)
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["message_id"] for line in lines] == ["<1@example.org>", "<2@example.org>"]
    assert lines[0]["recipients"] == ["bob@example.net"]


def test_a_group_of_replies_is_delayed_once() -> None:
    with sink("--delay-ms=300") as (_, port), Dialogue(port) as client:
        client.greeted()
        began = time.monotonic()
        client.say("MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "RCPT TO:<e@f.org>", "DATA")
        assert time.monotonic() - began >= 0.3
        rest = client.receive()  # in the same packet
        assert [line[:3] for line in rest.splitlines()] == [b"250", b"250", b"354"]
        client.send(source(1) + b".\r\n")
        assert client.reply().startswith("250")
        assert time.monotonic() - began >= 0.6
        assert client.say("QUIT").startswith("221")
        assert client.receive() == b""


def test_it_accepts_chunks_when_configured() -> None:
    with sink("--chunking", "--no-pipelining") as (_, port), Dialogue(port) as client:
        client.reply()
        offered = client.say("EHLO me.example")
        assert "CHUNKING" in offered
        assert "PIPELINING" not in offered
        client.begin("a@example.org")
        body = source(1)
        client.send(f"BDAT {len(body)} LAST\r\n".encode() + body)
        assert client.reply().startswith("250")
        assert counts(client)["octets"] == len(body)


def test_several_addresses_need_a_port() -> None:
    command = [sys.executable, "-m", "outbox.testing.sink", "--host", "127.0.0.1", "127.0.0.2"]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert found.returncode == 2
    assert "--port" in found.stderr
