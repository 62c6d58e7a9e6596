"""An account to send with, and lock files of the imported apps in a folder of their own."""

import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from outbox.models import Account

Import = Callable[..., str]


@pytest.fixture(autouse=True)
def account(db: None) -> Account:
    return Account.objects.create(
        name="shop", from_address="shop@example.com", host="127.0.0.1", is_app_default=True
    )


@pytest.fixture(autouse=True)
def lock_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both put them where a process was started, or into the system's folder."""
    monkeypatch.setattr("post_office.lockfile.default_lockfile", str(tmp_path / "post_office"))
    monkeypatch.setattr("mailer.engine.LOCK_PATH", str(tmp_path / "mailer"))
    return tmp_path


@pytest.fixture
def outbox_import() -> Import:
    """Run the command; return what it prints."""

    def run(*arguments: str) -> str:
        output = StringIO()
        call_command("outbox_import", *arguments, stdout=output)
        return output.getvalue()

    return run


def another_process() -> int:
    """Return the id of a process that runs and is not this one."""
    return os.getppid()
