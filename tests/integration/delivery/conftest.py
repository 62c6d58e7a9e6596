"""Delivery on a real database, to servers over real sockets."""

import pytest
from django.conf import LazySettings

PHASES = ("CONNECT", "GREETING", "COMMAND", "TLS", "AUTH", "DATA", "BLOCK", "DOT", "QUIT")


def patience(seconds: float) -> dict[str, float]:
    """Return settings with this timeout for every phase."""
    return {f"{phase}_TIMEOUT": seconds for phase in PHASES}


# Long where a busy machine may be slow, short where a test waits for the end.
OURS = patience(60) | {
    "LEASE_DURATION": 30,
    "HEARTBEAT_INTERVAL": 0.2,
    "POLL_INTERVAL": 0.05,
    "SESSION_MAX_IDLE": 60,
    "SHUTDOWN_TIMEOUT": 30,
    "BACKOFF_INITIAL": 600,  # what is deferred stays so for the length of a test
    "EHLO_NAME": "client.example.org",
}


@pytest.fixture(autouse=True)
def _ours(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | OURS
