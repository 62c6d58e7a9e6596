"""The names by which MX records may lead back to this host."""

import socket

import pytest

from outbox.delivery.mx_router import own_names


def test_every_name_of_this_host_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting may have another name than the system, and MX records may have either."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Web1")
    monkeypatch.setattr(socket, "getfqdn", lambda: "web1.example.org.")
    assert own_names("mail.example.org") == {"mail.example.org", "web1", "web1.example.org"}


def test_every_host_is_called_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost.localdomain")
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert own_names("") == frozenset()
