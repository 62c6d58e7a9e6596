"""The gate against unused code finds it, and accepts what templates and frameworks use."""

from pathlib import Path

import pytest

from dev.unused import unused

SOURCE = """
class Command:
    def add_arguments(self, parser: object) -> None: ...

    def helper(self) -> None: ...


def called() -> None: ...


def forgotten() -> None: ...


def shown_on_a_page() -> None: ...


called()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "code.py").write_text(SOURCE)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text("{{ row.shown_on_a_page }}")
    return tmp_path


def test_unused_code_is_found(tree: Path) -> None:
    assert [item.name for item in unused(tree)] == ["helper", "forgotten"]


def test_code_that_only_tests_use_is_used(tree: Path) -> None:
    (tree / "tests").mkdir()
    (tree / "tests" / "test_it.py").write_text("from outbox.code import forgotten\n\nforgotten()\n")
    assert [item.name for item in unused(tree)] == ["helper"]
