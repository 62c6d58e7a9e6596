"""Commands print any text on any terminal: characters outside its encoding are escaped."""

import json
import os
import re
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from outbox import api
from outbox.management.output import EscapingStream
from outbox.models import Account, Circuit, Destination
from outbox.reasons import quoted
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
        account=account, circuit=Circuit.OPEN, circuit_reason=quoted("Ung\u00fcltig \u2603")
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


def test_control_characters_of_a_message_are_escaped(tmp_path: Path) -> None:
    """A message must not change the title of the terminal, or the lines above."""
    (tmp_path / "message").write_bytes(
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        b"Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 \x1b]0;title\x07 \xc2\x9b2J \xe2\x80\xae no\r\n\r\n"
        b"--b--\r\n"
    )
    out = StringIO()
    call_command("outbox_inspect", str(tmp_path / "message"), stdout=out)
    assert "bob@example.net" in out.getvalue()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out.getvalue())


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x202E, 0x2069])
def test_a_control_character_is_written_as_an_escape(code: int) -> None:
    out = StringIO()
    EscapingStream(out).write(f"a{chr(code)}b\n")
    shown = chr(code) if chr(code) in "\t\n" else f"\\u{code:04x}"
    assert out.getvalue() == f"a{shown}b\n"


def test_json_with_control_characters_remains_json() -> None:
    out = StringIO()
    text = json.dumps({"text": "\x1b\x9b\u202e"}, ensure_ascii=False)
    EscapingStream(out).write(f"{text}\r\n")
    assert json.loads(out.getvalue()) == {"text": "\x1b\x9b\u202e"}
    assert out.getvalue().isascii()
    assert out.getvalue().endswith("}\r\n")


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
