"""Projects with rare settings: they work, or a system check names at start what to change."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.processes import wait_until
from outbox.testing.mailserver import MailServer
from tests.package.bare import BareProject

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),  # the first run fills an environment
]

QUEUE = """
from outbox import api
from outbox.models import Account
Account.objects.get_or_create(
    name="shop", from_address="shop@example.com", is_app_default=True,
    host="127.0.0.1", port={port}, security="none", is_trusted=True,
)
for n in range({count}):
    api.send(to=f"{address}", subject="Hello", text="Hello")
"""
COUNT = 20


@contextmanager
def variant(project: BareProject, folder: Path, **environment: str) -> Iterator[BareProject]:
    """Yield the same project with other settings and a database of its own."""
    other = BareProject(
        project.python,
        project.folder,
        project.environment | {"SHOP_DATABASE": str(folder / "db.sqlite3")} | environment,
    )
    other.manage("migrate", "--run-syncdb", "--verbosity", "0")
    yield other


@pytest.mark.parametrize("users", ["people_uuid", "people_email"])
def test_a_project_s_own_user_model_works(
    users: str, project: BareProject, server: MailServer, tmp_path: Path
) -> None:
    with variant(project, tmp_path, SHOP_USER=users, SHOP_SMTP_PORT=str(server.port)) as other:
        assert "admin.E039" not in other.manage("check")

        script = (other.folder / "use_pages.py").read_text()
        printed = other.manage("shell", "--verbosity", "0", "--command", script)
        result = json.loads(printed.splitlines()[-1])

        assert result["composed"] == 302
        assert result["account saved"] == 302
        assert result["pages"] == [200] * 4
        assert result["found"] >= 1
        assert result["contacts"] == 1
        assert result["recipients"] == 5
        assert "sent 5" in other.manage("outbox_deliver", "--until-empty")


@pytest.mark.parametrize("unfold", ["", "yes"])
def test_the_sent_history_has_the_look_of_the_project_s_admin(
    unfold: str, project: BareProject, tmp_path: Path
) -> None:
    with variant(project, tmp_path, SHOP_UNFOLD=unfold) as other:
        script = (other.folder / "use_admin.py").read_text()
        printed = other.manage("shell", "--verbosity", "0", "--command", script)
        result = json.loads(printed.splitlines()[-1])

        assert result["is unfold"] == bool(unfold)
        assert result["status"] == dict.fromkeys(result["status"], 200)
        assert result["missing"] == {}
        assert result["headings"] == {"pause": 1, "import": 1}
        assert result["exported"] == 3


def test_a_project_without_time_zones_learns_it_at_start(
    project: BareProject, tmp_path: Path
) -> None:
    environment = project.environment | {"SHOP_USE_TZ": "no"}
    done = subprocess.run(
        [project.python, "manage.py", "check"],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "outbox.E019" in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--concurrency", "2"], id="prefork"),
        pytest.param(["--pool", "solo"], id="solo"),
        pytest.param(["--pool", "threads", "--concurrency", "4"], id="threads"),
        pytest.param(["--pool", "gevent", "--concurrency", "10"], id="gevent"),
        pytest.param(["--pool", "eventlet", "--concurrency", "10"], id="eventlet"),
        pytest.param(
            ["--concurrency", "1", "--max-tasks-per-child", "1"], id="a child does one task"
        ),
        pytest.param(
            ["--concurrency", "1", "--max-memory-per-child", "1000"],
            id="a child is always too large",
        ),
    ],
)
def test_messages_are_delivered_by_every_pool(
    options: list[str],
    project: BareProject,
    server: MailServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    name = request.node.callspec.id.replace(" ", "-")

    def arrived() -> bool:
        addresses = [f"{name}-{n}@example.com" for n in range(COUNT)]
        return all(server.mailboxes.messages(address) for address in addresses)

    with variant(project, tmp_path) as other, other.working(*options):
        queue = QUEUE.format(port=server.port, count=COUNT, address=name + "-{n}@example.com")
        other.manage("shell", "--verbosity", "0", "--command", queue)
        wait_until(arrived, within=60, what=f"the messages (see {other.folder}/worker.log)")

        log = (other.folder / "worker.log").read_text(errors="replace")
        assert "Traceback" not in log
