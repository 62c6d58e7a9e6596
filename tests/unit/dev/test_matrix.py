"""The rows of `make matrix` name folders of tests that exist."""

from dev.matrix import ROWS
from tests.unit.docs.blocks import ROOT


def test_each_folder_of_a_row_exists() -> None:
    assert [path for row in ROWS for path in row.paths if not (ROOT / path).is_dir()] == []
