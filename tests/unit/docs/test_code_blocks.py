"""What the documentation shows is run, page by page, in the order it is read in."""

import inspect
import re
import shlex
import unittest
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.test import override_settings

from outbox.conf import get_conf
from outbox.models import Account
from outbox.signals import SIGNAL_OF
from tests.unit.docs.blocks import PAGES, ROOT, blocks, run

BACKEND = "outbox.backend.EmailBackend"
_LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
# Tools of the reader's own: their lines are shown, not run.
TOOLS = {"pip", "celery", "make", "docker", "cp", "python"}
QUICK_START = ROOT / "docs" / "quick-start.md"  # run by tests/package in a project of its own


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def _a_project(transactional_db: None) -> Any:
    """What a page may take for granted: the backend and the URL of the site."""
    named: dict[str, Any] = {"EMAIL_BACKEND": BACKEND}
    if django.VERSION >= (6, 1):
        named = {"MAILERS": {"default": {"BACKEND": BACKEND}}}
    named["OUTBOX"] = settings.OUTBOX | {"SITE_URL": "https://mail.example.com"}
    receivers = {signal: list(signal.receivers) for signal in SIGNAL_OF.values()}
    with override_settings(**named):
        yield
    for signal, before in receivers.items():
        signal.receivers = before
        signal.sender_receivers_cache.clear()


# A page may show what Django 6.1 deprecates, while 5.2 has nothing in its place.
@pytest.mark.filterwarnings("ignore:get_connection:PendingDeprecationWarning")
@pytest.mark.usefixtures("_a_project")
@pytest.mark.parametrize("page", [page for page in PAGES if page != QUICK_START], ids=title)
def test_python_runs_and_gives_what_the_page_says(
    page: Path, request: pytest.FixtureRequest
) -> None:
    Account.objects.create(
        name="shop", from_address="shop@example.com", host="127.0.0.1", is_app_default=True
    )
    namespace: dict[str, Any] = {"__name__": "a_page"}
    for block in blocks(page):
        if block.language == "python":
            before = set(namespace)
            run(block, namespace, title(page))
            _run_tests({name: namespace[name] for name in namespace.keys() - before}, request)
    with override_settings(OUTBOX=namespace.get("OUTBOX", {})):
        get_conf()  # refuses a key that does not exist


def _run_tests(defined: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """Run the tests that a block defines, with the fixtures they ask for."""
    for name, value in defined.items():
        if inspect.isclass(value) and issubclass(value, unittest.TestCase):
            if value.__module__ == "a_page":
                result = unittest.TestResult()
                unittest.defaultTestLoader.loadTestsFromTestCase(value).run(result)
                assert result.testsRun, name
                assert not [*result.errors, *result.failures], result
        elif inspect.isfunction(value) and name.startswith("test_"):
            wanted = inspect.signature(value).parameters
            if "inbox" in wanted:
                request.getfixturevalue("inbox").clear()  # each test of a reader has its own
            value(**{each: request.getfixturevalue(each) for each in wanted})


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_commands_exist_and_take_what_the_page_gives_them(page: Path) -> None:
    commands = get_commands()
    for block in blocks(page):
        if block.language != "sh":
            continue
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            assert page == QUICK_START or words[0] in TOOLS, f"{title(page)}: {words[0]!r}"
            if "manage.py" in words:
                name, *arguments = words[words.index("manage.py") + 1 :]
                command = load_command_class(commands[name], name)
                command.create_parser("manage.py", name).parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_block_has_a_language(page: Path) -> None:
    """A block without one is a drawing."""
    for block in blocks(page):
        assert block.language in {"python", "sh", "json", "http", ""}, title(page)


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_no_link_leads_nowhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{title(page)} links to {target}"
        assert not anchor or anchor in _anchors(linked), f"{title(page)} links to {target}"


def _anchors(page: Path) -> set[str]:
    """Name the headings as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
