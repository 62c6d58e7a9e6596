"""The bare project as its owner handles it: commands, a web server, a worker, and a visitor."""

import contextlib
import http.cookiejar
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from dev.processes import Process, wait_until
from dev.sockets import free_port


class BareProject:
    """A copy of the project and the environment it runs in; nothing of this tree is on its path."""

    def __init__(self, python: Path, folder: Path, environment: dict[str, str]) -> None:
        self.python = python
        self.folder = folder
        self.environment = environment

    def run(self, *words: str) -> str:
        """Run Python in the project; return what it prints, warnings included."""
        done = subprocess.run(
            [self.python, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def manage(self, *words: str) -> str:
        """Run a management command."""
        return self.run("manage.py", *words)

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve its pages; the value is the site's address."""
        port = free_port()
        command = ["manage.py", "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}"]
        url = f"http://127.0.0.1:{port}"
        with self._running("web", command) as process:
            visitor = Visitor(url)
            wait_until(visitor.is_served, within=30, what="the bare project", process=process)
            yield url

    @contextlib.contextmanager
    def working(self, *options: str) -> Iterator[None]:
        """Run a Celery worker, started as Celery's guide for Django says."""
        log = self.folder / "worker.log"
        command = ["-m", "celery", "--app", "shop", "worker"]
        command += options or ["--concurrency", "1"]
        with self._running("worker", [*command, "--loglevel", "info"]) as process:

            def is_ready() -> bool:
                return " ready." in log.read_text(errors="replace")

            wait_until(is_ready, within=60, what=f"a worker (see {log})", process=process)
            yield

    @contextlib.contextmanager
    def _running(self, name: str, command: list[str]) -> Iterator[Process]:
        with (self.folder / f"{name}.log").open("ab") as output:
            process = Process(
                [self.python, *command],
                environment=self.environment,
                output=output,
                cwd=self.folder,
            )
        try:
            yield process
        finally:
            process.stop(grace_for=30)


class Visitor:
    """A visitor with a browser that keeps cookies and submits forms."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page, redirects followed."""
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form, with the token of its page. Retry once: runserver may be reloading."""
        tokens = {cookie.name: cookie.value or "" for cookie in self.cookies}
        fields["csrfmiddlewaretoken"] = tokens.get("csrftoken", "")
        data = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self.url + path, data)
        try:
            return self._open(request)
        except ConnectionError:
            wait_until(self.is_served, within=60, what="the site after a reload")
            return self._open(request)

    def is_served(self) -> bool:
        """Return whether the site responds."""
        try:
            return self.get("/admin/login/")[0] > 0
        except OSError:
            return False

    def _open(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._opener.open(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
