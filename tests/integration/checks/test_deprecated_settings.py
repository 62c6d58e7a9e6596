"""The checks read no setting that Django has deprecated: `-W error` passes, on every Django."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.docs.blocks import ROOT

SETTINGS = """
SECRET_KEY = "only for tests " * 4
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "outbox"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
USE_TZ = True
MEDIA_ROOT = "media"
CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
OUTBOX = {"SECRET_KEYS": ["CwVuNGIWBsn0M1yH0nUeCGkUaD5UQWl1rJOXc0i9G7k="]}
LOGGING = {
    "version": 1,
    "handlers": {"mail": {"class": "django.utils.log.AdminEmailHandler"}},
}
"""


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="as Django has it"),
        pytest.param('MAILERS = {"default": {"BACKEND": "x"}}', id="mailers"),
        pytest.param("MAILERS = {}", id="no mailer"),
    ],
)
def test_checks_of_alerts_warn_of_nothing(more: str, tmp_path: Path) -> None:
    (tmp_path / "shop_settings.py").write_text(SETTINGS + more)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check"],
        cwd=tmp_path,
        env=os.environ | {
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "outbox.W010" not in done.stderr
