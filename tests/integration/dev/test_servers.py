"""The servers of the tests can crash and restart, and leave no files."""

import os
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from dev.postgres_server import FORGETFUL, PostgresServer, find_binaries
from dev.redis_server import RedisServer, find_redis
from dev.sockets import PATH_MAX, socket_path


def test_redis_keeps_what_it_holds_through_a_stop(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", append_only=True)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
    server.stop()
    assert not server.responds()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"
    server.close()


def test_redis_comes_back_after_a_crash(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", append_only=True)
    server.start()
    server.kill()
    assert not server.responds()
    server.start()
    assert server.responds()
    server.close()


def test_redis_can_be_reached_by_its_owner_only(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", append_only=False)
    server.start()
    assert server.socket.stat().st_mode & 0o077 == 0
    server.close()


def test_a_system_redis_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis() == tmp_path / "redis-server"
    (tmp_path / "redis-server").unlink()
    assert find_redis() == tmp_path / "valkey-server"


def test_postgresql_comes_back_after_a_crash_with_what_was_committed() -> None:
    server = PostgresServer(options={"fsync": "on"})
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.kill()
    assert not server.responds()
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]
    server.close()
    assert not server.directory.exists()


def test_postgresql_s_data_wait_for_the_next_server_where_they_are_to_be_kept() -> None:
    kept = Path(tempfile.mkdtemp())  # unlike pytest's own folder, within reach of another user
    for statement in ("CREATE TABLE kept AS SELECT 1 AS one", "TABLE kept"):
        server = PostgresServer(options=FORGETFUL, kept_in=kept)
        server.start()
        with psycopg.connect(server.url) as connection:
            found = connection.execute(statement)
            assert found.description is None or found.fetchall() == [(1,)]
        server.close()
        assert not server.directory.exists()
    shutil.rmtree(kept)


def test_postgresql_runs_from_a_copy_where_its_user_may_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to change its user")
    monkeypatch.setattr(PostgresServer, "_may_run", lambda server, binaries: False)
    server = PostgresServer(options=FORGETFUL)
    assert server.binaries != find_binaries()
    server.start()
    assert server.responds()
    server.close()


def test_a_socket_too_deep_to_bind_goes_elsewhere_and_is_found_again(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * PATH_MAX)
    deep.mkdir()
    found = socket_path(deep, "redis.sock")
    assert len(bytes(found)) <= PATH_MAX
    assert found.parent.stat().st_mode & 0o077 == 0
    assert socket_path(deep, "redis.sock") == found
    found.parent.rmdir()
    again = socket_path(deep, "redis.sock")
    assert again != found
    again.parent.rmdir()
