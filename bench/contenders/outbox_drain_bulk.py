"""Drain with one engine while the process performs a bulk operation, as a worker process does."""

import time

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402  # needs the settings

from bench.contenders._stage import report, wait_for_signal  # noqa: E402
from outbox.api import bulk_actions  # noqa: E402
from outbox.api.message_actions import OPERATION_ACTIONS  # noqa: E402
from outbox.delivery.engine import Engine  # noqa: E402


def main() -> None:
    actor = User.objects.create_superuser("operator")
    action, criteria = OPERATION_ACTIONS["cancel"], {"state": "scheduled"}
    operation = bulk_actions.propose(action, criteria=criteria, actor=actor, using="default")
    bulk_actions.confirm(operation, why="measured", using="default")
    engine = Engine()
    wait_for_signal()
    began = time.perf_counter()
    bulk_actions.run_beside("default")
    engine.drain()
    seconds = time.perf_counter() - began
    operation.refresh_from_db()
    report(changed=operation.done_count, seconds=seconds)


if __name__ == "__main__":
    main()
