"""A Celery worker that is going to die: python -m tests.crash.worker PLAN LOG CELERY-OPTION …

Each of its children takes an entry of the plan as it is born and kills itself there; with the plan
used up it is a worker like any other.
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
from tests.crash.points import Fuse, wrap_worker  # noqa: E402  # needs Django set up


def main(arguments: list[str]) -> None:
    """Run the worker until it is stopped or killed."""
    plan, log, *options = arguments
    fuse = Fuse(Path(plan), Path(log))
    wrap_worker(fuse)

    def arm(**_: Any) -> None:
        fuse.arm()

    worker_process_init.connect(arm, weak=False)
    app.worker_main(["worker", *options])


if __name__ == "__main__":
    main(sys.argv[1:])
