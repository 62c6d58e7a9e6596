"""Delivery on a real database, to servers over real sockets; quick where production is patient."""

import pytest
from django.conf import LazySettings

from outbox.testing.pytest_plugin import fault_lab

__all__ = ["fault_lab"]

QUICK = {
    "LEASE_FOR": 5,
    "HEARTBEAT_EVERY": 0.2,
    "POLL_EVERY": 0.05,
    "SESSION_MAX_IDLE": 0.2,
    "CONNECT_TIMEOUT": 0.5,
    "GREETING_TIMEOUT": 0.5,
    "COMMAND_TIMEOUT": 0.5,
    "TLS_TIMEOUT": 0.5,
    "AUTH_TIMEOUT": 0.5,
    "DATA_TIMEOUT": 0.5,
    "BLOCK_TIMEOUT": 0.5,
    "DOT_TIMEOUT": 0.5,
    "QUIT_TIMEOUT": 0.5,
    "SHUTDOWN_FOR": 2,
    "BACKOFF_FIRST": 600,  # what is deferred stays so for the length of a test
    "EHLO_NAME": "client.example.org",
}


@pytest.fixture(autouse=True)
def _quick(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | QUICK
