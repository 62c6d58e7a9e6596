"""With the SQLite settings of startproject, transactions wait for each other."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test.utils import override_settings

PLAIN = {"ENGINE": "django.db.backends.sqlite3", "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
PLAIN |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False, "TIME_ZONE": None}

pytestmark = pytest.mark.django_db

Open = Callable[..., DatabaseWrapper]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "plain.sqlite3") as connection:
        connection.execute("CREATE TABLE t (n)")
    connection.close()
    return tmp_path / "plain.sqlite3"


@pytest.fixture
def opened(file: Path) -> Iterator[Open]:
    """Open the file as Django does, with some OPTIONS."""
    wrappers: list[DatabaseWrapper] = []

    def connect(alias: str = "default", **options: Any) -> DatabaseWrapper:
        wrapper = DatabaseWrapper({**PLAIN, "NAME": str(file), "OPTIONS": options}, alias)
        wrappers.append(wrapper)
        wrapper.connect()
        return wrapper

    yield connect
    for wrapper in wrappers:
        wrapper.close()


def mode(wrapper: DatabaseWrapper) -> object:
    return vars(wrapper)["transaction_mode"]  # the stubs do not know it


def patience(wrapper: DatabaseWrapper) -> float:
    with wrapper.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        return int(cursor.fetchone()[0]) / 1000


def test_a_transaction_waits_for_the_other_one(opened: Open) -> None:
    wrapper = opened()

    assert mode(wrapper) == "IMMEDIATE"
    assert patience(wrapper) == 20


def test_two_that_read_before_they_write_both_succeed(opened: Open) -> None:
    first, second = opened(), opened()
    first.inc_thread_sharing()
    first.set_autocommit(autocommit=False, force_begin_transaction_with_broken_autocommit=True)
    with first.cursor() as cursor:
        cursor.execute("SELECT * FROM t")
        cursor.execute("INSERT INTO t VALUES (1)")
    threading.Timer(0.3, first.commit).start()

    second.set_autocommit(autocommit=False, force_begin_transaction_with_broken_autocommit=True)
    with second.cursor() as cursor:
        cursor.execute("SELECT n FROM t")
        assert cursor.fetchall() == [(1,)]
        cursor.execute("INSERT INTO t VALUES (2)")
    second.commit()


def test_what_the_project_states_stands(opened: Open) -> None:
    wrapper = opened(transaction_mode="DEFERRED", timeout=1)

    assert mode(wrapper) == "DEFERRED"
    assert patience(wrapper) == 1


def test_the_files_of_others_are_left_alone(opened: Open) -> None:
    assert mode(opened("other")) is None


def test_a_mistake_in_the_settings_closes_no_database(opened: Open) -> None:
    with override_settings(OUTBOX={"NO_SUCH_SETTING": 1}):
        assert mode(opened()) is None
