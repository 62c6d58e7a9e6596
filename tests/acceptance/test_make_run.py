"""`make run` for a new user: one command, a site that responds, and no process left running.

Runs on a copy of the tree with the virtual environment lent to it, so that the developer's own
site is neither seen nor disturbed. On PostgreSQL it uses a database of its own.
"""

import http.cookiejar
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from dev.processes import Process, StartError, wait_until
from dev.sockets import free_port

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", ".run", ".cache", ".env", "__pycache__", ".*_cache", ".hypothesis")
READY = "The outbox is ready: open "
PATIENCE = 120  # seconds, on a busy machine; alone it takes a few

pytestmark = pytest.mark.timeout(300)


class Site:
    """A copy of the project, and `make run` in it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder.parent / "make-run.log"
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PORT": str(self.port),
            "LANG": "C.UTF-8",
        } | ({"DATABASE_URL": database_url} if database_url else {})
        self.make: Process | None = None
        self.family: list[psutil.Process] = []

    def start(self) -> float:
        """Start it and wait for the ready line; return the seconds that took."""
        self.kill()
        begun = time.monotonic()
        with self.log.open("wb") as output:
            self.make = Process(
                ["make", "run"], environment=self.environment, output=output, cwd=self.folder
            )
        wait_for(lambda: READY in self.said() or self.make_ended(), PATIENCE, self.said)
        assert READY in self.said(), self.said()
        self.family = psutil.Process(self.make.pid).children(recursive=True)
        return time.monotonic() - begun

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def make_ended(self) -> bool:
        return self.make is not None and self.make.returncode is not None

    def signal(self, number: int) -> None:
        assert self.make is not None
        self.make.signal(number)

    def runner(self) -> psutil.Process:
        return next(process for process in self.family if "dev.run" in command_of(process))

    def orphans(self) -> list[str]:
        return [" ".join(command_of(process)) for process in self.family if lives(process)]

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on the site, as its user would."""
        return subprocess.run(
            ["make", "--silent", "manage", f"COMMAND={' '.join(command)}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def send(self, address: str) -> None:
        """Send a message as another app would, and wait until the local mail server has it."""
        sent = self.manage("sendtestemail", address)
        assert sent.returncode == 0, sent.stdout
        # What a killed worker held stays its own until the lease is over.
        wait_for(lambda: address in self.manage("outbox_mailbox").stdout, PATIENCE, self.said)

    def kill(self) -> None:
        if self.make is not None:
            self.make.kill()
        for process in self.family:
            if lives(process):
                process.kill()


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> list[str]:
    """Return its command line, or nothing once it has ended."""
    try:
        words: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return words


def wait_for(
    condition: Callable[[], bool], seconds: float, story: Callable[[], object] = str
) -> None:
    try:
        wait_until(condition, within=seconds, what="`make run`")
    except StartError as error:
        pytest.fail(f"{error}\n{story()}")


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """What DATABASE_URL says: nothing on SQLite, else a fresh database of the server under test."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    if not url:
        yield ""
        return
    name = f"make_run_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        before, _, query = url.partition("?")
        yield f"{before.rpartition('/')[0]}/{name}?{query}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[Site]:
    """A site that is not running, with an empty `.run` at first."""
    # A name with a space and a letter outside ASCII: such a clone has to work too.
    folder = tmp_path_factory.mktemp("clone") / "the outböx"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    site = Site(folder, database_url)
    yield site
    site.kill()


@pytest.fixture
def site(copy: Site) -> Site:
    """The site, running."""
    if not any(lives(process) for process in copy.family):
        copy.start()
    return copy


def signed_in(site: Site) -> urllib.request.OpenerDirector:
    """Sign in with what `.run/login.txt` says, as a browser would."""
    login = dict(
        line.split(": ") for line in (site.folder / ".run/login.txt").read_text().splitlines()
    )
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = browser.open(f"{site.address}/accounts/login/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    form = {
        "username": login["user"],
        "password": login["password"],
        "csrfmiddlewaretoken": token[1],
    }
    response = browser.open(
        f"{site.address}/accounts/login/", urllib.parse.urlencode(form).encode()
    )
    assert "sessionid" in {cookie.name for cookie in jar}
    assert response.status == 200
    return browser


@pytest.mark.every_database
def test_the_start_shows_its_progress_and_no_warnings(site: Site) -> None:
    start = site.said().partition(READY)[0]

    steps = ["Preparing the database", "Starting the web server", "web | ready", "beat | ready"]
    places = [start.find(step) for step in steps]
    assert -1 not in places, start
    assert places == sorted(places)
    assert "overcommit" not in start
    assert "WARNING" not in start


@pytest.mark.every_database
def test_one_command_brings_up_a_site_one_can_sign_in_to(site: Site) -> None:
    assert f"{READY}{site.address}/" in site.said()
    signed_in(site)
    admin = signed_in(site).open(f"{site.address}/admin/").read().decode()
    assert "/admin/logout/" in admin


def test_the_password_is_in_a_private_file_and_nowhere_else(site: Site) -> None:
    login = site.folder / ".run/login.txt"
    password = login.read_text().split("password: ")[1].strip()
    assert len(password) >= 16
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    assert password not in site.said()


def test_every_part_listens_on_loopback_only(site: Site) -> None:
    listening = {
        address.laddr.ip
        for process in site.family
        for address in process.net_connections(kind="inet")
        if address.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_static_files_are_served_under_names_derived_from_their_content(site: Site) -> None:
    page = urllib.request.urlopen(f"{site.address}/accounts/login/").read().decode()
    style = re.search(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', page)
    assert style is not None
    assert urllib.request.urlopen(site.address + style[1]).status == 200


@pytest.mark.every_database
def test_a_message_reaches_the_local_mailbox(site: Site) -> None:
    site.send("first@example.com")


@pytest.mark.every_database
def test_a_killed_worker_is_replaced_and_delivery_continues(site: Site) -> None:
    before = {process.pid for process in site.family}
    for process in site.family:
        if "worker1@localhost" in command_of(process):
            process.kill()
    wait_for(
        lambda: any("worker1@localhost" in command_of(p) for p in fresh(site, before)), PATIENCE
    )
    site.family = [site.runner(), *site.runner().children(recursive=True)]
    site.send("second@example.com")


def fresh(site: Site, before: set[int]) -> list[psutil.Process]:
    children = site.runner().children(recursive=True)
    return [process for process in children if process.pid not in before and lives(process)]


def test_a_taken_web_port_gives_one_line_that_names_the_variable(copy: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            ["make", "--silent", "run"],
            cwd=copy.folder,
            env=copy.environment | {"PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "make: ***" not in line]
    assert len(said) == 1
    assert f"Port {port} is in use" in said[0]
    assert "PORT=" in said[0]


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_make_stops_every_process(site: Site, number: signal.Signals) -> None:
    site.signal(number)
    wait_for(lambda: site.make_ended() and not site.orphans(), PATIENCE, site.orphans)
    assert "Everything has stopped." in site.said()


@pytest.mark.system
def test_even_a_killed_runner_leaves_no_process_running(site: Site) -> None:
    site.runner().kill()
    wait_for(lambda: not site.orphans(), PATIENCE, site.orphans)


@pytest.mark.system
def test_the_next_run_starts_in_seconds_and_keeps_the_data(site: Site) -> None:
    site.send("kept@example.com")
    password = (site.folder / ".run/login.txt").read_text()
    site.signal(signal.SIGTERM)
    wait_for(lambda: site.make_ended() and not site.orphans(), PATIENCE, site.orphans)
    assert site.start() < 60  # alone on the machine it takes three
    assert (site.folder / ".run/login.txt").read_text() == password
    signed_in(site)
    assert "kept@example.com" in site.manage("outbox_mailbox").stdout
