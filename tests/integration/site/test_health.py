"""`/healthz` and `/readyz` respond to every probe, in time, and reveal nothing about the site."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test import Client, override_settings

from outbox.api import readiness
from tests.full_storage import full_storage, stored_files
from tests.integration.delivery.outage import breakable_database

PAGES = ("/healthz", "/readyz")


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    readiness.reset()


@contextmanager
def unreachable_database() -> Iterator[None]:
    reachable = dict(connection.settings_dict)
    connection.close()
    try:
        unreachable = {"NAME": "/nonexistent/database", "HOST": "/nonexistent", "PASSWORD": "word"}
        connection.settings_dict.update(unreachable | {"OPTIONS": {}})
        yield
    finally:
        connection.close()
        connection.settings_dict.update(reachable)


def test_healthz_needs_no_database(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db(transaction=True)
def test_readyz_returns_200_without_redis(client: Client) -> None:
    before = stored_files()
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "database": "ok",
        "migrations": "ok",
        "storage": "ok",
        "redis": "unavailable",
    }
    assert stored_files() == before


@pytest.mark.django_db(transaction=True)
@override_settings(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["mail.example.com"])
@pytest.mark.parametrize("page", PAGES)
def test_a_probe_needs_no_tls_and_may_use_any_host_name(client: Client, page: str) -> None:
    assert client.get(page, headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/accounts/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_readyz_returns_503_without_details_when_the_database_is_unavailable(
    client: Client,
) -> None:
    with unreachable_database():
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["database"] == response.json()["migrations"] == "unavailable"
    assert b"nonexistent" not in response.content


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_is_not_applied_is_reported(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, applied FROM django_migrations WHERE app = 'outbox' "
            "ORDER BY id DESC LIMIT 1"
        )
        pk, _ = cursor.fetchone()
        cursor.execute("UPDATE django_migrations SET app = 'none' WHERE id = %s", [pk])
    try:
        response = client.get("/readyz")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_migrations SET app = 'outbox' WHERE id = %s", [pk])

    assert response.status_code == 503
    assert response.json()["migrations"] == "not applied"
    assert response.json()["database"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_full_storage_is_reported(client: Client) -> None:
    with full_storage():
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["storage"] == "unavailable"


@pytest.mark.django_db(transaction=True)
def test_a_storage_that_does_not_respond_delays_no_probe_for_long(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr("outbox.api.alarms.facts._FILE_SYSTEM_SECONDS", 0.2)
    monkeypatch.setattr(FileSystemStorage, "_save", lambda *_: released.wait(60))
    try:
        assert client.get("/readyz").json()["storage"] == "unavailable"
    finally:
        released.set()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_respond_delays_no_probe_for_long(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("readers of a SQLite file wait for no other process")
    monkeypatch.setattr("outbox.api.readiness.DEADLINE", 0.5)
    with breakable_database() as outage:
        outage.begin()
        started_at = time.monotonic()
        response = client.get("/readyz")
        taken = time.monotonic() - started_at

    assert response.status_code == 503
    assert taken < 20


@pytest.mark.django_db(transaction=True)
def test_many_probes_cost_one_check(client: Client) -> None:
    assert client.get("/readyz").status_code == 200
    with unreachable_database(), full_storage():
        assert client.get("/readyz").status_code == 200
