"""A bulk operation in the admin: from the dashboard to the result, and pictures of each page."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.api import bulk_actions
from outbox.api.bulk_actions import worker
from outbox.api.message_actions import OPERATION_ACTIONS
from outbox.db.clock import database_now
from outbox.mail.reply_kinds import kind_of_reply
from outbox.mail.server_replies import normalized_reply
from outbox.models import BulkOperation, Event, Message, Recipient, State
from outbox.models.delivery_count import CountKey, add
from outbox.models.reply_group import store
from outbox.models.search import index_new
from outbox.web.folders import bulk
from tests.browser import scenes
from tests.browser.album import CHINESE, open_album
from tests.browser.test_apps_folder import messages_of_apps
from tests.browser.test_history import look
from tests.browser.writing import PASSWORD, authenticate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIST = reverse("admin:outbox_message_changelist")
DASHBOARD = "/admin/outbox/operations/"
USING = "default"
REPLY = (550, "5.7.1", "5.7.1 Client host 192.0.2.1 blocked using zen.spamhaus.org")
SUBJECTS = (
    "Your invoice of November",
    "十一月的账单已经可以下载",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 2,
)


@pytest.fixture
def staff(transactional_db: None) -> User:
    return User.objects.create_superuser("anna", password=PASSWORD)


@pytest.fixture
def blocked(staff: User) -> list[Message]:
    """Messages of apps that a blocklist has stopped, beside others."""
    messages_of_apps(staff)
    shop = scenes.account(staff, "Newsletter")
    made = [
        scenes.mail(shop, SUBJECTS[number % 3], [(f"reader{number}@example.org", State.FAILED)])
        for number in range(14)
    ]
    Message.objects.update(owner=None, origin="api")
    reply = normalized_reply(*REPLY)
    store([(reply, kind_of_reply(*REPLY))], USING)
    Recipient.objects.filter(message__in=made).update(
        reply_code=550, reply_enhanced="5.7.1", reply_text=REPLY[2], reply_key=reply.key
    )
    minute = database_now().replace(second=0, microsecond=0)
    add({CountKey(minute, 1, shop.pk, "example.org", "failed", reply.key): len(made)}, USING)
    index_new(USING, 1_000)
    return made


def act_on_batch(count: int) -> None:
    """Process some messages of the only operation, as a worker does that then dies."""
    claimed = worker.claim(USING)
    assert claimed is not None
    ids = list(worker._next_ids(claimed, USING))[:count]
    assert worker._process_batch(claimed, ids, USING)
    BulkOperation.objects.update(lease_until=database_now())


@pytest.mark.system
def test_from_the_dashboard_to_the_result(page: "Page", blocked: list[Message]) -> None:
    authenticate(page)
    page.goto(DASHBOARD)
    page.get_by_role("row", name="blocked using").get_by_role("link", name="Show messages").click()
    page.get_by_label("Select all that match").check()
    page.get_by_label("Action:").select_option("Retry failed recipients")
    page.get_by_role("button", name="Go").click()

    page.get_by_role("heading", name="Retry failed recipients?").wait_for()
    page.get_by_text("14 messages, 14 recipients: 14 failed.").wait_for()
    assert page.locator(".outbox-examples li").count() == 10
    page.get_by_label("Reason").fill("The blocklist has removed us.")
    api.retry(blocked[3])  # by hand, while the question is open
    page.get_by_role("button", name="Retry failed recipients").click()

    page.get_by_text("Waiting for a worker.").wait_for()
    act_on_batch(6)
    page.get_by_text("6 of 14 messages processed.").wait_for()  # it refreshes itself
    bulk_actions.run_bulk_operations(USING)
    page.get_by_text("Finished.").wait_for()
    page.get_by_text("Changed: 13 messages (13 recipients). 1 message skipped.").wait_for()
    skipped = page.get_by_role("row", name="The recipients had already changed state.")
    assert skipped.get_by_role("cell").last.inner_text() == "1"
    page.get_by_text("Show the first of them").click()
    page.get_by_role("link", name="Your invoice of November").wait_for()
    assert BulkOperation.objects.get().why == "The blocklist has removed us."


def test_it_is_cancelled(page: "Page", blocked: list[Message], staff: User) -> None:
    operation = propose(staff, "retry", {"code": "5.7"})
    bulk_actions.confirm(operation, why="", using=USING)
    act_on_batch(4)
    authenticate(page)
    page.goto(reverse("admin:outbox_bulkoperation_change", args=[operation.pk]))
    page.get_by_role("link", name="Cancel the operation").click()
    page.get_by_role("button", name="Cancel the operation").click()
    page.get_by_text("The operation is cancelled.").wait_for()
    page.get_by_text("4 of 14 messages processed.").wait_for()
    bulk_actions.run_bulk_operations(USING)
    assert Recipient.objects.filter(message__in=blocked, state=State.FAILED).count() == 10
    operation.refresh_from_db()
    assert operation.cancelled_at is not None
    assert operation.cancelled_by == staff


def propose(actor: User, action: str, criteria: dict[str, str]) -> BulkOperation:
    return bulk_actions.propose(
        OPERATION_ACTIONS[action],
        criteria=criteria,
        actor=actor,
        using=USING,
        selection="&".join(f"{name}={value}" for name, value in criteria.items()),
    )


@pytest.mark.system
@pytest.mark.timeout(600)  # also on a busy machine
@pytest.mark.parametrize(("locale", "mark"), [("en", ""), (CHINESE, "-chinese")])
def test_its_pages_fit(
    browser: "Browser",
    live_server: Any,
    blocked: list[Message],
    staff: User,
    locale: str,
    mark: str,
) -> None:
    errors: list[str] = []
    context = browser.new_context(base_url=live_server.url, locale=locale)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    authenticate(page)
    look(page, f"bulk-list{mark}", f"{LIST}?code=5.7")
    impossible = propose(staff, "release", {"state": "held"})
    look(page, f"bulk-question-impossible{mark}", page_of(impossible, "confirm"))
    operation = propose(staff, "retry", {"state": "failed", "domain": "example.org"})
    look(page, f"bulk-question{mark}", page_of(operation, "confirm"))
    bulk_actions.confirm(operation, why="The blocklist has removed us.", using=USING)
    api.retry(blocked[0])
    blocked[1].delete()
    act_on_batch(8)
    look(page, f"bulk-running{mark}", page_of(operation, "change"))
    look(page, f"bulk-cancel{mark}", page_of(operation, "cancel"))
    bulk_actions.run_bulk_operations(USING)
    look(page, f"bulk-finished{mark}", page_of(operation, "change"))
    look(page, f"bulk-operations{mark}", reverse("admin:outbox_bulkoperation_changelist"))
    context.close()
    assert errors == []


@pytest.mark.system
def test_the_question_is_accessible(
    browser: "Browser", live_server: Any, blocked: list[Message], staff: User
) -> None:
    operation = propose(staff, "retry", {"state": "failed", "domain": "example.org"})
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("bulk-question-checked", page_of(operation, "confirm"))


def test_a_user_changes_a_whole_list(
    page: "Page", anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    sender = scenes.account(anna)
    made = [
        scenes.mail(sender, f"Offer {n}", [(f"r{n}@example.org", State.HELD)]) for n in range(4)
    ]
    other = scenes.mail(sender, "News", [("carl@example.org", State.FAILED)])
    authenticate(page)
    page.goto(reverse("outbox:folder", args=["outbox"]))
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Release delivery").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("4 messages, 4 recipients: 4 held.").wait_for()
    late = scenes.mail(sender, "Late", [("late@example.org", State.HELD)])
    api.cancel(made[1])  # by hand, while the question is open
    dialog.get_by_label("Reason").fill("Checked.")
    dialog.get_by_role("button", name="Release delivery").click()

    page.get_by_text("Waiting for a worker.").wait_for()
    bulk_actions.run_bulk_operations(USING)
    page.get_by_text("Changed: 3 messages (3 recipients). 1 message skipped.").wait_for()
    states = {one.pk: one.recipients.get().state for one in (*made, other, late)}
    assert list(states.values()) == [
        *[State.QUEUED, State.CANCELLED, State.QUEUED, State.QUEUED],
        *[State.FAILED, State.HELD],
    ]
    events = Event.objects.filter(kind="released").values_list("why", flat=True)
    assert list(events) == ["Checked."] * 3


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_the_pages_of_a_user_fit_and_are_accessible(
    browser: "Browser", live_server: Any, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    sender = scenes.account(anna)
    made = [
        scenes.mail(sender, SUBJECTS[number % 3], [(f"reader{number}@example.org", State.FAILED)])
        for number in range(7)
    ]
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit(
            "bulk-own-count", f"{reverse('outbox:bulk', args=['retry'])}?all=1&folder=failed"
        )
        assert not BulkOperation.objects.exists()
        album.page.get_by_role("button", name="Count messages").click()
        album.page.get_by_text("7 messages, 7 recipients: 7 failed.").wait_for()
        album.keep("bulk-own-question")
        album.page.get_by_label("Reason").fill("The mailboxes exist again.")
        album.page.get_by_role("button", name="Retry delivery").click()
        album.page.get_by_text("Waiting for a worker.").wait_for()
        api.retry(made[0])
        act_on_batch(4)
        address = reverse("outbox:operation", args=[BulkOperation.objects.get().pk])
        album.visit("bulk-own-running", address)
        bulk_actions.run_bulk_operations(USING)
        album.page.get_by_text("Finished.").wait_for()
        album.page.locator("summary").click()
        album.keep("bulk-own-finished")


def page_of(operation: BulkOperation, name: str) -> str:
    return reverse(f"admin:outbox_bulkoperation_{name}", args=[operation.pk])
