"""`outbox_inspect` prints what message files are, as text and as JSON."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.unit.inbound.samples import read_samples

SOURCES = {sample["name"]: sample["source"] for sample in read_samples()}
RULE = """
[[rules]]
id = "our-gateway"
kind = "infrastructure"
effect = "infrastructure"
words = ["user unknown in local"]
examples = ["550 User unknown in local recipient table"]
"""


@pytest.fixture
def bounce(tmp_path: Path) -> str:
    path = tmp_path / "bounce.eml"
    path.write_bytes(SOURCES["RFC 3464, Postfix"])
    return str(path)


def inspected(*arguments: str) -> list[dict[str, Any]]:
    output = io.StringIO()
    call_command("outbox_inspect", *arguments, "--json", stdout=output)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_file_is_one_json_line(bounce: str) -> None:
    (found,) = inspected(bounce)
    assert found == {
        "file": bounce,
        "kind": "bounce",
        "sign": "delivery-status",
        "message_id": "",
        "original_message_id": "p1@near.test",
        "envelope_id": "QQ314159",
        "recipients": [
            {
                "address": "bob@far.test",
                "action": "failed",
                "status": "5.1.1",
                "effect": "hard",
                "bounce_type": "hard",
                "reason": "550 5.1.1 <bob@far.test>: Recipient address rejected: User unknown in "
                "local recipient table",
                "rule": "mailbox-unknown",
                "final_recipient": "",
                "original_message_id": "p1@near.test",
            }
        ],
    }


def test_without_json_the_output_is_text(bounce: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("outbox_inspect", bounce)
    assert capsys.readouterr().out.splitlines()[:4] == [
        f"{bounce}: bounce (delivery-status)",
        "  original Message-ID: p1@near.test",
        "  envelope id: QQ314159",
        "  bob@far.test: failed 5.1.1 hard [mailbox-unknown]",
    ]


def test_an_unreadable_file_does_not_stop_the_others(
    bounce: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.eml")
    with pytest.raises(CommandError, match="2 files could not be read"):
        call_command("outbox_inspect", missing, str(tmp_path), bounce, "--json")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["file"] == bounce
    assert f"{missing}: FileNotFoundError" in printed.err


def test_a_hyphen_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    source = io.BytesIO(SOURCES["read receipt"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
    (found,) = inspected("-")
    assert (found["file"], found["kind"]) == ("-", "receipt")
    assert found["recipients"][0]["bounce_type"] == ""


def test_a_site_adds_rules_of_its_own(bounce: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(RULE.replace("words = [", "words = [").replace('"our-gateway"', '"ours"'))
    with override_settings(OUTBOX={"REPLY_RULES": str(path)}):
        (found,) = inspected(bounce)
    assert found["recipients"][0]["rule"] == "ours"
    assert found["recipients"][0]["bounce_type"] == "soft"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no table", "not TOML"),
        (RULE.replace('effect = "infrastructure"\n', ""), "'effect'"),
        (RULE.replace('"user unknown in local"', '"("'), "our-gateway"),
        (RULE.replace("our-gateway", "spam"), "Choose another"),
        (RULE + "\nextra = 1\n", "no field extra"),
    ],
)
def test_an_invalid_file_of_rules_is_named(text: str, said: str, tmp_path: Path) -> None:
    from outbox.reply_rules import kind_of_reply, rules_in_force

    path = tmp_path / "rules.toml"
    path.write_text(text)
    with override_settings(OUTBOX={"REPLY_RULES": str(path)}):
        with pytest.raises(ImproperlyConfigured, match=said):
            rules_in_force()
        assert kind_of_reply(550, "5.1.1", "User unknown") == "recipient"


def test_an_invalid_file_of_rules_is_read_once(tmp_path: Path) -> None:
    """Workers ask for the rules for each reply."""
    from outbox.reply_rules import rules_in_force

    path = tmp_path / "rules.toml"
    path.write_text("no table")
    with override_settings(OUTBOX={"REPLY_RULES": str(path)}):
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match="not TOML"):
                rules_in_force()
            path.write_text(RULE)
