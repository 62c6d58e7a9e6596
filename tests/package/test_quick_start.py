"""The quick start works to the letter: from an empty directory to messages that arrived."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import wait_until
from outbox.testing.mailboxes import Mailboxes
from outbox.testing.mailserver import DIRECTORY
from tests.package.bare import Visitor
from tests.package.walkthrough import Reader
from tests.package.wheel import ROOT, pins
from tests.unit.docs.blocks import Block

PAGE = ROOT / "docs" / "quick-start.md"
CHECKOUT = (
    "outbox", "templates", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml",
)  # fmt: skip  # what the wheel is built of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
]  # it installs everything, without a cache


@pytest.fixture(scope="module")
def reader(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with a checkout, an empty home, and nothing installed but Python and Redis."""
    folder = tmp_path_factory.mktemp("quick-start")
    checkout = folder / "outbox"
    checkout.mkdir()
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, checkout)
    (folder / "home").mkdir()
    (folder / "pins.txt").write_text("\n".join(pins()))
    passed_on = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    reader = Reader(folder, passed_on | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "PIP_CONSTRAINT": str(folder / "pins.txt"),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": broker,
    })  # fmt: skip
    yield reader
    reader.stop()


def test_every_block_of_the_page_works(reader: Reader) -> None:
    mailboxes = Mailboxes(reader.folder / "shop" / DIRECTORY)

    def all_arrived() -> bool:
        addresses = ("bob@example.com", "carl@example.com")
        return all(mailboxes.messages(address) for address in addresses)

    def wait_as_a_reader(block: Block) -> None:
        if "outbox_mailbox" in block.text:
            wait_until(all_arrived, within=120, what=f"the messages (logs in {reader.folder})")

    reader.follow(PAGE, wait_as_a_reader)

    said = "\n".join(output for _, output in reader.outputs)
    assert said.count("System check identified no issues") == 2, said
    assert "Account local <shop@example.com> created" in said
    assert "1  bob@example.com" in said
    assert "1  carl@example.com" in said
    assert "It is due in May." in said
    assert "overdue               0" in said
    for line, process in reader.processes.items():
        assert process.returncode is None, f"{line} ended (logs in {reader.folder})"
    assert_pages_show_both_messages(reader)


def assert_pages_show_both_messages(reader: Reader) -> None:
    visitor = Visitor(f"http://127.0.0.1:{reader.ports[8000]}")
    wait_until(visitor.is_served, within=60, what="runserver")
    assert "Log in" in visitor.get("/mail/")[1]

    visitor.post("/admin/login/", username="ann", password="a password of your own", next="/mail/")

    home = visitor.get("/mail/")[1]
    assert "Sign out" in home
    assert "Your invoice" in visitor.get("/mail/folders/sent/")[1]
    assert "Your order" in visitor.get("/mail/folders/apps/")[1]
