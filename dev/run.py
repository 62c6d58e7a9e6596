"""`make run`: run the whole site on this machine, on loopback, until SIGINT or SIGTERM.

It starts Redis, the web server, two workers, beat and a local mail server, restarts processes that
die, prints a line as soon as all of them respond, and terminates all of them at the end.
"""

import fcntl
import os
import shlex
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import TextIO

from dev import site
from dev.console import Console
from dev.database import replace_outdated
from dev.parent import Parent
from dev.part import Part
from dev.processes import Process, StartError
from dev.redis_server import RedisServer
from dev.redis_server import responds as redis_responds
from dev.sockets import is_free

READY_WITHIN = 120.0
PORTS = 65_536
IMPATIENT_AFTER = 1.0
GRACE_FOR = 25.0  # longer than OUTBOX["SHUTDOWN_TIMEOUT"]
WORKERS = ("worker1", "worker2")


class StopRequested(Exception):  # noqa: N818  # not an error
    """The site was asked to stop."""


class Runner:
    """The parts of the site, in the order in which they start."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.parent = Parent()
        self.parts: list[Part] = []
        self.preparing: Process | None = None
        self.stop_asked_at: float | None = None

    def run(self) -> None:
        """Start and supervise all parts until asked to stop. Raise StartError."""
        try:
            environment = self.start()
            for part in self.parts:
                self.wait(part.responds, what=part.name)
                self.console.say("ready", part=part.name)
            self.announce(environment)
            while True:
                self.pause()
                for part in self.parts:
                    part.care()
        except StopRequested:
            self.console.say("Stopping …")
        finally:
            self.stop()

    def start(self) -> Mapping[str, str]:
        """Start each part as soon as its dependencies are available."""
        redis = RedisServer(site.RUN / "redis", append_only=True)
        environment = site.environment(redis.url)
        os.environ |= environment  # for responds_to_ping, which uses the site's Celery app
        port_before, port = site.mail_port()
        self.console.say("Preparing the database and the static files …")
        self.prepare(environment, port_before, port)
        if environment["REDIS_URL"] == redis.url:
            self.add("redis", redis.command(), environment, redis.responds)
        self.add("mail", mail_command(port), environment, lambda: accepts(port))
        self.wait(lambda: redis_responds(environment["REDIS_URL"]), what="Redis")
        self.wait(self.is_prepared, what="the database")
        self.console.say("Starting the web server, two workers and beat …")
        self.add_site(environment)
        return environment

    def prepare(self, environment: Mapping[str, str], port_before: int, port: int) -> None:
        """Start the preparation (migrations, static files), which needs no other part."""
        arguments = [str(site.LOGIN), str(port_before), str(port)]
        command = [sys.executable, "-m", "dev.prepare", *arguments]
        self.preparing = Process(command, environment=environment, cwd=site.ROOT)

    def is_prepared(self) -> bool:
        """Return whether the preparation has finished. Raise StartError if it failed."""
        code = self.preparing.returncode if self.preparing else None
        if code:
            raise StartError("The site could not be prepared; the reason is above.")
        return code == 0

    def add_site(self, environment: Mapping[str, str]) -> None:
        """Start the processes of the Procfile."""
        commands = procfile()
        url = f"http://127.0.0.1:{environment['PORT']}/healthz"
        self.add("web", commands["web"], environment, lambda: serves(url))
        for name, command in [
            *((name, commands["worker"]) for name in WORKERS),
            ("beat", commands["beat"]),
        ]:
            node = f"{name}@localhost"
            responds = partial(responds_to_ping, node)
            self.add(name, [*command, "--hostname", node], environment, responds)

    def add(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        responds: Callable[[], bool],
    ) -> None:
        """Start a part."""
        part = Part(name, command, environment, self.console, site.LOGS, responds)
        part.start()
        self.parts.append(part)

    def wait(self, condition: Callable[[], bool], *, what: str) -> None:
        """Wait for a condition. Raise StartError if a part ends, or after a time-out."""
        deadline = time.monotonic() + READY_WITHIN
        while not condition():
            self.pause()
            for part in self.parts:
                if (code := part.ended()) is not None:
                    raise StartError(f"{part.name} ended with {code}; its output is above.")
            if time.monotonic() > deadline:
                raise StartError(f"No response from {what} within {READY_WITHIN:g} s.")

    def pause(self) -> None:
        """Wait a moment. Raise StopRequested if the site must stop."""
        if self.stop_asked_at is not None or self.parent.has_stopped():
            raise StopRequested
        time.sleep(0.1)

    def announce(self, environment: Mapping[str, str]) -> None:
        """Print the address of the site and how to sign in."""
        sign_in = (
            f"with the user and the password in {site.LOGIN.relative_to(site.ROOT)}"
            if site.LOGIN.exists()
            else 'as one of your users; make manage COMMAND="createsuperuser" creates one'
        )
        for line in (
            "",
            f"The outbox is ready: open http://127.0.0.1:{environment['PORT']}/",
            f"  Sign in {sign_in}",
            "  List the messages of the local mail server: make manage COMMAND=outbox_mailbox",
            "  Stop with Ctrl-C",
            "",
        ):
            self.console.say(line)

    def stop(self) -> None:
        """Stop every part, dependencies last."""
        if self.preparing is not None:
            self.preparing.stop()
        for part in self.parts:
            if part.name not in {"redis", "mail"}:
                part.ask()
        for part in reversed(self.parts):
            part.stop(GRACE_FOR)
        self.console.say("Everything has stopped.")

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one stops the site, a later one kills everything.

        One signal may arrive twice: from make and from the terminal.
        """
        now = time.monotonic()
        if self.stop_asked_at is None:
            self.stop_asked_at = now
        elif now - self.stop_asked_at > IMPATIENT_AFTER:
            for part in self.parts:
                part.kill()


def procfile() -> dict[str, list[str]]:
    """Return the commands of the Procfile, as in production."""
    lines = (site.ROOT / "Procfile").read_text().splitlines()
    named = (line.partition(":") for line in lines if line)
    commands = {name: shlex.split(command) for name, _, command in named}
    return {name: [str(site.BIN / words[0]), *words[1:]] for name, words in commands.items()}


def mail_command(port: int) -> list[str]:
    """Return the command of the local mail server."""
    manage = [sys.executable, str(site.ROOT / "manage.py"), "outbox_mailserver"]
    return [*manage, "--port", str(port), "--directory", str(site.MAIL), "--verbosity", "0"]


def accepts(port: int) -> bool:
    """Return whether a server listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serves(url: str) -> bool:
    """Return whether the status of a page is 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  # http, our own
            return bool(response.status == 200)  # noqa: PLR2004  # a status code
    except OSError:
        return False


def responds_to_ping(node: str) -> bool:
    """Return whether a worker or beat responds to a ping through Redis."""
    from mailsite.celery import app

    return bool(app.control.ping(destination=[node], timeout=0.5))


def lock() -> TextIO:
    """Lock `.run` for this process. Exit with one line if another process has locked it."""
    held = (site.RUN / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"The site of {site.ROOT} is already running.")
    return held


def check_web_port() -> None:
    """Exit with one line if the port of the web server is invalid or in use."""
    named = os.environ.get("PORT", "8000")
    if not (named.isdecimal() and 0 < int(named) < PORTS):
        sys.exit(f"PORT is “{named}”, which is not a valid port: PORT=8001 make run")
    if not is_free(int(named)):
        other = int(named) + 1
        sys.exit(f"Port {named} is in use. Choose another one: PORT={other} make run")


def main() -> None:
    """Run the site until SIGINT or SIGTERM."""
    check_web_port()
    site.LOGS.mkdir(parents=True, exist_ok=True)
    site.RUN.chmod(0o700)
    held = lock()
    replace_outdated()
    console = Console()
    runner = Runner(console)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, runner.ask)
    code = 0
    try:
        runner.run()
    except StartError as error:
        console.say(str(error))
        code = 1
    console.flush(within=2)
    held.close()
    sys.exit(code)


if __name__ == "__main__":
    main()
