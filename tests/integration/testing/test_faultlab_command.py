"""`manage.py outbox_faultlab` lists, shows and plays scenarios, and replays transcripts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from outbox.smtp import Connection, Envelope, Security, Server
from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from outbox.testing.replay import scenario_text
from tests.integration.testing.dialogue import PATIENCE, Dialogue

ROOT = Path(__file__).parents[3]


@contextmanager
def playing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "outbox_faultlab", *arguments],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.system
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_dialogue_until_a_signal(signum: signal.Signals) -> None:
    with playing("overquota") as (process, port):
        with Dialogue(port) as client:
            client.greeted()
            assert client.begin("full@example.net") == ["452 4.2.2 The mailbox is over its quota"]
            process.send_signal(signum)
            assert process.wait(PATIENCE) == 0
        assert process.stdout is not None
        said = process.stdout.read()
    assert "C  RCPT TO:<full@example.net>\n" in said
    assert "S  452 4.2.2 The mailbox is over its quota\n" in said


def test_it_replays_a_transcript(tmp_path: Path) -> None:
    transcript = tmp_path / "transcript.json"
    transcript.write_text(json.dumps([[0, "S", "554 5.3.2 no service"]]))
    with playing(f"--replay={transcript}") as (_, port), Dialogue(port) as client:
        assert client.reply() == "554 5.3.2 no service"


def test_a_replay_replies_as_the_recorded_server(fault_lab: StartLab) -> None:
    recorded = fault_lab("name mx.example.org\nat rcpt 2: 550 5.1.1 no\nat dot: 451 4.3.0 a\\nb")
    first = dialogue(recorded)
    transcript = [[line.ms, line.speaker, line.text] for line in recorded.ledger.sessions[0].lines]
    assert dialogue(fault_lab(scenario_text(transcript))) == first


def test_our_own_transcripts_can_be_replayed(fault_lab: StartLab) -> None:
    played = "offer PIPELINING, STARTTLS\nat rcpt 2: 550 5.1.1 no\nat dot: 451 4.3.0 full\\nlater"

    def replies_of(lab: FaultLab) -> list[object]:
        server = Server(
            host=lab.host,
            port=lab.port,
            security=Security.STARTTLS,
            ehlo_name="client.example",
            ca_file=lab.ca_file,
        )
        return [line for line in asyncio.run(send_one(server)) if line[0] == "S"]

    async def send_one(server: Server) -> list[list[object]]:
        session = await Connection.open(server)
        envelope = Envelope(sender="a@b.org", recipients=("c@d.org", "e@f.org"))
        sent = await session.send(envelope, b"Subject: x\r\n\r\nhi\r\n", proceed)
        await session.quit()
        recorded.extend([*session.transcript.dump(), *sent.transcript.dump()])
        return [line[1:] for line in recorded]

    async def proceed() -> bool:
        return True

    recorded: list[list[object]] = []
    first = replies_of(fault_lab(played))
    again = scenario_text(recorded)
    recorded.clear()
    assert replies_of(fault_lab(again)) == first
    assert ["S", "550 5.1.1 no"] in first


def dialogue(lab: FaultLab) -> list[str]:
    with Dialogue(lab.port) as client:
        lines = ["EHLO me.example", "MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "RCPT TO:<e@f.org>"]
        lines += ["DATA", "Subject: x\r\n\r\nhi\r\n.", "QUIT"]
        said = [client.reply(), *(client.say(line) for line in lines)]
    lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
    return said


def test_it_lists_and_shows_the_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("outbox_faultlab")
    assert "greylisting               Each recipient is deferred" in capsys.readouterr().out
    call_command("outbox_faultlab", "greylisting", show=True)
    assert "at rcpt on try 1: 451" in capsys.readouterr().out


def test_a_file_is_a_scenario_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.scn"
    file.write_text("at dot: close\n")
    call_command("outbox_faultlab", str(file), show=True)
    assert capsys.readouterr().out == "at dot: close\n"


def test_it_names_a_scenario_that_it_cannot_play(tmp_path: Path) -> None:
    file = tmp_path / "mine.scn"
    file.write_text("at lunch: close\n")
    with pytest.raises(CommandError, match="mine, line 1: there is no stage “lunch”"):
        call_command("outbox_faultlab", str(file))
    with pytest.raises(CommandError, match="There is no scenario “nothing”"):
        call_command("outbox_faultlab", "nothing")
    file.write_text("[[1]]")
    with pytest.raises(CommandError, match="is not a transcript line"):
        call_command("outbox_faultlab", replay=file)
