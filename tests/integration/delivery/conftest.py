"""Delivery on a real database, to servers over real sockets."""

import pytest
from django.conf import LazySettings

from outbox.testing.pytest_plugin import fault_lab

__all__ = ["fault_lab"]

PHASES = ("CONNECT", "GREETING", "COMMAND", "TLS", "AUTH", "DATA", "BLOCK", "DOT", "QUIT")


def patience(seconds: float) -> dict[str, float]:
    """Give a server so long for every phase."""
    return {f"{phase}_TIMEOUT": seconds for phase in PHASES}


# Long where a busy machine might take its time, short where a test waits for it to be over.
OURS = patience(60) | {
    "LEASE_FOR": 30,
    "HEARTBEAT_EVERY": 0.2,
    "POLL_EVERY": 0.05,
    "SESSION_MAX_IDLE": 60,
    "SHUTDOWN_FOR": 30,
    "BACKOFF_FIRST": 600,  # what is deferred stays so for the length of a test
    "EHLO_NAME": "client.example.org",
}


@pytest.fixture(autouse=True)
def _ours(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | OURS
