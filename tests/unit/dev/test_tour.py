"""The pictures of the documentation are few and current; an index shows those of the tests."""

from pathlib import Path

import pytest

from dev.tour import KEPT, named_in_docs, write_index

MOST = 8  # pictures: they are part of every clone, and each version stays in it


def test_documentation_and_repository_have_the_same_pictures() -> None:
    assert {path.stem for path in KEPT.iterdir()} == named_in_docs()


def test_repository_has_few_pictures() -> None:
    assert len(list(KEPT.iterdir())) <= MOST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("inbox-wide-light", "inbox-narrow-dark", "compose-wide-light", "other"):
        (tmp_path / f"{name}.png").touch()
    return tmp_path


def test_index_shows_the_variants_of_each_page(folder: Path) -> None:
    index = write_index(folder).read_text()
    assert index.index("<h2>compose</h2>") < index.index("<h2>inbox</h2>")
    assert 'src="inbox-wide-light.png"' in index
    assert 'src="inbox-narrow-dark.png"' in index
    assert "other" not in index
