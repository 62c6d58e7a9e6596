"""Commands print text of other people on any terminal: what it cannot show stands as an escape."""

import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from outbox import api
from outbox.models import Account, Circuit, Destination
from outbox.testing.mailboxes import Mailboxes

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = sorted(
    path.stem for path in (ROOT / "outbox" / "management" / "commands").glob("outbox_*.py")
)
MESSAGE = (
    "From: Zo\u00eb <zoe@example.com>\r\nSubject: Gr\u00fc\u00dfe \u2603\r\n\r\nGr\u00fc\u00dfe\r\n"
)


def on_ascii(command: str, *arguments: str) -> str:
    terminal = TextIOWrapper(BytesIO(), "ascii", write_through=True)
    call_command(command, *arguments, stdout=terminal)
    terminal.seek(0)
    return terminal.read()


@pytest.fixture
def mailbox(tmp_path: Path) -> list[str]:
    Mailboxes(tmp_path).deliver("bj\u00f6rn@example.net", MESSAGE.encode())
    return [f"--directory={tmp_path}"]


def test_mailboxes_are_listed_and_read(mailbox: list[str]) -> None:
    assert "bj\\xf6rn@example.net" in on_ascii("outbox_mailbox", *mailbox)
    assert "Gr\\xfc\\xdfe" in on_ascii("outbox_mailbox", "bj\u00f6rn@example.net", *mailbox)
    assert "\\u2603" in on_ascii("outbox_mailbox", "bj\u00f6rn@example.net", "1", *mailbox)


@pytest.mark.django_db
def test_accounts_and_their_state() -> None:
    account = Account.objects.create(
        name="B\u00fcro", from_address="b@example.com", host="mail.example"
    )
    api.account_named("B\u00fcro")
    Destination.objects.create(
        account=account, circuit=Circuit.OPEN, circuit_reason="Ung\u00fcltig \u2603"
    )
    assert "B\\xfcro <b@example.com>" in on_ascii("outbox_account")
    shown = on_ascii("outbox_status")
    assert "Ung\\xfcltig \\u2603" in shown
    assert "B\\xfcro" in shown


@pytest.mark.django_db
def test_accounts_whose_name_no_key_opens(settings: object) -> None:
    Account.objects.create(name="B\u00fcro", from_address="b@example.com", secret_encrypted="x")
    with pytest.raises(CommandError, match="B\u00fcro"):
        on_ascii("outbox_rotate_secrets")


def test_a_scenario_with_any_text(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.scn"
    scenario.write_text("# Gr\u00fc\u00dfe\ngreeting: 220 ready\n", "utf-8")
    assert on_ascii("outbox_faultlab")
    with pytest.raises(CommandError):
        on_ascii("outbox_faultlab", "Gr\u00fc\u00dfe")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", command, "--help"],
        cwd=ROOT,
        env=os.environ | {"DEBUG": "on", "ENV_FILE": "", "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_every_command_prints_so() -> None:
    for command in COMMANDS:
        text = (ROOT / "outbox" / "management" / "commands" / f"{command}.py").read_text()
        assert "class Command(OutboxCommand)" in text, command
