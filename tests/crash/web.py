"""The site for gunicorn, in a worker process that can be killed while it sends a message.

Each of gunicorn's workers imports it anew and takes an entry of the plan in KILLS_WEB_PLAN.
"""

import os
from pathlib import Path
from typing import Any

from celery.signals import after_task_publish

from mailsite.wsgi import application

__all__ = ["application"]


def _arm() -> None:
    from tests.crash.points import KillSwitch, WebPoint
    from tests.crash.statements import WEB_RULES, watch_statements

    switch = KillSwitch(Path(os.environ["KILLS_WEB_PLAN"]), Path(os.environ["KILLS_LOG"]))
    watch_statements(switch, WEB_RULES)

    def published(**_: Any) -> None:
        switch.reach(WebPoint.WAKE_UP_PUBLISHED)

    after_task_publish.connect(published, weak=False)
    switch.arm()


_arm()
