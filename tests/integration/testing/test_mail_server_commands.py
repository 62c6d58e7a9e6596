"""`manage.py outbox_mailserver` serves until a signal; `outbox_mailbox` displays messages."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from outbox.testing.mailboxes import Mailboxes
from tests.integration.testing.dialogue import PATIENCE, Dialogue

ROOT = Path(__file__).parents[3]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    ready = tmp_path / "port"
    command = [sys.executable, "manage.py", "outbox_mailserver", f"--directory={tmp_path / 'mail'}"]
    process = subprocess.Popen(
        [*command, "--port=0", f"--ready-file={ready}"],
        cwd=ROOT,
        env=os.environ | {"DEBUG": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)  # the file is the sign that is waited for
    yield process, int(ready.read_text())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_even_while_a_client_waits(
    served: tuple[subprocess.Popen[str], int], signum: signal.Signals
) -> None:
    process, port = served
    with Dialogue(port) as client:
        client.greeted()
        process.send_signal(signum)
        assert process.wait(PATIENCE) == 0
        assert process.stdout is not None
        first, *usage = process.stdout.read().splitlines()
        assert first == f"Mail server at 127.0.0.1:{port}"
        assert f"--host 127.0.0.1 --port {port} --security none" in usage[0]
        assert "outbox_mailbox --directory" in usage[1]


def test_it_names_a_port_that_is_taken(
    served: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    _, port = served
    with pytest.raises(CommandError, match=str(port)):
        call_command("outbox_mailserver", directory=tmp_path / "other", port=port)


def test_a_user_needs_a_password(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="together"):
        call_command("outbox_mailserver", directory=tmp_path, user="me")


def test_a_mailbox_is_listed_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mailboxes = Mailboxes(tmp_path)
    mailboxes.deliver(
        "bob@example.net", b"From: a\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n\x1b[2J\r\n"
    )
    call_command("outbox_mailbox", directory=tmp_path)
    assert "1  bob@example.net" in capsys.readouterr().out
    call_command("outbox_mailbox", "bob@example.net", directory=tmp_path)
    assert "a  Grüße" in capsys.readouterr().out
    call_command("outbox_mailbox", "bob@example.net", "1", directory=tmp_path)
    assert "\\x1b[2J" in capsys.readouterr().out  # escaped for the terminal


@pytest.mark.parametrize("arguments", [["eve@example.net"], ["bob@example.net", "2"]])
def test_a_missing_message_is_an_error(tmp_path: Path, arguments: list[str]) -> None:
    Mailboxes(tmp_path).deliver("bob@example.net", b"\r\n")
    with pytest.raises(CommandError, match=r"There (is|are) no message"):
        call_command("outbox_mailbox", *arguments, directory=tmp_path)
