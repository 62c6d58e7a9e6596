"""A project that adds the app, its urls and the backend, and nothing else, has the outbox."""

import json
import re
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage

import pytest

from outbox.testing.mailserver import MailServer
from tests.package.bare import BareProject, Visitor

OPERATIONS = "operations@example.com"
PEOPLE = """
from django.contrib.auth.models import User
from outbox.models import Account
User.objects.create_superuser("ann", "ann@example.com", "a password")
Account.objects.create(
    name="the shop's server", from_address="shop@example.com",
    host="127.0.0.1", port={port}, security="none", is_trusted=True,
)
"""

pytestmark = pytest.mark.timeout(600)  # the first run fills an environment

Messages = Callable[[str], list[EmailMessage]]


@pytest.fixture(scope="module", autouse=True)
def site(project: BareProject, server: MailServer) -> Iterator[str]:
    """The project's web server and one worker, a user, and an account on a local mail server."""
    project.manage("shell", "--verbosity", "0", "--command", PEOPLE.format(port=server.port))
    with project.working(), project.serving() as url:
        yield url


@pytest.fixture
def visitor(site: str) -> Visitor:
    return Visitor(site)


@pytest.fixture
def messages_to(server: MailServer) -> Messages:
    """Wait until an address has mail, and return all it has."""

    def wait(address: str) -> list[EmailMessage]:
        deadline = time.monotonic() + 30
        while not (found := server.mailboxes.messages(address)):
            assert time.monotonic() < deadline, f"no message for {address}"
            time.sleep(0.05)
        return [message.parsed() for message in found]

    return wait


def test_a_password_reset_mail_arrives_and_its_link_works(
    visitor: Visitor, messages_to: Messages
) -> None:
    visitor.get("/accounts/password_reset/")
    status, _ = visitor.post("/accounts/password_reset/", email="ann@example.com")
    (mail,) = messages_to("ann@example.com")

    assert status == 200
    assert mail["Subject"] == f"Password reset on {visitor.url.removeprefix('http://')}"
    link = re.search(r"/accounts/reset/\S+", mail.get_content())
    assert link is not None
    assert "new password" in visitor.get(link[0])[1].lower()


def test_a_view_that_is_rolled_back_sends_email_to_the_operators_only(
    visitor: Visitor, messages_to: Messages, server: MailServer, project: BareProject
) -> None:
    assert visitor.post("/sign-up/", name="bob", address="bob@example.com")[0] == 201
    assert visitor.post("/sign-up/", name="bob", address="thief@example.com")[0] == 500

    (welcome,) = messages_to("bob@example.com")
    (alert,) = messages_to(OPERATIONS)
    assert welcome.get_content().strip() == "Hello bob!"
    # Django's own logging sends email to its ADMINS, by the default handler.
    assert "ERROR" in alert["Subject"]
    assert "NameTakenError" in str(alert.get_body(("plain",)))
    counts = json.loads(project.manage("outbox_status", "--json"))["counts"]
    assert {state for state, number in counts.items() if number} <= {"sent", "sending"}
    assert server.mailboxes.messages("thief@example.com") == []


def test_a_celery_task_sends_email(visitor: Visitor, messages_to: Messages) -> None:
    assert visitor.post("/report/", address="boss@example.com")[0] == 202

    (report,) = messages_to("boss@example.com")
    assert report["Subject"] == "The figures of today"


def test_its_pages_show_with_all_they_load(visitor: Visitor) -> None:
    visitor.get("/admin/login/")
    visitor.post("/admin/login/", username="ann", password="a password", next="/mail/")

    for page in ("/mail/", "/mail/compose/", "/mail/accounts/", "/admin/outbox/message/"):
        status, html = visitor.get(page)
        assert status == 200, page
        assert "Sign out" in html or "Log out" in html
        loaded = set(re.findall(r'(?:src|href)="(/[^"]+\.(?:css|js|svg)[^"]*)"', html))
        assert loaded
        assert {path for path in loaded if visitor.get(path)[0] != 200} == set()


def test_its_checks_report_only_what_is_missing(project: BareProject) -> None:
    printed = project.run("-W", "error::DeprecationWarning", "manage.py", "check")

    assert set(re.findall(r"outbox\.[EW]\d+", printed)) == {
        "outbox.W003",  # no key, so no passwords
        "outbox.W008",  # no sweep in the schedule
        "outbox.W014",  # no storage for large messages
    }


def test_its_models_need_no_further_migration(project: BareProject) -> None:
    project.manage("makemigrations", "--check", "--dry-run")


@pytest.mark.system
@pytest.mark.parametrize(
    "runner",
    [
        pytest.param(["-m", "pytest", "--ds=shop.settings", "shop/tests.py"], id="pytest"),
        pytest.param(["manage.py", "test"], id="Django's"),
    ],
)
def test_its_own_tests_find_the_messages(runner: list[str], project: BareProject) -> None:
    printed = project.run("-W", "error::DeprecationWarning", *runner)

    assert re.search(r"\b4 passed|Ran 2 tests", printed), printed
