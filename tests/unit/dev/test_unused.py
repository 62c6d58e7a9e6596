"""The gate against unused code finds it, and accepts what templates and frameworks use."""

from pathlib import Path

import pytest

from dev.unused import unused, unused_fixtures, unused_static_files, unused_templates

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


def test_fixtures_that_no_test_requests_are_found(tree: Path) -> None:
    (tree / "tests").mkdir()
    (tree / "tests" / "test_it.py").write_text(
        "import pytest\n\n"
        "@pytest.fixture\ndef requested(): ...\n\n"
        "@pytest.fixture\ndef named(): ...\n\n"
        "@pytest.fixture(autouse=True)\ndef _always(): ...\n\n"
        "@pytest.fixture\ndef forgotten(requested): ...\n\n"
        '@pytest.mark.usefixtures("named")\ndef test_it(): ...\n'
    )

    assert list(unused_fixtures(tree)) == ["tests/test_it.py: unused fixture 'forgotten'"]


def test_templates_that_nothing_renders_are_found(tree: Path) -> None:
    (tree / "outbox" / "views.py").write_text(
        'render(request, "page.html")\nrender_dialog(request, "question", {})\n'
    )
    for name in ("404.html", "question.html", "_question.html", "forgotten.html", "_part.html"):
        (tree / "templates" / name).touch()
    (tree / "templates" / "page.html").write_text('{% include "_part.html" %}')

    assert list(unused_templates(tree)) == ["templates/forgotten.html: unused template"]


def test_static_files_that_nothing_names_are_found(tree: Path) -> None:
    static = tree / "outbox" / "static" / "outbox"
    static.mkdir(parents=True)
    (static / "page.js").write_text('import "./helper.js";')
    (static / "helper.js").touch()
    (static / "forgotten.css").touch()
    (tree / "templates" / "page.html").write_text('<script src="outbox/page.js"></script>')

    assert list(unused_static_files(tree)) == [
        "outbox/static/outbox/forgotten.css: unused static file"
    ]
