"""Run a Celery worker that can be killed: python -m tests.crash.worker PLAN LOG CELERY-OPTION …

Each of its children takes an entry of the plan when it starts, and kills itself at the point that
the entry names. Without entries left it is a worker like any other.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

import django
from celery.signals import worker_process_init

django.setup()

from mailsite.celery import app  # noqa: E402  # likewise
from tests.crash.points import KillSwitch  # noqa: E402  # likewise
from tests.crash.smtp_session import watch_smtp  # noqa: E402  # likewise
from tests.crash.statements import WORKER_RULES, watch_statements  # noqa: E402  # needs Django


def main(arguments: list[str]) -> None:
    """Run the worker until it is stopped or killed."""
    plan, log, *options = arguments
    switch = KillSwitch(Path(plan), Path(log))
    watch_statements(switch, WORKER_RULES)
    watch_smtp(switch)

    def arm(**_: Any) -> None:
        switch.arm()

    worker_process_init.connect(arm, weak=False)
    app.worker_main(["worker", *options])


if __name__ == "__main__":
    main(sys.argv[1:])
