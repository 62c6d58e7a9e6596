"""The sockets of the fault lab."""

import asyncio
import gc
import socket
import warnings

from outbox.testing.faultlab import FaultLab


def test_a_connection_that_arrives_at_the_end_is_closed() -> None:
    """The loop has seen it, and the task that accepts it is cancelled before it continues."""

    async def end_within_accept() -> None:
        client.connect((lab.host, lab.port))
        for _ in range(2):  # the loop sees that the listener is readable, and wakes the task
            await asyncio.sleep(0)
        await lab._stop()

    gc.collect()  # what earlier tests left open is not about this one
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with socket.socket() as client, FaultLab() as lab:
            lab._run(end_within_accept)
        gc.collect()
    assert not [str(one.message) for one in found]
