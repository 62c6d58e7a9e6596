"""Output never blocks a part, and the log file is complete."""

import io
import os
import threading
from pathlib import Path

import pytest

from dev import console


class Stuck(io.StringIO):
    """A terminal that blocks until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(30)
        return super().write(text)


def test_a_blocked_terminal_blocks_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Stuck()
    monkeypatch.setattr("sys.stdout", terminal)
    written = console.Console()
    for number in range(console.WAITING_MAX * 2):
        written.say(str(number))
    terminal.free.set()
    written.flush(within=30)
    assert terminal.getvalue().startswith("0\n1\n2\n")


def test_a_part_is_named_before_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stdout", terminal)
    written = console.Console()
    written.say("hello", part="web")
    written.flush(within=30)
    assert terminal.getvalue() == "     web | hello\n"


def test_routine_stays_in_the_log_file(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"Task outbox.sweep[1] succeeded\n\nGET /healthz 200 1 ms\nan error\nlast")
    os.close(writer)
    shown_lines: list[str] = []
    log = tmp_path / "part.log"
    console.follow(os.fdopen(reader, "rb"), log, shown_lines.append).join(30)
    assert shown_lines == ["an error", "last"]
    assert len(log.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param("GET /messages/35/live/ 204 12 ms", False, id="nothing new on a page"),
        pytest.param("GET /folders/outbox/rows/ 204 12 ms", False, id="nothing new in a list"),
        pytest.param("GET /search/rows/ 204 12 ms", False, id="nothing new in a search"),
        pytest.param("GET /messages/35/live/ 200 12 ms", True, id="something new"),
        pytest.param("GET /messages/35/live/ 500 12 ms", True, id="an error"),
        pytest.param("POST /messages/35/cancel/ 302 12 ms", True, id="an action"),
        pytest.param(
            "# WARNING Memory overcommit must be enabled! Without it, a background save",
            False,
            id="a hint of Redis",
        ),
        pytest.param("# WARNING The disk is full", True, id="another warning of Redis"),
    ],
)
def test_a_terminal_shows_what_asks_for_attention(line: str, shown: bool, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, line.encode())
    os.close(writer)
    shown_lines: list[str] = []
    console.follow(os.fdopen(reader, "rb"), tmp_path / "part.log", shown_lines.append).join(30)
    assert shown_lines == [line] * shown
