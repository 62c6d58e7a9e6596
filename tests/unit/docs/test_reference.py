"""The reference knows everything there is: its tables are those of the code, word for word."""

import re

import pytest

from outbox import api
from tests.unit.docs.blocks import ROOT
from tests.unit.docs.tables import REFERENCE, TABLES, filled

HOW_TO = "run `python -m tests.unit.docs.tables`"
# For pages, the admin and commands of this project; what they need may change at any time.
NOT_FOR_APPS = {
    "Answer", "BlockedDestination", "DraftFields", "PreparedAnswer", "ProbeReport", "ProbeStep",
    "WorkerSeen", "answer", "attach", "begun_on", "close_circuit", "default_account", "detach",
    "discard_draft", "files_of", "link_answer", "prepare_answer", "probe", "save_draft",
    "send_draft", "settle_as_sent", "settle_as_unsent", "take_back",
}  # fmt: skip


def test_its_tables_are_those_of_the_code() -> None:
    text = REFERENCE.read_text()

    assert filled(text) == text, HOW_TO


@pytest.mark.parametrize("name", TABLES)
def test_it_has_every_table_and_none_is_empty(name: str) -> None:
    assert f"<!-- {name} -->" in REFERENCE.read_text()
    rows = TABLES[name]().splitlines()[2:]
    assert rows
    assert not [row for row in rows if re.search(r"\|\s+\|", row)], "a row says nothing"


def test_it_knows_every_check() -> None:
    modules = (ROOT / "outbox" / "checks.py", ROOT / "outbox" / "web" / "checks.py")
    known = {
        name for each in modules for name in re.findall(r"outbox\.[EW]\d{3}", each.read_text())
    }

    assert set(re.findall(r"`(outbox\.[EW]\d{3})`", REFERENCE.read_text())) == known


@pytest.mark.parametrize("name", sorted(set(api.__all__) - NOT_FOR_APPS))
def test_it_or_a_how_to_names_every_verb(name: str) -> None:
    pages = [REFERENCE, *(ROOT / "docs" / "how-to").glob("*.md")]

    assert any(re.search(rf"\b{name}\b", page.read_text()) for page in pages)
