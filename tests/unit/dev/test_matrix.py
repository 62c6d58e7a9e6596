"""The rows of `make matrix` together run every folder of tests that depends on versions."""

from dev.matrix import ROWS
from tests.unit.docs.blocks import ROOT


def test_each_folder_runs_on_a_new_version_of_django() -> None:
    folders = {
        f"tests/integration/{path.name}"
        for path in (ROOT / "tests" / "integration").iterdir()
        if (path / "__init__.py").exists()
    }
    new = [row for row in ROWS if row.django != "5.2"]
    assert folders <= {path for row in new for path in row.paths}


def test_each_folder_of_a_row_exists() -> None:
    assert [path for row in ROWS for path in row.paths if not (ROOT / path).is_dir()] == []
