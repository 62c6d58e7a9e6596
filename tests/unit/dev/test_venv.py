"""The virtual environment is filled once, and again only when the pins have changed."""

import json
from pathlib import Path

import pytest

from dev import venv


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip was asked to install, in a tree whose environment works."""
    (tmp_path / "requirements.txt").write_text("a==1\n")
    (tmp_path / "requirements-run.txt").write_text("c==1\n")
    (tmp_path / "requirements-dev.txt").write_text("b==1\n")
    asked: list[str] = []
    monkeypatch.setattr(venv, "ROOT", tmp_path)
    monkeypatch.setattr(venv, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(venv, "works", lambda: True)
    monkeypatch.setattr(venv, "install", asked.append)
    return asked


def test_a_second_time_installs_nothing(installed: list[str]) -> None:
    venv.ensure("run")
    venv.ensure("run")
    assert installed == ["requirements-run.txt"]


def test_what_tests_need_includes_what_the_site_needs(installed: list[str]) -> None:
    venv.ensure("dev")
    venv.ensure("run")
    assert installed == ["requirements-dev.txt"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-run.txt"])
def test_a_changed_pin_is_installed(installed: list[str], name: str) -> None:
    venv.ensure("run")
    (venv.ROOT / name).write_text("a==2\n")
    venv.ensure("run")
    assert installed == ["requirements-run.txt"] * 2


def test_a_pin_changed_for_the_site_is_in_doubt_for_the_tests(installed: list[str]) -> None:
    venv.ensure("dev")
    (venv.ROOT / "requirements.txt").write_text("a==2\n")
    venv.ensure("run")
    venv.ensure("dev")
    assert installed == ["requirements-dev.txt", "requirements-run.txt", "requirements-dev.txt"]


@pytest.mark.parametrize("stamp", ["", "{", json.dumps({"requirements.txt": "another"})])
def test_an_unreadable_stamp_is_ignored(installed: list[str], stamp: str) -> None:
    venv.STAMP.write_text(stamp)
    venv.ensure("run")
    assert installed == ["requirements-run.txt"]
