"""The configuration of gunicorn, which reads these names."""

import datetime as dt
import gc
import os
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from outbox.log_lines import JsonFormatter, LineFormatter

bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
graceful_timeout = 10
# gunicorn trusts headers from loopback by default. A client could choose the path with SCRIPT_NAME
# behind a proxy that passes it on. Django reads the headers of the proxy, see BEHIND_PROXY.
forwarded_allow_ips = ""
forwarder_headers = ""
# A worker's heartbeat touches a file. On a slow disk, the worker would look dead.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # gunicorn makes an unguessable name in it
control_socket_disable = True  # it is in the home directory, which a container may lack
accesslog = "-"
# No query string: it may contain search terms. outbox.web.audit adds the address and the user.
access_log_format = (
    '%(t)s %({outbox.address}e)s "%({outbox.user}e)s" %(m)s %(U)s %(s)s %(B)s %(M)s ms'
)


def post_worker_init(worker: Any) -> None:
    """Load the pages, and exclude everything loaded from later garbage collections.

    A full collection examined the code of all pages as well. It took 75 to 100 ms of one request in
    sixty.
    """
    from django.urls import get_resolver

    _ = get_resolver().url_patterns
    gc.collect()
    gc.freeze()


class EscapingLogger(Logger):
    """Escapes what a client sends: a decoded path may contain a line break and a forged line."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        is_json = os.environ.get("LOG_FORMAT") == "json"
        for handler in self.error_log.handlers:
            line = LineFormatter(self.error_fmt, self.datefmt)
            handler.setFormatter(JsonFormatter() if is_json else line)
        for handler in self.access_log.handlers:
            handler.setFormatter(JsonFormatter() if is_json else LineFormatter(self.access_fmt))

    def access(self, resp: Any, req: Any, environ: Any, request_time: dt.timedelta) -> None:
        # Static files and early rejections do not reach the middleware.
        environ.setdefault("outbox.address", environ.get("REMOTE_ADDR") or "-")
        super().access(resp, req, environ, request_time)


logger_class = EscapingLogger
