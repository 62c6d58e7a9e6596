"""The site for gunicorn, in a worker process that is going to die inside Send.

Each of gunicorn's workers imports it anew and takes an entry of the plan that KILLS_WEB_PLAN names.
"""

import os
from pathlib import Path

from mailsite.wsgi import application

__all__ = ["application"]


def _arm() -> None:
    from tests.crash.points import Fuse, wrap_web

    fuse = Fuse(Path(os.environ["KILLS_WEB_PLAN"]), Path(os.environ["KILLS_LOG"]))
    wrap_web(fuse)
    fuse.arm()


_arm()
