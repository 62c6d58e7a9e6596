"""Closing the sessions that a test has left open."""

from collections.abc import Iterator

import pytest

from tests.integration.mailservers.client import OPENED


@pytest.fixture(autouse=True)
def closed_sessions() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().abandon()
