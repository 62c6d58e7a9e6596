"""The real parts that tests stand on: Redis, Celery workers and a mail server.

The database comes from tests/settings.py. Every process started here is guarded by dev.processes,
so that not even a killed run leaves one behind.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from dev.celery_worker import CeleryWorker
from dev.redis_server import RedisServer
from outbox.testing.mailserver import MailServer

StartWorker = Callable[..., CeleryWorker]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-tests-only",
        action="store_true",
        help="leave out the tests that use no database: they passed on another one",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--database-tests-only"):
        kept = [item for item in items if uses_database(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def uses_database(item: pytest.Item) -> bool:
    """Tell whether a test asks for the database, or says that it uses one in its own way."""
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
def redis_server(_redis: RedisServer) -> RedisServer:
    """An empty Redis at settings.REDIS_URL; a test may stop, kill and start it."""
    if not _redis.answers():
        _redis.kill()  # it may hang instead of being gone
        _redis.start()
    _redis.clear()
    return _redis


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    """The local mail server: takes mail for any address and keeps it, see its mailboxes."""
    with MailServer(tmp_path / "mail") as server:
        yield server


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
