"""How gunicorn serves the site; gunicorn reads these names."""

import os
from pathlib import Path

bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
graceful_timeout = 10
# The workers' heartbeat is a file that is touched: on a disk, a slow one looks like a dead worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # gunicorn makes an unguessable name in it
control_socket_disable = True  # would be made in the home directory, which a container may lack
accesslog = "-"
access_log_format = "%(m)s %(U)s %(s)s %(M)s ms"  # no query string: it may hold what people typed
