"""`docs/protocol.md` names tests; each of them has to exist, and every item has to stand there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "protocol.md").read_text()
NAMED = sorted(
    set(re.findall(r"`((?:unit|integration|acceptance|browser)/[\w/]+\.py)(?:::(\w+))?`", TEXT))
)


def test_every_item_stands_in_the_list() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) [MSO] \|", TEXT, re.MULTILINE)]
    assert numbers == list(range(1, 113))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: str(value).rpartition("/")[2])
def test_the_named_test_exists(path: str, name: str) -> None:
    source = (ROOT / "tests" / path).read_text()
    assert not name or re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE)
