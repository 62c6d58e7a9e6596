"""`docs/protocol.md` names tests, which must exist, and lists every item."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "protocol.md").read_text()
NAMED = sorted(
    set(re.findall(r"`((?:unit|integration|acceptance|browser)/[\w/]+\.py)(?:::(\w+))?`", TEXT))
)


def test_every_item_is_listed() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) [MSO] \|", TEXT, re.MULTILINE)]
    assert numbers == [
        *range(1, 115), *range(116, 156),
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: str(value).rpartition("/")[2])
def test_the_named_test_exists(path: str, name: str) -> None:
    source = (ROOT / "tests" / path).read_text()
    assert not name or re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE)
