"""The receivers of notifications: an HTTP server, and a script that stores its input."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Receiver(ThreadingHTTPServer):
    """Stores the calls and responds with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.status = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alarms"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of each call."""
        return [json.loads(body) for _, body in self.calls]

    def reported(self) -> list[list[tuple[str, str]]]:
        """Return kind and status of the alarms in each call."""
        return [[(one["kind"], one["status"]) for one in body["alarms"]] for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append((headers, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        """Log nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver in a thread."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def command_that_stores(path: Path, *, then: str = "") -> tuple[str, ...]:
    """Return a command that appends its arguments, environment and input to a file."""
    script = (
        "import json, os, sys; "
        "line = json.dumps([sys.argv[1:], sorted(os.environ), json.load(sys.stdin)]); "
        f"open({str(path)!r}, 'a').write(line + chr(10)); {then}"
    )
    return (sys.executable, "-c", script, "--to", "a b; $HOME")


def stored(path: Path) -> list[list[Any]]:
    """Return what the command stored."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
