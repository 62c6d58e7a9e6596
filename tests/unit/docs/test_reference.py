"""The reference knows everything there is: its tables are those of the code, word for word."""

import re

import pytest

from dev.reference import REFERENCE, TABLES, filled
from outbox import api
from tests.unit.docs.blocks import ROOT

HOW_TO = "run `python -m dev.reference`"
# For pages, the admin and commands of this project; what they need may change at any time.
NOT_FOR_APPS = {
    "BlockedDestination", "DomainReport", "DraftFields", "DraftKind", "SigningKeyError",
    "activate_signing_key", "check_domain", "generate_signing_key", "remove_signing_key",
    "list_signing_keys", "retire_signing_key", "HoldInProgress", "PreparedReply",
    "PauseInForce", "ProbeReport",
    "ProbeStep", "WorkerSeen", "attach", "begun_on", "close_circuit", "default_account",
    "detach", "discard_draft", "drain", "end_drain", "files_of", "link_reply",
    "prepare_reply", "probe", "reply_to_message", "resolve_as_sent", "resolve_as_unsent",
    "save_draft", "send_draft", "take_back",
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
