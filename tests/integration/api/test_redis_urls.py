"""The mark of the wake-up is at every URL of a Redis that Celery accepts."""

import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from celery import current_app

from dev.processes import Process, wait_until
from dev.redis_server import find_redis, responds
from dev.sockets import free_port
from outbox import wakeup


@pytest.fixture(autouse=True)
def _own_broker() -> Iterator[None]:
    names = ("broker_url", "broker_transport_options", "broker_use_ssl")
    before = {name: current_app.conf[name] for name in names}
    yield
    current_app.conf.update(before)


def client_at(
    url: str | list[str], monkeypatch: pytest.MonkeyPatch, **conf: object
) -> redis.Redis | None:
    monkeypatch.setattr("outbox.wakeup.get_conf", lambda: type("Conf", (), {"redis_url": ""}))
    current_app.conf.update(broker_url=url, **conf)
    return wakeup._redis(wakeup.celery_app())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:1/0", {"host": "127.0.0.1", "port": 1, "db": 0}),
        ("redis://127.0.0.1:1/4?visibility_timeout=60", {"db": 4}),
        ("redis://ann:p%40ss@127.0.0.1:1", {"username": "ann", "password": "p@ss"}),
        ("unix:///nowhere/redis.sock?db=3", {"path": "/nowhere/redis.sock", "db": 3}),
        ("redis+socket:///nowhere/redis.sock", {"path": "/nowhere/redis.sock"}),
        ("redis+socket:///nowhere/redis.sock?virtual_host=3", {"db": 3}),
        ("redis+socket:///nowhere/redis.sock?virtual_host=/3", {"db": 3}),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=CERT_REQUIRED", {"ssl_cert_reqs": "required"}),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
    ],
)
def test_a_client_connects_as_celery_does(
    url: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_at(url, monkeypatch)

    assert client is not None
    parameters = client.connection_pool.connection_kwargs
    assert {name: parameters[name] for name in expected} == expected
    with pytest.raises(redis.ConnectionError):  # no server is there; every parameter was accepted
        client.ping()
    wakeup.acknowledge()


def test_the_ssl_options_of_celery_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/nowhere/ca.pem"}

    client = client_at("redis://127.0.0.1:1/2", monkeypatch, broker_use_ssl=options)

    assert client is not None
    pool = client.connection_pool
    assert issubclass(pool.connection_class, redis.SSLConnection)
    assert pool.connection_kwargs["ssl_ca_certs"] == "/nowhere/ca.pem"
    assert pool.connection_kwargs["db"] == 2


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Yield the ports of a Redis Sentinel and of the master that it watches."""
    port, master_port = free_port(), free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor orders 127.0.0.1 {master_port} 1\n"
    )
    master = ["--port", str(master_port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path]
    processes = []
    try:
        with (tmp_path / "redis.log").open("ab") as output:
            for words in (master, [configuration, "--sentinel"]):
                command = [str(find_redis()), *map(str, words)]
                processes.append(Process(command, output=output))
        for one in (master_port, port):
            url = f"redis://127.0.0.1:{one}"
            wait_until(partial(responds, url), within=20, what=f"Redis at {url}")
        yield port, master_port
    finally:
        for process in processes:
            process.stop()


def test_the_mark_is_in_the_master_of_a_sentinel(
    sentinel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, master_port = sentinel
    url = f"sentinel://127.0.0.1:{free_port()}/3;sentinel://127.0.0.1:{port}"  # the first is down
    options = {"master_name": "orders", "sentinel_kwargs": {"socket_timeout": 5}}
    client = client_at(url, monkeypatch, broker_transport_options=options)
    assert client is not None

    client.set("outbox:wakeup", "1")

    with redis.Redis(port=master_port, db=3) as master:
        assert master.exists("outbox:wakeup")
        wakeup.acknowledge()
        assert not master.exists("outbox:wakeup")


@pytest.mark.parametrize("others", ["down", "silent"])
def test_the_broker_is_reachable_although_other_sentinels_are_not(
    others: str, sentinel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = sentinel
    with socket.create_server(("127.0.0.1", 0)) as silent:
        other = silent.getsockname()[1] if others == "silent" else free_port()
        url = ";".join(f"sentinel://127.0.0.1:{one}/1" for one in (other, other, port))
        client_at(url, monkeypatch, broker_transport_options={"master_name": "orders"})
        assert wakeup.is_broker_reachable()


def test_a_master_that_is_down_is_not_reachable(
    sentinel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, master_port = sentinel
    url = f"sentinel://127.0.0.1:{port}"
    client_at(url, monkeypatch, broker_transport_options={"master_name": "orders"})
    assert wakeup.is_broker_reachable()
    with redis.Redis(port=master_port) as master:
        master.shutdown(nosave=True)
    assert not wakeup.is_broker_reachable()


def test_the_redis_of_the_settings_may_have_sentinels(
    sentinel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master's name is in Celery's options, also if the broker is another one."""
    port, master_port = sentinel
    options = {"master_name": "orders"}
    client_at(f"redis://127.0.0.1:{free_port()}", monkeypatch, broker_transport_options=options)
    conf = type("Conf", (), {"redis_url": f"sentinel://127.0.0.1:{port}/2"})
    monkeypatch.setattr("outbox.wakeup.get_conf", lambda: conf)
    client = wakeup._redis(wakeup.celery_app())
    assert client is not None
    client.set("outbox:wakeup", "1")
    with redis.Redis(port=master_port, db=2) as master:
        assert master.exists("outbox:wakeup")


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://127.0.0.1:1;sentinel://127.0.0.1:2",  # without the name of the master
        "redis://127.0.0.1:1/0;redis://127.0.0.1:2/0",
        ["redis://127.0.0.1:1/0", "redis://127.0.0.1:2/0"],
        "rediss://127.0.0.1:1/0?ssl_cert_reqs=perhaps",
        "amqp://127.0.0.1:1",
    ],
)
def test_other_brokers_have_no_mark(url: str | list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_at(url, monkeypatch) is None
    wakeup.acknowledge()
