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

from outbox.conf import Conf

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text()
READERS = {"env.str", "env.bool", "env.int", "env.list", "required", "os.environ.get"}
# In the example for docker-compose.yml, not for the code.
FOR_COMPOSE = {"POSTGRES_PASSWORD"}


def read_by(path: str) -> Iterator[str]:
    """Give the environment variables that a module reads: the first argument of each such call."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
            name = ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else ""
            if name:
                yield name


def in_example() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))


def test_the_example_names_every_variable_the_site_reads_and_no_other() -> None:
    read = {*read_by("mailsite/settings.py"), *read_by("mailsite/gunicorn.py")}
    settable = {f"OUTBOX_{field.name.upper()}" for field in fields(Conf)}
    named = in_example() - FOR_COMPOSE
    assert read <= named
    assert named <= read | settable  # the outbox's own stand in outbox/conf.py, with their meaning


def test_the_example_has_no_secret_in_it() -> None:
    secrets = re.findall(r"^(\w*(?:KEY|KEYS|PASSWORD))=(.*)$", EXAMPLE, flags=re.MULTILINE)
    assert len(secrets) == 3
    assert {value for _, value in secrets} == {""}


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_compose_runs_what_the_procfile_runs(name: str) -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = dict(line.split(": ", 1) for line in lines)
    assert shlex.split(SERVICES[name]["command"]) == shlex.split(procfile[name])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_lasting_service_is_watched_and_comes_back(name: str) -> None:
    assert "healthcheck" in SERVICES[name]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_only_web_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])


def test_what_must_last_lies_in_volumes() -> None:
    for name, folder in {
        "postgres": "/var/lib/postgresql/data",
        "redis": "/data",
        "web": "/srv/media",
        "worker": "/srv/media",
    }.items():
        mounted = dict(volume.split(":") for volume in SERVICES[name]["volumes"])
        assert folder in mounted.values()
        assert set(mounted) <= set(COMPOSE["volumes"])


def test_redis_writes_what_it_holds_to_its_volume() -> None:
    assert "--appendonly yes" in SERVICES["redis"]["command"]


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
        "requirements.txt",
        "mailsite",
        "outbox",
        "templates",
    }
    assert all((ROOT / name).exists() for name in allowed)
