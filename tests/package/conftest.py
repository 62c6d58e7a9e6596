"""The wheel, an environment with it, and the bare project that runs in there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.redis_server import RedisServer
from outbox.testing.mailserver import MailServer
from tests.package.bare import BareProject
from tests.package.wheel import build, environment

PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel: Path) -> Iterator[Path]:
    """The Python of a fresh environment with the wheel in it."""
    with environment(wheel) as found:
        yield found


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Celery's URL of a running Redis."""
    redis = RedisServer(tmp_path_factory.mktemp("redis"), append_only=False)
    redis.start()
    yield redis.url.replace("unix://", "redis+socket://")
    redis.close()


@pytest.fixture(scope="session")
def project(python: Path, broker: str, tmp_path_factory: pytest.TempPathFactory) -> BareProject:
    """The bare project, far from this tree, with its tables made and nothing running."""
    folder = tmp_path_factory.mktemp("bare") / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    project = BareProject(python, folder, kept | {"SHOP_BROKER": broker})
    project.manage("migrate", "--verbosity", "0")
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("mail")) as server:
        yield server
