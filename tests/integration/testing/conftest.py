"""Client connections to the servers of `outbox.testing`."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.testing.dialogue import Dialogue

OpenDialogue = Callable[[int], Dialogue]


@pytest.fixture
def dialogue() -> Iterator[OpenDialogue]:
    """Open connections that end with the test."""
    opened: list[Dialogue] = []

    def open_dialogue(port: int) -> Dialogue:
        opened.append(Dialogue(port))
        return opened[-1]

    yield open_dialogue
    for each in opened:
        each.socket.close()
