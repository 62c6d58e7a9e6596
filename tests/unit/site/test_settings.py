"""The site's settings refuse to start half configured, and are strict when they do start."""

import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mailsite import settings as module

FILE = Path(module.__file__)
PRODUCTION = {
    "ENV_FILE": "",
    "DEBUG": "off",
    "SECRET_KEY": "a secret of fifty characters, as long as one should be",
    "OUTBOX_SECRET_KEYS": "first, second",
    "DATABASE_URL": "postgres://outbox:word@db.example.com/outbox",
    "REDIS_URL": "redis://redis.example.com:6379/0",
}


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """Read the settings file anew in this environment alone."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(FILE))


@pytest.mark.parametrize(
    "missing", ["SECRET_KEY", "OUTBOX_SECRET_KEYS", "DATABASE_URL", "REDIS_URL"]
)
def test_production_does_not_start_without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"^Set {missing}: "):
        load(monkeypatch, **(PRODUCTION | {missing: ""}))


def test_an_empty_environment_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^Set SECRET_KEY: "):
        load(monkeypatch, ENV_FILE="")


def test_debug_starts_without_settings_and_with_a_random_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = load(monkeypatch, ENV_FILE="", DEBUG="on")
    second = load(monkeypatch, ENV_FILE="", DEBUG="on")
    assert first["SECRET_KEY"] != second["SECRET_KEY"]
    assert first["OUTBOX"]["SECRET_KEYS"] == []


def test_production_insists_on_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] > 0
    assert settings["SECURE_PROXY_SSL_HEADER"] is None


def test_secret_keys_are_a_list_with_the_encrypting_one_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(monkeypatch, **PRODUCTION)["OUTBOX"]["SECRET_KEYS"] == ["first", "second"]


def test_sqlite_waits_for_locks_and_writes_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "sqlite:////srv/a%20folder/db.sqlite3"
    database = load(monkeypatch, **(PRODUCTION | {"DATABASE_URL": url}))["DATABASES"]["default"]
    assert database["NAME"] == "/srv/a folder/db.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database["OPTIONS"]["timeout"] >= 20
    assert "journal_mode = WAL" in database["OPTIONS"]["init_command"]
    assert "synchronous = FULL" in database["OPTIONS"]["init_command"]


def test_postgresql_keeps_its_connections_and_checks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    database = load(monkeypatch, **PRODUCTION)["DATABASES"]["default"]
    assert database["CONN_MAX_AGE"] == 60
    assert database["CONN_HEALTH_CHECKS"]


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        pytest.param("redis://h:1/0", "redis://h:1/0", id="a port"),
        pytest.param("unix:///a%20b/r.sock", "redis+socket:///a%20b/r.sock", id="a socket file"),
    ],
)
def test_celery_reads_the_url_that_redis_reads(
    url: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(monkeypatch, **(PRODUCTION | {"REDIS_URL": url}))
    assert settings["CELERY_BROKER_URL"] == broker


def test_a_duration_may_be_a_fraction_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    read = load(monkeypatch, **PRODUCTION, OUTBOX_LEASE_DURATION="4.5", OUTBOX_CLAIM_SIZE="20")
    assert read["OUTBOX"]["LEASE_DURATION"] == 4.5
    assert read["OUTBOX"]["CLAIM_SIZE"] == 20


def test_beat_uses_the_sweep_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    read = load(monkeypatch, **PRODUCTION, OUTBOX_SWEEP_INTERVAL="0.5")
    assert read["CELERY_BEAT_SCHEDULE"]["sweep"]["schedule"] == 0.5


def test_the_former_name_of_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match="LEASE_FOR is now named LEASE_DURATION"):
        load(monkeypatch, **PRODUCTION, OUTBOX_LEASE_FOR="30")
