"""The pictures of the documentation are few and current; an index shows those of the tests."""

from pathlib import Path

import pytest

from dev.tour import KEPT, named_in_docs, write_index, write_texts

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


def test_texts_of_all_pages_are_one_file_per_language(tmp_path: Path) -> None:
    for language, text in {"en": "Sent", "zh": "已发送"}.items():
        (tmp_path / "texts" / language).mkdir(parents=True)
        (tmp_path / "texts" / language / "inbox.txt").write_text(text)
    (tmp_path / "texts" / "en" / "compose.txt").write_text("Compose")
    write_texts(tmp_path / "texts", tmp_path)
    english = (tmp_path / "pages-en.txt").read_text()
    assert english == "==== compose\n\nCompose\n\n==== inbox\n\nSent\n"
    assert (tmp_path / "pages-zh.txt").read_text() == "==== inbox\n\n已发送\n"


def test_no_texts_write_no_file(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", tmp_path)
    assert list(tmp_path.iterdir()) == []
