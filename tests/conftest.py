"""The real servers that tests use: Redis, Celery workers and a mail server.

The database comes from tests/settings.py. Every process started here is guarded by dev.processes,
so that not even a killed run leaves a process running.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from django.utils import translation

from dev.celery_worker import CeleryWorker
from dev.redis_server import RedisServer
from outbox.testing.pytest_plugin import dns_lab, fault_lab, inbox, mail_server, pop3_lab

# The fixtures that projects use, too.
__all__ = ["dns_lab", "fault_lab", "inbox", "mail_server", "pop3_lab"]

StartWorker = Callable[..., CeleryWorker]

if find_spec("hypothesis"):  # the backend's tests also run without it, on another Django
    import hypothesis

    # No generated example has a deadline: on a busy machine any of them may take a while.
    hypothesis.settings.register_profile("no deadline", deadline=None)
    hypothesis.settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def default_language() -> Iterator[None]:
    """Deactivate the language that a request of a test has activated in its thread."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def no_known_webhooks() -> Iterator[None]:
    """Clear the cache of webhooks, which the rollback of a test does not clear."""
    forget_known_webhooks()
    yield
    forget_known_webhooks()


def forget_known_webhooks() -> None:
    # A test without models must not wait for their import.
    if webhook := sys.modules.get("outbox.models.webhook"):
        webhook.forget_webhooks()


CASES = 4  # of a test outside tests/unit that a selection contains


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=("postgresql", "sqlite"),
        help="of a suite that is divided between the databases, run the part of this one",
    )
    parser.addoption(
        "--system",
        action="store_true",
        help="run only the tests that take long",
    )
    parser.addoption(
        "--selection",
        action="store_true",
        help=f"run {CASES} cases of each test that has more; with --system, the others as well",
    )
    parser.addoption(
        "--other-database",
        action="store_true",
        help="with --part: run only the tests that the suite runs on the other database",
    )


LONG = 600  # seconds in which a test ends that takes long by itself, on a busy machine
# Tests of pages, whose queries Django writes.
PAGES = ("tests/integration/admin/", "tests/integration/web/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = (config.getoption("--system"), config.getoption("--other-database"))
    part = config.getoption("--part")
    others = not_selected(items) if config.getoption("--selection") else set()
    kept = {
        item
        for item in items
        if (is_long(item) or item in others, is_elsewhere(item, part)) == wanted
        and (uses_database(item) or part != "postgresql")
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]
    for item in items:
        if is_long(item) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG))


def is_long(item: pytest.Item) -> bool:
    """Return whether a test takes long, so that `make test` leaves it out."""
    return item.get_closest_marker("system") is not None


def not_selected(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the cases that `make test` leaves out: of each test all but a few, evenly spaced."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not (item.nodeid.startswith("tests/unit/") or item.get_closest_marker("every_case")):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    others: set[pytest.Item] = set()
    for cases in tests.values():
        last = len(cases) - 1
        selected = {round(number * last / (CASES - 1)) for number in range(CASES)}
        others.update(case for place, case in enumerate(cases) if place not in selected)
    return others


def is_elsewhere(item: pytest.Item, part: str | None) -> bool:
    """Return whether the suite runs a test on the other database only.

    Pages run on SQLite, and all else that uses a database on PostgreSQL. A test marked
    every_database runs on both.
    """
    if part is None or item.get_closest_marker("every_database") or not uses_database(item):
        return False
    return part != ("sqlite" if item.nodeid.startswith(PAGES) else "postgresql")


def uses_database(item: pytest.Item) -> bool:
    """Return whether a test uses the database, through fixtures or in its own way."""
    fixtures = set(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(name) for name in ("django_db", "every_database"))
    return marked or not fixtures.isdisjoint({"db", "transactional_db"})


def pytest_configure() -> None:
    settings.SCRATCH.mkdir(parents=True, exist_ok=True)


def pytest_unconfigure() -> None:
    shutil.rmtree(settings.SCRATCH, ignore_errors=True)


@pytest.fixture
def site_environment(transactional_db: None) -> dict[str, str]:
    """The environment of a process that shares this test's database and Redis.

    Needs a transactional test: another process sees only what is committed.
    """
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        url = f"sqlite:///{quote(name)}"
    else:
        before, _, query = os.environ["DATABASE_URL"].partition("?")
        url = f"{before.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    return os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "mailsite.settings"}


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    server = RedisServer(settings.REDIS_DIRECTORY, append_only=True)
    yield server
    server.close()


@pytest.fixture
def redis_server(_redis: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis at settings.REDIS_URL; a test may stop, kill and start it."""
    _redis.start()
    _redis.clear()
    yield _redis
    _redis.kill()  # the other tests find it unavailable


@pytest.fixture
def start_worker(
    redis_server: RedisServer, site_environment: dict[str, str], tmp_path: Path
) -> Iterator[StartWorker]:
    """Start Celery workers on the test's database; they end with the test.

    `start_worker(name, NAME="value", …)` takes further environment variables, and returns once
    the worker takes tasks.
    """
    started: list[CeleryWorker] = []

    def start(name: str = "worker1", **environment: str) -> CeleryWorker:
        worker = CeleryWorker(
            name, environment=site_environment | environment, log=tmp_path / f"{name}.log"
        )
        started.append(worker)
        worker.wait_ready()
        return worker

    yield start
    for worker in started:
        worker.process.ask()
    for worker in started:
        worker.stop()
